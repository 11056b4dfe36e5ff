"""Every speed claim, measured beside the thing it is compared with.

Not tests: nothing here passes or fails.
"""
