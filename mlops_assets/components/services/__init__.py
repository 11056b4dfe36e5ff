"""Services: deployments of models as assets, and how models do in use.

Only wiring lives here; see `mlops_assets.integrations.deployment` and `mlops_assets.monitoring`.
"""
