"""Training runs in the registry: their rows, points, notes and tags."""

from mlops_assets.registry.runs.points import LoggedPoint, add_points
from mlops_assets.registry.runs.runs import (
    NO_FACTS,
    RunFacts,
    Runs,
    add_facts,
    owner_of_documents,
    set_ended,
)

__all__ = [
    "NO_FACTS",
    "LoggedPoint",
    "RunFacts",
    "Runs",
    "add_facts",
    "add_points",
    "owner_of_documents",
    "set_ended",
]
