# the workspace with a model whose days are monitored
from mlops_assets_tests.monitoring.conftest import _served, served_store

__all__ = ["_served", "served_store"]
