"""The hub and Dagster: runs that it launches, and Dagster's own web server behind its sign-in."""
