"""The schema of the registry, and how that of earlier releases is upgraded."""
