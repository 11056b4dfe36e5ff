"""Data made from data: a user's function makes a version of one dataset from versions of others."""
