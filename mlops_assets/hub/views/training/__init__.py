"""The form that starts a training: its fields, what a user has entered, and what would run."""
