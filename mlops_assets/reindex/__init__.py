"""Rebuilding the registry from the workspace: from its log, and from documents older than it."""
