from mlops_assets_tests.exporter import tables_of_the_exporter

__all__ = ["tables_of_the_exporter"]
