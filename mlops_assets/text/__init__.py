"""Text for display: markup of others escaped, secrets of URLs redacted."""
