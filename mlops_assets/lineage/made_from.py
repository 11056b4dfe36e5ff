"""What was made from a data version."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from mlops_assets.names import Reference
from mlops_assets.registry import DataVersion, Registry


@dataclass(frozen=True)
class Made:
    """Something that was made from a data version.

    Attributes:
        kind: of it, such as `model version`.
        reference: to it.
        names: its other names, such as aliases.
        created: when it was made.
        metrics: by which it is compared, if any.
    """

    kind: str
    reference: str
    names: list[str]
    created: datetime
    metrics: dict[str, float]


def made_from(registry: Registry, row: DataVersion) -> list[Made]:
    """Return all that was made from a data version and that the principal may see, by kind.

    What is added to the platform, and made from data, is added here.

    Args:
        registry: has it.
        row: the data version.
    """
    aliases = registry.all_aliases()
    return [
        Made(
            kind="model version",
            reference=f"{model.model}@{model.version}",
            names=aliases.get((model.model, model.version), []),
            created=model.created,
            metrics=model.metrics,
        )
        for model in registry.list_model_versions(data=Reference(row.dataset, row.version))
    ]
