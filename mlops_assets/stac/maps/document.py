"""The document of a map: which model version made it, of which bytes, and the bytes it has.

The registry's row, the STAC Item and lineage follow from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue

from mlops_assets.datasets.versions.documents import json_bytes
from mlops_assets.paths import map_document_key
from mlops_assets.registry import Map
from mlops_assets.registry.files.verified_read import read_published
from mlops_assets.registry.log.chain import canonical
from mlops_assets.storage import sha256_of
from mlops_assets.store import Store

DOCUMENT = ".map.json"  # end of its name
RASTER = ".tif"  # end of the name of the file with classes or values, which every map has
PICTURE = ".png"
# ends of the names of all files that a map may have
ENDS = (RASTER, f"{RASTER}.aux.xml", ".scores.tif", ".applicability.tif", PICTURE, DOCUMENT)


class _Stored(BaseModel):
    """A part of the document: immutable; keys of later releases are kept."""

    model_config = ConfigDict(frozen=True, extra="allow")


class FileFacts(_Stored):
    """Checksum and size of a file, in bytes."""

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    size: int = Field(ge=0)


class SourceFacts(FileFacts):
    """A file that a map was made from.

    Attributes:
        asset: its key in the scene's STAC Item; empty for a plain file.
        href: where it was read, without secrets.
    """

    asset: str
    href: str


class SceneFacts(_Stored):
    """A scene in a map.

    Attributes:
        name: of the scene.
        href: of the file, or of the STAC Item, without secrets.
        acquired: when; None if unknown.
        files: that were read.
    """

    name: str
    href: str
    acquired: AwareDatetime | None
    files: tuple[SourceFacts, ...]


class SkippedFacts(_Stored):
    """A scene that is not in the map, and why."""

    name: str
    reason: str


class ClassFacts(_Stored):
    """A class in a map: value of its pixels, name, and colour as `RRGGBB`."""

    value: int
    name: str
    colour: str


class LayerFacts(_Stored):
    """One GeoTIFF of a map.

    Attributes:
        bands: description of each band.
        dtype: of the pixels, as NumPy calls it.
        nodata: value of pixels without a prediction; `nan` for NaN.
        unit: of all bands, as in UCUM; empty if unknown.
        classes: of its one band; empty where its values are numbers.
    """

    bands: tuple[str, ...]
    dtype: str
    nodata: int | float | str
    unit: str
    classes: tuple[ClassFacts, ...]


class GridFacts(_Stored):
    """The grid of a map.

    Attributes:
        shape: rows and columns.
        crs: `EPSG:CODE` where there is one, else WKT; None without a georeference.
        transform: from column and row to coordinates, six numbers; None without a georeference.
        bbox: west, south, east, north in degrees (WGS 84), west > east across the antimeridian;
            None if the place is unknown.
        geometry: its outline as GeoJSON; None if the place is unknown.
    """

    shape: tuple[int, int]
    crs: str | None
    transform: tuple[float, ...] | None
    bbox: tuple[float, float, float, float] | None
    geometry: dict[str, JsonValue] | None


class MapFacts(_Stored):
    """What the document of any map states.

    Attributes:
        name: of the map.
        model_sha256: of the ONNX file of the model.
        day: of acquisition, UTC; None if unknown.
        settings: what else decides the pixels, such as outputs and how scenes were read.
        files: end of the file's name → the file, without this document.
        layers: end of the file's name → bands of the GeoTIFF.
        outside: share of the predicted pixels outside of the area of applicability.
        input_digest: sha256 over its sources' checksums and all settings.
        digest: sha256 over its files' checksums.
        software: name → version of what has made it.
        created: when.
        created_by: name of who has made it.
    """

    name: str
    model_sha256: str
    day: date | None
    settings: dict[str, JsonValue]
    scenes: tuple[SceneFacts, ...]
    skipped: tuple[SkippedFacts, ...]
    files: dict[str, FileFacts]
    layers: dict[str, LayerFacts]
    grid: GridFacts
    outside: float | None
    input_digest: str
    digest: str
    software: dict[str, str]
    created: AwareDatetime
    created_by: str

    @property
    def ends(self) -> list[str]:
        """Ends of the names of its files: of classes or values, of the picture, then the others."""
        return sorted(self.files, key=lambda end: (end != RASTER, end != PICTURE, end))

    @property
    def sources(self) -> set[str]:
        """Where the files of its scenes were read."""
        return {file.href for scene in self.scenes for file in scene.files}

    def content(self) -> bytes:
        """Return it as canonical JSON."""
        return json_bytes(self.model_dump(mode="json"))


class ExternalMapDocument(MapFacts):
    """The document of a map by a model that no workspace here has, only its MLM Item.

    Attributes:
        model: id of the Item.
        record: path or URL of the Item, without secrets.
        record_sha256: of the Item as it was read, as canonical JSON.
        model_source: path or URL of the ONNX file, without secrets.
        assumed: what the Item does not state.
    """

    model: str
    record: str
    record_sha256: str
    model_source: str
    assumed: tuple[str, ...]


class MapDocument(MapFacts):
    """The document of a map by a model version; others are as in the row of the registry."""

    model: str
    version: str
    dataset: str
    data_version: str
    run_id: str
    area: str | None
    collection: str
    item: str

    @property
    def acquired(self) -> list[datetime]:
        """Times of acquisition of the scenes, oldest first; empty if one is unknown."""
        known = [scene.acquired for scene in self.scenes if scene.acquired is not None]
        return sorted(known) if len(known) == len(self.scenes) else []

    def row(self) -> Map:
        """Return the row of the registry that it states."""
        names = [column.name for column in Map.__table__.columns]
        values = {name: getattr(self, name) for name in names}
        day = None if self.day is None else self.day.isoformat()
        return Map(**{**values, "day": day})


def read_document(store: Store, row: Map) -> MapDocument:
    """Return the document of a published map.

    Raises:
        IntegrityError: it is not as it was published.
        StorageError: it cannot be read.
    """
    key = map_document_key(row.model, row.version, row.name)
    content = read_published(store.workspace, store.registry, key)
    return MapDocument.model_validate_json(content)


def input_digest(scenes: Iterable[SceneFacts], settings: Mapping[str, object]) -> str:
    """Return the sha256 over all that decides the pixels of a map besides the model version.

    Where files were read from does not matter, nor in which order.

    Args:
        scenes: in the map.
        settings: see `MapDocument`.
    """
    sources = [
        [[file.asset, file.sha256] for file in sorted(scene.files, key=_place)] for scene in scenes
    ]
    return _digest({"sources": sorted(sources, key=canonical), "settings": settings})


def digest_of(files: Mapping[str, FileFacts]) -> str:
    """Return the sha256 over the checksums of the files of a map."""
    return _digest({end: file.sha256 for end, file in files.items()})


def _place(file: SourceFacts) -> tuple[str, str]:
    return file.asset, file.sha256


def _digest(document: Mapping[str, object]) -> str:
    return sha256_of(canonical(document).encode())
