"""Tests of `mlops_assets.integrations.mlm`."""
