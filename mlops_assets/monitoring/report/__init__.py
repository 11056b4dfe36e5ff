"""The report of a monitored day: its figures and its page."""
