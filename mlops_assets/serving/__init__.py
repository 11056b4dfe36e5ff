"""Serving a model version over HTTP.

Nothing here trains, and nothing here knows Dagster.
"""
