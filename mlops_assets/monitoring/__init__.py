"""Monitoring: drift, live metrics, estimates without labels, and what follows from them.

It reads the request log, labels and maps; serving is the business of `mlops_assets.serving`.
"""
