"""Backups: consistent copies of a workspace and its registry, and what is restored from them."""
