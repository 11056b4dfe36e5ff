"""Declares `declared_crops` on two features of `fields`, with a gate."""

from __future__ import annotations

from mlops_assets_tests.components.project import definitions

defs = definitions(
    name="declared_crops", bands=["ndvi_03", "ndvi_04"], gates=[{"metric": "accuracy", "min": 0.2}]
)
