"""The pages of training runs."""
