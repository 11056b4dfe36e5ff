"""A small project for tests: a service of `land` over ./workspace."""

from __future__ import annotations

from typing import Any

import dagster as dg

from mlops_assets.components import ModelService
from mlops_assets.components.project.load import project_resources
from mlops_assets_tests.integrations.deployment.service import service


def definitions(**changes: Any) -> dg.Definitions:
    """A project with one service; `changes` replace its attributes."""
    context: Any = None
    return dg.Definitions.merge(
        ModelService(service(**changes)).build_defs(context),
        dg.Definitions(resources=project_resources(), executor=dg.in_process_executor),
    )


# of `mlops service --module`
defs = definitions(engine="kserve")
