from mlops_assets_tests.cli.conftest import mlops
from mlops_assets_tests.exporter import tables_of_the_exporter

__all__ = ["mlops", "tables_of_the_exporter"]
