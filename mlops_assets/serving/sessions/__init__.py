"""Models that a server has loaded, by name, and what they answer."""
