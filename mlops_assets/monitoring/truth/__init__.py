"""Labels of logged requests, which arrive later: read, matched with requests, kept, listed."""
