"""What a user declares about a dataset."""
