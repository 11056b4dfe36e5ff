"""Commands of `mlops model`."""
