"""Division of samples into train, validation and test."""
