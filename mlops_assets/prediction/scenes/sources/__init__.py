"""Scenes at their sources: found in folders, buckets and STAC catalogues, then brought here."""
