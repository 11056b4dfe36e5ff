"""Dagster's own pages behind the hub, and the web servers that they come from."""
