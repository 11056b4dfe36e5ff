"""Sensors: `new_data` and `new_version`, and the notifications that buckets send."""
