"""Upkeep of a workspace: backups, and removal of files that nothing needs."""
