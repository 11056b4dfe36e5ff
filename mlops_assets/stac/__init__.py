"""Records: STAC Collections and Items of data versions, MLM Items of model versions, in a static catalogue.

Records describe what is published; nothing here publishes data or models.
"""
