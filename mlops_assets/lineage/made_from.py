"""What was made from a data version."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from mlops_assets.names import Reference
from mlops_assets.paths import Owner, map_key, prediction_owner
from mlops_assets.registry import DataVersion, File, Registry
from mlops_assets.registry.model_versions import ListedVersion
from mlops_assets.registry.records.maps import MapFilter
from mlops_assets.stac.maps.document import ENDS, RASTER


@dataclass(frozen=True)
class Made:
    """Something that was made from a data version.

    Attributes:
        kind: of it, such as `model version`.
        reference: to it.
        names: its other names, such as aliases; of a map the model version that made it.
        created: when it was made; None if that is not recorded.
        metrics: by which it is compared, if any.
    """

    kind: str
    reference: str
    names: list[str]
    created: datetime | None
    metrics: dict[str, float]


def made_from(registry: Registry, row: DataVersion) -> list[Made]:
    """Return all that was made from a data version and that the principal may see, by kind.

    What is added to the platform, and made from data, is added here.

    Args:
        registry: has it.
        row: the data version.
    """
    aliases = registry.all_aliases()
    models = registry.list_model_versions(data=Reference(row.dataset, row.version))
    made = [
        Made(
            kind="model version",
            reference=f"{model.model}@{model.version}",
            names=aliases.get((model.model, model.version), []),
            created=model.created,
            metrics=model.metrics,
        )
        for model in models
    ]
    return [*made, *_maps(registry, row, models)]


def _maps(registry: Registry, row: DataVersion, models: Sequence[ListedVersion]) -> list[Made]:
    """Return the maps of model versions, with files of earlier releases, which have no record."""
    wanted = MapFilter(dataset=row.dataset, data_version=row.version)
    found = registry.maps(wanted)
    maps = [
        Made(
            "map",
            map_key(each.model, each.version, each.name, RASTER),
            [f"{each.model}@{each.version}"],
            each.created,
            {},
        )
        for each in found
    ]
    recorded = {map_key(each.model, each.version, each.name, end) for each in found for end in ENDS}
    makers = {
        prediction_owner(model.model, model.version): f"{model.model}@{model.version}"
        for model in models
    }
    with registry.reading() as session:
        files = session.scalars(
            select(File)
            .where(File.owner.in_(makers), File.path.endswith(".tif"))
            .order_by(File.path)
        ).all()
    unrecorded = [file for file in files if file.path not in recorded]
    return [
        *maps,
        *(Made("map", file.path, [makers[Owner(file.owner)]], None, {}) for file in unrecorded),
    ]
