"""Model Trainer: trains on a data version, exports to ONNX, proves parity, evaluates and promotes.

Nothing here knows Dagster or writes STAC.
"""
