"""Text that is shown: markup of others escaped, secrets of URLs hidden."""
