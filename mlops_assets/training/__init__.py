"""Model Trainer: runs trainers on a data version, exports to ONNX, proves parity, evaluates, gates and promotes.

Nothing here knows Dagster or writes STAC.
"""
