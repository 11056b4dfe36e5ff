"""A map as Dagster's events state it. Nothing is computed here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg

from mlops_assets.components.events.model_results import identity
from mlops_assets.components.events.presentation import figure_markdown, file_metadata
from mlops_assets.names import Reference

if TYPE_CHECKING:
    from dagster._core.definitions.metadata import RawMetadataValue

    from mlops_assets.prediction.predict import Prediction
    from mlops_assets.registry import Map
    from mlops_assets.stac.maps.document import MapFacts
    from mlops_assets.store import Store

# tag of an event: whether the model version was in production
IN_PRODUCTION = "mlops/in_production"
PRODUCTION = "production"
# metadata of the event of a map, beside that of `identity`
MAP = "map"
MAP_MODEL = "model"
NOTES = "notes"


def map_metadata(store: Store, made: Prediction) -> dict[str, RawMetadataValue]:
    """Return the metadata of the event of a map, with its picture."""
    from mlops_assets.registry.files.verified_read import read_published
    from mlops_assets.stac.maps.document import read_document

    row = made.map
    document = read_document(store, row)
    version = store.registry.model_version(Reference(row.model, row.version))
    picture = read_published(store.workspace, store.registry, made.picture.path)
    return {
        MAP: row.name,
        MAP_MODEL: row.model,
        **identity(version),
        **origin_metadata(document, made.notes),
        "item": row.item,
        **outside_metadata(row),
        **file_metadata(store.workspace, made.files),
        "picture": figure_markdown(picture, row.name),
    }


def origin_metadata(document: MapFacts, notes: Sequence[str]) -> dict[str, RawMetadataValue]:
    """Return the metadata of what any map was made from, and remarks for people."""
    return {
        "scenes": len(document.scenes),
        "scene_names": dg.MetadataValue.json([scene.name for scene in document.scenes]),
        "skipped_scenes": dg.MetadataValue.json(
            {scene.name: scene.reason for scene in document.skipped}
        ),
        NOTES: dg.MetadataValue.json(list(notes)),
        "input_digest": document.input_digest,
    }


def outside_metadata(row: Map) -> dict[str, RawMetadataValue]:
    """Return the share of a map outside the area of applicability, where it is known."""
    return {} if row.outside is None else {"outside": row.outside}


def map_version(row: Map) -> dg.DataVersion:
    """Return the data version of a map: the model version and the digest of its input."""
    return dg.DataVersion(f"{row.model}@{row.version}-{row.input_digest}")


def map_tags(store: Store, row: Map) -> dict[str, str]:
    """Return the tags of the event of a map: whether its model version is in production."""
    aliases = store.registry.all_aliases().get((row.model, row.version), [])
    return {IN_PRODUCTION: str(PRODUCTION in aliases).lower()}


def observation_of(row: Map) -> dg.AssetObservation:
    """Return the event by which the record of a model version has how it does on a map."""
    return dg.AssetObservation(
        [row.model, "record"],
        description=f"Map {row.name}",
        partition=row.data_version,
        metadata={
            "model_version": row.version,
            MAP: row.name,
            **({} if row.area is None else {"area": row.area}),
            **({} if row.day is None else {"day": row.day}),
            **outside_metadata(row),
        },
    )
