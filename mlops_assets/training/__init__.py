"""Training: runs of trainers on data versions, in processes of their own, and sweeps.

It does not know Dagster. What happens to a model version afterwards is the business of `models`.
"""
