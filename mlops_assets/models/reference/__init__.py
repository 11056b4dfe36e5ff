"""The reference of a model version: values and predictions of training that drift is measured by.

It reads no request log; days are compared with it in `mlops_assets.monitoring.drift`.
"""
