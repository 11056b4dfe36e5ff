"""Records in a static catalogue: STAC of data versions, MLM Items of model versions.

A data version is a Collection and its Items. Records describe data and models that are already
published.
"""
