"""Scenes of rasters: one that is named, or all of a folder or a prefix of a bucket."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator
from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, TypeAlias, cast
from urllib.parse import quote, unquote, urlsplit

from mlops_assets.datasets.io.raster_formats import GEOTIFFS
from mlops_assets.datasets.io.raster_places import box_on_earth
from mlops_assets.datasets.io.rasters import acquired, open_raster
from mlops_assets.datasets.sources.base import together
from mlops_assets.datasets.sources.folder import FolderLanding
from mlops_assets.datasets.sources.object_store import BucketLanding
from mlops_assets.datasets.sources.stac.crawler import MAX_DOCUMENT, Item, items_of
from mlops_assets.errors import EmptyLanding, NoScenes, StorageError
from mlops_assets.prediction.scenes.found import Bounds, FoundScene
from mlops_assets.prediction.scenes.sources.files import (
    Own,
    head,
    local_path,
    read_document,
    read_first,
)
from mlops_assets.prediction.scenes.sources.items import (
    RASTERS,
    raster_assets,
    scene_of_item,
)
from mlops_assets.storage.scratch import scratch_folder
from mlops_assets.storage.stores import BUCKETS, join
from mlops_assets.text.secret_urls import redacted

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from mlops_assets.datasets.sources.listing import Listing

Place: TypeAlias = "tuple[datetime | None, Bounds | None]"
# of a Cloud-Optimised GeoTIFF, which has its directories before its pixels
_HEADER_BYTES = 256 << 10


def scenes_of_file(own: Own) -> Iterator[FoundScene]:
    """Yield the scene of a raster; a STAC Item beside it describes it.

    Args:
        own: the raster, and the workspace.

    Raises:
        StorageError: it is not there.
    """
    for url in _documents_beside(own.source):
        for item in _items(url, own):
            scene = scene_of_item(_with_files_beside(item, url, {own.source}), url, own)
            if own.source in _rasters_of(scene):
                yield scene
                return
    yield _of_raster(own.source, own)


def scenes_of_folder(own: Own) -> Iterator[FoundScene]:
    """Yield the scenes of a folder or prefix: its STAC Items, and rasters that no Item names.

    Args:
        own: the folder, and the workspace.

    Raises:
        NoScenes: there is no raster.
        StorageError: it cannot be listed.
    """
    listing = _listing(own.source)
    documents = [path for path in listing.paths if path.lower().endswith(".json")]
    urls = [join(own.source, path) for path in documents]
    rasters = [join(own.source, path) for path in listing.paths if path.lower().endswith(RASTERS)]
    present = set(rasters)
    claimed: set[str] = set()
    found: list[FoundScene] = []
    folder = replace(own, source=f"{own.source}/")
    for url, items in zip(urls, together(lambda url: _items(url, own), urls), strict=True):
        for item in items:
            if raster_assets(cast("dict[str, object]", item.document)):
                scene = scene_of_item(_with_files_beside(item, url, present), url, folder)
                # an ItemCollection may repeat Items that have documents of their own
                if not _rasters_of(scene) <= claimed:
                    found.append(scene)
                    claimed |= _rasters_of(scene)
    alone = [url for url in rasters if url not in claimed]
    if not found and not alone:
        raise NoScenes(
            f"{redacted(own.source)} has no raster ({', '.join(RASTERS)}) and no STAC Item; name"
            " another folder"
        )
    yield from found
    yield from together(lambda url: _of_raster(url, own), alone)


def _listing(url: str) -> Listing:
    """Return the files of a folder or prefix.

    Raises:
        NoScenes: there are none, or no folder.
        StorageError: it cannot be listed.
    """
    local = local_path(url)
    try:
        return (BucketLanding(url) if local is None else FolderLanding(local)).list()
    except EmptyLanding as error:
        raise NoScenes(
            f"{redacted(url)} is empty or not there; put scenes into it, or name another folder"
        ) from error


def _items(url: str, own: Own) -> list[Item]:
    """Return the Items of a document; none if it is not there, or is something else."""
    try:
        return items_of(read_document(url, own, MAX_DOCUMENT), url)
    except StorageError:
        return []


def _documents_beside(url: str) -> list[str]:
    """Return the URLs that the Item of a raster has; a web server would be asked in vain."""
    scheme = urlsplit(url).scheme
    if scheme not in ("file", *BUCKETS):
        return []
    return [f"{posixpath.splitext(url)[0]}.json", f"{url}.json"]


def _with_files_beside(item: Item, url: str, rasters: set[str]) -> Item:
    """Return an Item whose assets are the files beside it, where these have the assets' names.

    Items that were downloaded with their files still have the URLs of where they came from.
    """
    folder = posixpath.dirname(url)
    assets = {**item.assets}
    for key, asset in assets.items():
        name = quote(posixpath.basename(unquote(urlsplit(asset["href"]).path)))
        if f"{folder}/{name}" in rasters:
            assets[key] = {**asset, "href": name}
    return Item({**item.document, "assets": assets}, item.path)


def _rasters_of(scene: FoundScene) -> set[str]:
    item = scene.item or {"assets": {}}
    return {str(asset["href"]) for asset in raster_assets(item).values()}


def _of_raster(url: str, own: Own) -> FoundScene:
    """Return the scene of a raster; of a remote one, only a GeoTIFF's first bytes are read.

    Raises:
        NoScenes: it is not there.
        StorageError: it cannot be read.
    """
    name = PurePosixPath(unquote(urlsplit(url).path)).stem
    local = local_path(url)
    if local is None:
        size = head(url, own)["size"]
        place: Place = (None, None)
        if url.lower().endswith(GEOTIFFS):
            with scratch_folder("header") as folder:
                header = folder / "header.tif"
                header.write_bytes(read_first(url, own, _HEADER_BYTES))
                # GDAL finds the size that the header has
                os.truncate(header, size)
                place = _place(header)
    elif local.is_file():
        size = local.stat().st_size
        place = _place(local)
    else:
        raise NoScenes(f"{local} is not there; name a raster, a folder or a STAC document")
    return FoundScene(name, url, *place, size)


def _place(local: Path) -> Place:
    """Return when and where a raster was taken.

    One that cannot be opened is reported where it is read, so that it does not stop the others.
    """
    try:
        with open_raster(local) as raster:
            box = box_on_earth(raster)
            return acquired(raster), None if box is None else cast("Bounds", tuple(box))
    except ValueError:
        return None, None
