"""Launching jobs of a project: in this process, or by its Dagster instance; and following them."""
