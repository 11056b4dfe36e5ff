"""Records in a static catalogue: STAC of data versions, MLM Items of model versions.

A data version is a Collection and its Items. Records describe what is published; nothing here
publishes data or models.
"""
