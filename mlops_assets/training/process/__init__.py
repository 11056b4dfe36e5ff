"""The process in which a trainer runs: its start, its limits, and its end."""
