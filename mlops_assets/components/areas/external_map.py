"""The event of a map by a model that the workspace does not have, as of an external asset."""

from __future__ import annotations

import re
from pathlib import Path

import dagster as dg
from dagster._core.definitions.data_version import DATA_VERSION_TAG

from mlops_assets.components.areas.results import MAP, origin_metadata
from mlops_assets.components.events.presentation import figure_markdown
from mlops_assets.components.naming import MAPS
from mlops_assets.prediction.external import ExternalMap

_IN_KEYS = re.compile(r"[^A-Za-z0-9_.-]")  # all else becomes _


def report_external_map(instance: dg.DagsterInstance, made: ExternalMap) -> None:
    """Report a map as a materialisation of `<id of the Item>/maps`, without a run.

    Args:
        instance: receives it.
        made: the map.
    """
    document = made.document
    version = f"{document.model_sha256[:8]}-{document.input_digest}"
    instance.report_runless_asset_event(
        dg.AssetMaterialization(
            [_IN_KEYS.sub("_", document.model), MAPS],
            description=f"Map {document.name}, by a model that this workspace does not have.",
            metadata={
                MAP: document.name,
                "item": document.record,
                "model_sha256": document.model_sha256,
                **origin_metadata(document, made.notes),
                "file": dg.MetadataValue.path(_absolute(made.place)),
                "picture": figure_markdown(made.picture, document.name),
            },
            tags={DATA_VERSION_TAG: version},
        )
    )


def _absolute(place: str) -> str:
    return place if "://" in place else str(Path(place).resolve())
