"""What a map was made from: scenes with their checksums, and the model version."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from mlops_assets.errors import NotFound
from mlops_assets.names import Reference
from mlops_assets.paths import map_key
from mlops_assets.registry import Map
from mlops_assets.registry.records.maps import MapFilter
from mlops_assets.stac.maps.document import read_document
from mlops_assets.store import Store


@dataclass(frozen=True)
class SceneFile:
    """A file of a scene that was read.

    Attributes:
        asset: its key in the scene's STAC Item; empty for a plain file.
        href: where it was read.
        sha256: of its bytes.
        size: in bytes.
    """

    asset: str
    href: str
    sha256: str
    size: int


@dataclass(frozen=True)
class SceneLineage:
    """A scene in a map.

    Attributes:
        name: of the scene.
        href: of its file or STAC Item.
        acquired: when; None if unknown.
        files: that were read.
    """

    name: str
    href: str
    acquired: datetime | None
    files: list[SceneFile]


@dataclass(frozen=True)
class MapLineage:
    """What a map was made from.

    Attributes:
        name: of the map.
        model: reference of the model version.
        deprecated: why the model version is deprecated; None if it is not.
        area: that it is of; None for a map of scenes alone.
        day: of acquisition; None if unknown.
        item: id of its STAC Item, in the Collection `collection`.
        created: when it was made.
        created_by: by whom.
        outside: share of the predicted pixels outside of the area of applicability.
        data: reference of the data version that the model was trained on.
        run_id: of the training run.
        model_sha256: of the `model.onnx` that was run.
        input_digest: sha256 over scenes and settings.
        digest: sha256 over its files.
        settings: what else decides its pixels.
        scenes: in it.
        skipped: scenes that could not be read → why.
        files: published files → sha256.
        software: name → version of what has made it.
    """

    name: str
    model: str
    deprecated: str | None
    area: str | None
    day: str | None
    collection: str
    item: str
    created: datetime
    created_by: str
    outside: float | None
    data: str
    run_id: str
    model_sha256: str
    input_digest: str
    digest: str
    settings: dict[str, object]
    scenes: list[SceneLineage]
    skipped: dict[str, str]
    files: dict[str, str]
    software: dict[str, str]


def find_map(store: Store, name: str, model: Reference | None = None) -> Map:
    """Return the newest map with a name, or with the id of its STAC Item.

    Args:
        store: workspace and registry.
        name: of the map, or of its Item.
        model: model version that made it; any if None.

    Raises:
        NotFound: there is none that the principal may see.
    """
    made_by = {}
    if model is not None:
        row = store.registry.model_version(model)
        made_by = {"model": row.model, "version": row.version}
    for wanted in (MapFilter(name=name, **made_by), MapFilter(item=name, **made_by)):
        if found := store.registry.maps(wanted, limit=1):
            return found[0]
    by = "" if model is None else f" by {model}"
    raise NotFound(f"there is no map {name!r}{by}; see 'mlops map list'")


def map_lineage(store: Store, row: Map) -> MapLineage:
    """Return what a map was made from.

    Args:
        store: workspace and registry.
        row: the map.

    Raises:
        IntegrityError: its document is not as it was published.
        StorageError: it cannot be read.
    """
    document = read_document(store, row)
    deprecation = store.registry.deprecated_versions(row.model).get((row.model, row.version))
    return MapLineage(
        name=row.name,
        model=f"{row.model}@{row.version}",
        deprecated=None if deprecation is None else deprecation.reason,
        area=row.area,
        day=row.day,
        collection=row.collection,
        item=row.item,
        created=row.created,
        created_by=row.created_by,
        outside=row.outside,
        data=f"{row.dataset}@{row.data_version}",
        run_id=row.run_id,
        model_sha256=document.model_sha256,
        input_digest=row.input_digest,
        digest=row.digest,
        settings=dict(document.settings),
        scenes=[
            SceneLineage(
                scene.name,
                scene.href,
                scene.acquired,
                [SceneFile(f.asset, f.href, f.sha256, f.size) for f in scene.files],
            )
            for scene in document.scenes
        ],
        skipped={scene.name: scene.reason for scene in document.skipped},
        files={
            map_key(row.model, row.version, row.name, end): file.sha256
            for end, file in document.files.items()
        },
        software=dict(document.software),
    )


def maps_with(store: Store, sha256: str) -> list[MapLineage]:
    """Return the maps that have a file, or were made from it, as far as the principal may see them.

    Args:
        store: workspace and registry.
        sha256: of the file's bytes.

    Raises:
        IntegrityError: the document of one is not as it was published.
        StorageError: one cannot be read.
    """
    return [map_lineage(store, row) for row in store.registry.maps_with(sha256)]
