"""Using a model version: prediction over whole scenes.

Nothing here trains, and nothing here knows Dagster.
"""
