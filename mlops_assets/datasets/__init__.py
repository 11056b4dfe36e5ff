"""Training Data Manager: reads landed data, commits it into versions, gives it to trainers.

Nothing here trains a model or writes STAC.
"""
