"""Dividing samples into train, validation and test."""
