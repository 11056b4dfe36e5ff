"""Commands that make training runs, list them and bring them in from elsewhere."""
