"""The routes of runs, and of what launches them."""
