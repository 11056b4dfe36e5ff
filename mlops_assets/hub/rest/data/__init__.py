"""The routes of training data."""
