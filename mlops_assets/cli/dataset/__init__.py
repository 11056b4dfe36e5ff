"""Commands of `mlops dataset`."""
