"""Webhooks: signed messages about model versions to receivers that a project declares.

What happens is queued in the registry, in `mlops_assets.registry.promotion.outbox`.
"""
