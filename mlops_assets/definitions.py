"""The definitions that Dagster loads: the declarations in `defs/`."""

import dagster as dg


@dg.definitions
def defs() -> dg.Definitions:
    """Return the definitions of the shipped example project."""
    # importing this module alone stays as fast as Dagster
    from mlops_assets.components import (
        load_project,
    )

    return load_project(__file__)
