"""The pages of training data."""
