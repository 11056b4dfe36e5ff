"""Pipelines of git platforms: a workspace for each branch beside production, and its report."""
