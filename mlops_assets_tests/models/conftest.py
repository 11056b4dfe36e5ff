"""Fixtures of the tests of models."""

from mlops_assets_tests.training.conftest import _tables_of_the_exporter

__all__ = ["_tables_of_the_exporter"]
