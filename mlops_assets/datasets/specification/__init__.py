"""A user's declaration of a dataset."""
