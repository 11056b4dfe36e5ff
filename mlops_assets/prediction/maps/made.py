"""A map that was made and is not published yet: its files in a scratch folder, and their origin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from mlops_assets.prediction.maps.geotiff import Layer
from mlops_assets.prediction.scenes.found import FoundScene, SourceFile
from mlops_assets.registry import ModelVersion
from mlops_assets.text.json_values import JsonObject


@dataclass(frozen=True)
class MappedScene:
    """A scene in a map.

    Attributes:
        found: the scene as it was listed.
        files: its files that were read.
    """

    found: FoundScene
    files: tuple[SourceFile, ...]


@dataclass(frozen=True)
class SkippedScene:
    """A scene that is not in a map as it could not be read.

    Attributes:
        name: of the scene.
        reason: why, for people.
    """

    name: str
    reason: str


@dataclass(frozen=True)
class AssembledMap:
    """A map that was made, with all that its document states but the model.

    Attributes:
        name: of the map; for an area `<area>/<day>`. A map of the same name is replaced.
        files: end of the file name, after the name of the map → local file: `.tif`,
            `.tif.aux.xml`, `.scores.tif`, `.applicability.tif`, `.png`. `.tif` is always there.
        layers: end of the file name of each GeoTIFF → its bands: `.tif`, `.scores.tif`, ….
        scenes: in the map.
        settings: what else decides the pixels, as JSON: outputs, how scenes were read, overlap of
            windows. The same scenes, settings and model version are the same map.
        area: name of the area; None for a map of scenes alone.
        day: of acquisition, UTC; None if unknown.
        skipped: scenes that could not be read.
        outside: share of the predicted pixels outside of the area of applicability, 0 to 1; None
            if the model version has none.
    """

    name: str
    files: Mapping[str, Path]
    layers: Mapping[str, Layer]
    scenes: tuple[MappedScene, ...]
    settings: JsonObject = field(default_factory=dict)
    area: str | None = None
    day: date | None = None
    skipped: tuple[SkippedScene, ...] = ()
    outside: float | None = None


@dataclass(frozen=True, kw_only=True)
class MadeMap(AssembledMap):
    """A map that a model version has made, to be published.

    Attributes:
        row: the model version.
    """

    row: ModelVersion

    @classmethod
    def of(cls, assembled: AssembledMap, row: ModelVersion) -> MadeMap:
        """Return a map as one of a model version."""
        return cls(**vars(assembled), row=row)
