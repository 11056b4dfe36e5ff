"""Scenes of files, folders, buckets, STAC documents and STAC APIs; no pixels are read."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from mlops_assets.errors import NoScenes, SpecificationError
from mlops_assets.prediction.scenes.found import FoundScene
from mlops_assets.prediction.scenes.sources.files import Own, absolute, local_path
from mlops_assets.prediction.scenes.sources.items import is_raster
from mlops_assets.prediction.scenes.sources.listed import scenes_of_file, scenes_of_folder
from mlops_assets.prediction.scenes.sources.search import SceneSearch, reaches
from mlops_assets.prediction.scenes.sources.stac import scenes_of_api, scenes_of_document
from mlops_assets.storage.stores import WEB
from mlops_assets.text.listing import named
from mlops_assets.text.secret_urls import redacted

if TYPE_CHECKING:
    from mlops_assets.store import Store

API = "stac+"  # before the URL of a STAC API
_DOCUMENTS = (".json", ".geojson")
_UNFIT = re.compile(r"[^A-Za-z0-9._-]+")
_MAX_NAME = 100


def find_scenes(
    store: Store, sources: Sequence[str], search: SceneSearch | None = None
) -> list[FoundScene]:
    """Return the wanted scenes of some sources.

    A source is a raster; a folder, or a prefix of a bucket, with rasters and STAC Items; a STAC
    Item, Collection, Catalog or ItemCollection (JSON); or a STAC API (its landing page, one of its
    Collections, or any URL with `stac+` before it).

    Args:
        store: its workspace may hold assets of the Items.
        sources: URLs, or paths from the current folder.
        search: the wanted ones; all if not given.

    Returns:
        Each scene once, by time of acquisition and name; those of unknown time last.

    Raises:
        NoScenes: no scene is of the area and time.
        SpecificationError: a source cannot be used, or scenes without a time cannot be chosen by
            it.
        StorageError: a source cannot be read.
    """
    wanted = search or SceneSearch()
    found = [scene for source in sources for scene in _of_source(store, source, wanted)]
    scenes = list({(scene.href, scene.name): scene for scene in found}.values())
    where = named([redacted(source) for source in sources], 3)
    if not scenes:
        raise NoScenes(f"{where} has no scene; name another source, or widen the search")
    return sorted(_named(_wanted(scenes, wanted, where)), key=lambda scene: scene.order)


def _of_source(store: Store, source: str, search: SceneSearch) -> Iterator[FoundScene]:
    if source.startswith(API):
        own = Own(source.removeprefix(API), store.workspace.url)
        return scenes_of_api(own, search)
    url = absolute(source).rstrip("/")
    own = Own(url, store.workspace.url)
    if search.query is not None and not url.startswith(WEB):
        raise SpecificationError(
            f"{redacted(source)} is not a STAC API, which alone can be searched by a query; leave"
            " out the query"
        )
    local = local_path(url)
    if url.lower().endswith(_DOCUMENTS):
        return scenes_of_document(own, search)
    if local is not None:
        return scenes_of_folder(own) if local.is_dir() else scenes_of_file(own)
    if is_raster(url):
        return scenes_of_file(own)
    return scenes_of_document(own, search) if url.startswith(WEB) else scenes_of_folder(own)


def _wanted(scenes: list[FoundScene], search: SceneSearch, where: str) -> list[FoundScene]:
    """Return the scenes of the collections, area and time of a search.

    Raises:
        NoScenes: there are none.
        SpecificationError: it has a time, and scenes have none.
    """
    if search.collections:
        found = [scene for scene in scenes if _collection(scene) in search.collections]
        if not found:
            present = sorted({_collection(scene) or "none" for scene in scenes})
            raise NoScenes(
                f"{where} has no scene of {named(search.collections)}; its collections are"
                f" {named(present)}"
            )
        scenes = found
    place = search.place()
    if place is not None:
        found = [scene for scene in scenes if reaches(scene, place)]
        if not found:
            bounds = ", ".join(f"{degrees:.4f}" for degrees in place.bounds)
            raise NoScenes(
                f"{where} has no scene that reaches the area ({bounds}), but {len(scenes)}"
                " elsewhere; name another source, or check that the area is in longitude and"
                " latitude"
            )
        scenes = found
    interval = search.interval()
    if interval is None:
        return scenes
    dated = [(scene, scene.acquired) for scene in scenes]
    undated = [scene.name for scene, acquired in dated if acquired is None]
    if undated:
        raise SpecificationError(
            f"{named(undated)}: the time of acquisition is not known, so {search.datetime!r} cannot"
            " choose them; put a STAC Item beside each, or leave out the time"
        )
    found = [scene for scene, acquired in dated if acquired and acquired in interval]
    if not found:
        times = sorted(acquired for _, acquired in dated if acquired)
        raise NoScenes(
            f"{where} has no scene that was acquired in {search.datetime}, but {len(scenes)} from"
            f" {times[0]:%Y-%m-%d} to {times[-1]:%Y-%m-%d}; name another time"
        )
    return found


def _collection(scene: FoundScene) -> str | None:
    found = None if scene.item is None else scene.item.get("collection")
    return found if isinstance(found, str) else None


def _named(scenes: list[FoundScene]) -> list[FoundScene]:
    """Return the scenes with names that are unique and fit for a path.

    Names of files have a digest of their URL, so that scenes of one name in several folders are
    kept apart; Items have their ids, with a digest only where that is needed.
    """
    fit = [_UNFIT.sub("-", scene.name).strip(".-")[:_MAX_NAME] for scene in scenes]
    times = Counter(name.lower() for name in fit)
    return [
        scene
        if scene.item is not None and name == scene.name and times[name.lower()] == 1
        else replace(scene, name="-".join(filter(None, [name, _digest(scene)])))
        for scene, name in zip(scenes, fit, strict=True)
    ]


def _digest(scene: FoundScene) -> str:
    own = scene.href if scene.item is None else f"{scene.href}\n{scene.name}"
    return hashlib.sha256(own.encode()).hexdigest()[:8]
