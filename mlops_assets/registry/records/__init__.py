"""Records as the STAC API finds them: Collections and Items, and their search."""
