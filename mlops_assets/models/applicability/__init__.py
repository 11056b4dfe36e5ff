"""The area of applicability of a model version: how far what it was trained on reaches."""
