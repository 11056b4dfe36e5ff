"""Scenes of STAC Items, with URLs of their assets that hold wherever the Item travels."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, cast
from urllib.parse import unquote, urlsplit

from mlops_assets.datasets.sources.stac.hrefs import path_below, resolve
from mlops_assets.datasets.versions.extents import on_globe
from mlops_assets.errors import SpecificationError
from mlops_assets.prediction.scenes.found import Bounds, FoundScene
from mlops_assets.prediction.scenes.interval import parse_time
from mlops_assets.text.secret_urls import redacted

if TYPE_CHECKING:
    from mlops_assets.datasets.sources.stac.crawler import Item
    from mlops_assets.prediction.scenes.sources.files import Own

# endings of files that are scenes of their own in a folder
RASTERS = (".tif", ".tiff", ".jp2", ".img")
_NAMED_RASTERS = (*RASTERS, ".vrt", ".png", ".jpg", ".jpeg", ".webp", ".grib", ".grb2", ".nc")
_MEDIA = ("image/tiff", "image/vnd.stac.geotiff", "image/jp2", "image/jpx", "application/x-geotiff")
# of assets that are pictures of the data, or describe it
_PICTURES = frozenset({"thumbnail", "overview", "visual", "metadata", "preview", "tci"})


def is_raster(url: str) -> bool:
    """Return whether a URL names a raster, by the ending of its path."""
    return urlsplit(url).path.lower().endswith(_NAMED_RASTERS)


def raster_assets(item: Mapping[str, object]) -> dict[str, Mapping[str, object]]:
    """Return the assets of an Item that are rasters of data, by their keys.

    Pictures of the data are left out, by their roles or keys.
    """
    assets = cast("dict[str, Mapping[str, object]]", item["assets"])
    return {key: asset for key, asset in assets.items() if _is_data(key, asset)}


def _is_data(key: str, asset: Mapping[str, object]) -> bool:
    roles = asset.get("roles")
    names = {str(role).lower() for role in roles} if isinstance(roles, list) else set()
    if _PICTURES & {*names, key.lower()} and "data" not in names:
        return False
    media = str(asset.get("type") or "").lower()
    path = urlsplit(str(asset["href"])).path.lower()
    return media.startswith(_MEDIA) or path.endswith(RASTERS)


def scene_of_item(item: Item, url: str, own: Own) -> FoundScene:
    """Return the scene of an Item.

    Args:
        item: as it was found.
        url: of the document that has it, by which its hrefs are resolved.
        own: places that are read with the user's rights.

    Raises:
        SpecificationError: an asset that may be needed is a file of this machine, and may not be
            named by this Item.
    """
    document = item.document
    assets: dict[str, object] = {}
    for key, asset in document["assets"].items():
        href = _href(item, key, url, own)
        if href is not None:
            assets[key] = {**asset, "href": href}
    properties = document["properties"]
    kept = cast("dict[str, object]", {**document, "assets": assets})
    kept.pop("links", None)
    return FoundScene(item.id, url, _acquired(properties), _bounds(document.get("bbox")), item=kept)


def _href(item: Item, key: str, url: str, own: Own) -> str | None:
    """Return the URL of an asset; None of one that is not data, and may not be named by the Item.

    An Item on this machine may name files of it by relative paths, and below its source; one of a
    folder only those below that. No Item may name others, but those of the workspace.
    """
    href = item.assets[key]["href"]
    target = resolve(url, href)
    if urlsplit(target).scheme != "file":
        return target
    relative = not urlsplit(href).scheme and not href.startswith("/")
    folder = posixpath.dirname(own.source)
    relative = relative and not own.source.endswith("/")
    below = own.caller is None and (
        path_below(target, own.workspace)
        or (url.startswith("file:") and (relative or path_below(target, folder)))
    )
    if below:
        return target
    if not _is_data(key, {**item.assets[key]}):
        return None  # it could still be named as a mask
    raise SpecificationError(
        f"Item {item.id} of {redacted(url)}: asset {key!r} is {unquote(urlsplit(target).path)},"
        " which is not read, as an Item names it by its path on this machine; make its hrefs"
        " relative, as pystac's make_all_asset_hrefs_relative does"
    )


def _acquired(properties: Mapping[str, object]) -> datetime | None:
    """Return the time of an Item, or the first of its interval; None if it is unknown."""
    for name in ("datetime", "start_datetime"):
        text = properties.get(name)
        if isinstance(text, str):
            with suppress(ValueError, OverflowError):
                return parse_time(text)
    return None


def _bounds(bbox: list[float] | None) -> Bounds | None:
    if not bbox:
        return None
    half = len(bbox) // 2
    found = on_globe([bbox[0], bbox[1], bbox[half], bbox[half + 1]])
    return None if found is None else cast("Bounds", tuple(found))
