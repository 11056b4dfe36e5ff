"""What Dagster loads: the declarations in `defs/`."""

import dagster as dg

from mlops_assets.components import load_project


@dg.definitions
def defs() -> dg.Definitions:
    """Return the definitions of the shipped example project."""
    return load_project(__file__)
