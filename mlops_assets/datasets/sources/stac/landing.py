"""Landings that STAC Items describe: files that belong together, their URLs, times and places.

Hrefs may lead to files below the landing, or to https, s3, az and gs, but to no other file of this
machine.
"""

from __future__ import annotations

import hashlib
import posixpath
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote, urlsplit

from mlops_assets.datasets.io.named_files import beside
from mlops_assets.datasets.sources.base import (
    LandedFile,
    Landing,
    Scene,
    SceneProperties,
    below,
)
from mlops_assets.datasets.sources.external_assets import store_outside
from mlops_assets.datasets.sources.listing import Listing, checked
from mlops_assets.datasets.sources.object_store import download, stamp_of
from mlops_assets.datasets.sources.stac.bands import described
from mlops_assets.datasets.sources.stac.crawler import (
    MAX_DOCUMENT,
    Item,
    described_bands,
    item_collection,
    search,
    used_part,
    walk,
)
from mlops_assets.datasets.sources.stac.hrefs import path_below, resolve
from mlops_assets.datasets.specification.source import StacLayout
from mlops_assets.datasets.versions.extents import on_globe
from mlops_assets.errors import EmptyLanding, StorageError
from mlops_assets.storage.scratch import scratch_folder
from mlops_assets.storage.stores import BUCKETS, WEB, explained, join, open_object_store

if TYPE_CHECKING:
    from mlops_assets.datasets.sources.object_store import ReadableStore
    from mlops_assets.datasets.sources.stac.crawler import ItemDocument

_ROLES: tuple[Literal["group", "split", "label"], ...] = ("group", "split", "label")
OUTSIDE = "items/"  # prefix of the landed paths of assets outside of the landing
THREADS = 16  # concurrent HEAD requests


class _Items:
    """The handling of Items that both kinds of STAC landing share.

    Attributes:
        url: of the landing or the API.
        copies: always true: `fetch` makes a local copy.
        scenes: one of each Item, sorted by name, after `list`.
    """

    def __init__(self, url: str, layout: StacLayout) -> None:
        """Take the URL of a landing or an API, and the declared layout."""
        self.url = url
        self._layout = layout
        self.copies = True
        self.scenes: Sequence[Scene] = ()
        self._remote: dict[str, str] = {}  # landed path → URL of assets outside of the landing
        # Item's id → the part of it that belongs to the version
        self._used: dict[str, ItemDocument] = {}
        self._document = b""  # all of them as one, which is landed as `_catalogue`
        self._catalogue: LandedFile | None = None

    def _take(
        self, items: list[Item], listed: Mapping[str, LandedFile], problems: list[str]
    ) -> Listing:
        """Return the files of the Items, and keep what belongs together as `scenes`."""
        labelling = self._labelling(items, problems)
        wanted = self._layout.collections
        scenes: list[Scene] = []
        bare: list[str] = []
        for item in items:
            chosen = not wanted or item.document.get("collection") in wanted
            if chosen and any(key in item.assets for key in self._image_keys(item)):
                scene = self._scene(item, labelling.get(item.id, item), listed, problems)
                scenes += [scene] if scene else []
            elif chosen and self._layout.labels in item.assets and not item.links("source"):
                wanting = " or ".join(map(repr, self._image_keys(item)))
                bare.append(
                    f"Item {item.id}: has labels, but no asset {wanting}; add it or remove the Item"
                )
        problems += bare if scenes else []
        if not items and not problems:
            raise EmptyLanding(f"{self.url} has no Item; land some, or widen the search")
        if not scenes and not problems:
            keys = sorted({key for item in items for key in item.assets})
            problems.append(
                f"no Item has an asset {' or '.join(map(repr, self._layout.images))}; there are"
                f" {', '.join(keys)}; name the assets as 'stac: {{images: [KEY, …]}}'"
            )
        repeated = [
            name for name, times in Counter(scene.name for scene in scenes).items() if times > 1
        ]
        problems += [
            f"{name}: two Items have this id; give each its own" for name in sorted(repeated)
        ]
        users: dict[str, list[str]] = {}
        for scene in scenes:
            for path in scene.images:
                users.setdefault(path, []).append(scene.name)
        problems += [
            f"{path}: is an image of Items {', '.join(names)}; its samples would be duplicates;"
            " keep one of them"
            for path, names in sorted(users.items())
            if len(names) > 1 and not repeated
        ]
        self.scenes = sorted(scenes, key=lambda scene: scene.name)
        paths = {p for scene in scenes for p in (*scene.images, scene.labels) if p}
        names = list(listed)
        documents = {item.path for item in items}
        paths |= {own for path in paths for own in beside(path, names) if own not in documents}
        files = [listed[path] for path in paths if path in listed]
        files += self._heads([path for path in paths if path not in listed], problems)
        if self._layout.assets == "reference":
            files = [replace(file, href=self._href(file.path)) for file in files]
        self._document = item_collection(
            [self._used[scene.name] for scene in self.scenes if not problems]
        )
        stamp = hashlib.sha256(self._document).hexdigest()
        self._catalogue = LandedFile(self._layout.catalog, len(self._document), stamp)
        files.append(self._catalogue)
        return checked(self.url, Listing(files), problems)

    def _image_keys(self, item: Item) -> list[str]:
        return [key.replace("{id}", item.id) for key in self._layout.images]

    def _labelling(self, items: list[Item], problems: list[str]) -> dict[str, Item]:
        """Return the Item that labels each image Item, by the image Item's id.

        An Item of labels names its images by its links `source` (label extension).
        """
        key = self._layout.labels
        found: dict[str, Item] = {}
        by_path = {item.path: item.id for item in items if item.path}
        images = {
            item.id for item in items if any(key in item.assets for key in self._image_keys(item))
        }
        for item in items:
            if key is None or key not in item.assets:
                continue
            for href in item.links("source"):
                known = by_path.get(self._below(resolve(self._url_of(item), href)) or "")
                image = known or posixpath.basename(href).removesuffix(".json")
                if image not in images and item.path:  # what a search finds need not have both
                    problems.append(
                        f"Item {item.id}: labels {href!r}, which is not an Item with an image; add"
                        " or remove it"
                    )
                elif image in found:
                    problems.append(
                        f"Item {image}: is labelled by Items {found[image].id} and {item.id};"
                        " keep one"
                    )
                found[image] = item
        return found

    def _scene(
        self, item: Item, labelled: Item, listed: Mapping[str, LandedFile], problems: list[str]
    ) -> Scene | None:
        keys = self._image_keys(item)
        missing = [key for key in keys if key not in item.assets]
        key = self._layout.labels
        if key and key not in labelled.assets:
            missing.append(key)
        if missing:
            problems.append(
                f"Item {item.id}: has no asset {', '.join(map(repr, missing))}; add it or remove"
                " the Item"
            )
            return None
        images = [self._path(item, k, listed, problems) for k in keys]
        labels = self._path(labelled, key, listed, problems) if key else None
        properties = item.document["properties"]
        kept: SceneProperties = {}
        for role in _ROLES:
            name = getattr(self._layout, role)
            if name and _is_given(properties.get(name)):
                kept[role] = properties[name]
            elif name:
                problems.append(
                    f"Item {item.id}: has no property {name!r} ({role}); add it or remove the Item"
                )
        when, zoneless = _moment(properties)
        bbox = _bbox(item, problems)
        paths = [path for path in images if path]
        if len(paths) < len(images) or (key and labels is None):
            return None
        assets = [(name, item.assets[name], path) for name, path in zip(keys, paths, strict=True)]
        if key and labels:
            assets.append((key, labelled.assets[key], labels))
        self._used[item.id] = used_part(item, assets, self._layout.catalog)
        kept["source"] = _document_url(item, self.url)
        if when:
            kept["datetime"] = when
        return Scene(
            item.id,
            paths,
            labels,
            kept,
            bbox,
            [key.replace("{id}", "").strip("_-. ") for key in self._layout.images],
            described(item.document, keys),
            [described_bands(item.assets[name]) for name in keys],
            zoneless,
        )

    def _path(
        self, item: Item, key: str, listed: Mapping[str, LandedFile], problems: list[str]
    ) -> str | None:
        """Return the landed path of an asset; one outside of the landing gets a path of its Item.

        None if it cannot be used.
        """
        href = item.assets[key]["href"]
        url = resolve(self._url_of(item), href)
        parts = urlsplit(url)
        local = self._below(url)
        remote = parts.scheme in (*BUCKETS, *WEB)
        if remote and parts.query:
            problems.append(
                f"Item {item.id}: asset {key!r} has a signed or query URL, which will not last;"
                " give a plain one"
            )
            return None
        if remote and local is None:
            path = f"{OUTSIDE}{item.id}/{key}/{posixpath.basename(unquote(parts.path))}"
            self._remote[path] = url
            return path
        why = None
        if local is None:
            why = "leads out of the landing"
        elif parts.query or local == item.path:
            why = "names no file of its own"
        elif listed and local not in listed:
            why = "is missing"
        if why:
            problems.append(
                f"Item {item.id}: asset {key!r} at {href!r} {why}; correct the href or land the"
                " file"
            )
            return None
        return local

    def _url_of(self, item: Item) -> str:
        """Return the URL of an Item's document, by which its hrefs are resolved.

        An Item of an API has it in its link `self`.
        """
        if item.path is not None:
            return join(self.url, item.path)
        return next(iter(item.links("self")), self.url)

    def _below(self, url: str) -> str | None:
        """Return the landed path of a URL's target, None if it is outside of the landing."""
        return None

    def _heads(self, paths: list[str], problems: list[str]) -> list[LandedFile]:
        def head(path: str) -> LandedFile | str:
            try:
                store, key = self._store_of(path)
                with explained(self._href(path), "read"):
                    entry = store.head(key)
            except StorageError as error:
                return str(error)
            return LandedFile(path, entry["size"], stamp_of(entry))

        with ThreadPoolExecutor(THREADS) as pool:
            found = list(pool.map(head, paths))
        problems += [result for result in found if isinstance(result, str)]
        return [result for result in found if isinstance(result, LandedFile)]

    def _store_of(self, path: str) -> tuple[ReadableStore, str]:
        """Return the store and key of a landed path: below the landing, or of an Item's href."""
        if path in self._remote and not self._is_of_landing(self._remote[path]):
            return store_outside(self._remote[path])
        return _store_of(self._href(path))

    def _is_of_landing(self, url: str) -> bool:
        """Return whether a URL is of the bucket that the project itself declares."""
        own = urlsplit(url)
        landing = urlsplit(self.url)
        return own.scheme in BUCKETS and (own.scheme, own.netloc) == (
            landing.scheme,
            landing.netloc,
        )

    def _href(self, path: str) -> str:
        return self._remote.get(path) or join(self.url, path)

    def _download(self, file: LandedFile, folder: Path) -> Path:
        url = self._href(file.path)
        store, key = self._store_of(file.path)
        return download(store, key, file, below(folder, file.path), url.removesuffix(f"/{key}"))

    def _write_catalogue(self, folder: Path) -> Path:
        local = below(folder, self._layout.catalog)
        local.parent.mkdir(parents=True, exist_ok=True)
        local.write_bytes(self._document)
        return local

    def _moved(self, files: Iterable[LandedFile]) -> Sequence[str]:
        problems: list[str] = []
        files = list(files)
        now = {
            file.path: file.stamp for file in self._heads([file.path for file in files], problems)
        }
        return [file.path for file in files if now.get(file.path) != file.stamp]

    def settled(self, file: LandedFile, listed: float) -> bool:
        """Return whether the stamp would reveal any later change; see `Landing.settled`.

        Args:
            file: as `list` returned it.
            listed: time of the listing in seconds since the epoch.
        """
        return True


class StacLanding(_Items):
    """A static catalogue: documents and assets below another landing, or below a web URL."""

    def __init__(self, url: str, inner: Landing | None, layout: StacLayout) -> None:
        """Take a landing that STAC describes.

        Args:
            url: of the landing.
            inner: lists and fetches its files; None for a web server, which cannot be listed.
            layout: the declared layout.
        """
        super().__init__(url, layout)
        self._inner = inner

    def list(self) -> Listing:
        """Read the STAC documents and list the assets that they name; see `Landing.list`.

        Returns:
            The files of all Items and a catalogue of these, sorted by path.

        Raises:
            EmptyLanding: there is no Item.
            DataProblems: documents, links, assets or properties that are missing or wrong.
            StorageError: the landing cannot be listed.
        """
        listed = (self._inner.list() if self._inner else Listing(())).by_path
        problems: list[str] = []
        with scratch_folder("stac") as folder:
            read = partial(self._read, listed=listed, folder=folder)
            items = list(walk(read, self._layout.catalog, problems, self._target))
        return self._take(items, listed, problems)

    def _below(self, url: str) -> str | None:
        return path_below(url, self.url)

    def _target(self, path: str, href: str) -> str:
        """Return the landed path of a link's target.

        Raises:
            ValueError: the target is outside of the landing.
        """
        url = resolve(join(self.url, path), href)
        target = self._below(url)
        if target is None:
            raise ValueError("leads out of the landing")
        if urlsplit(url).query:
            raise ValueError("has a query, which no landed file has; give a plain one")
        return target

    def _read(self, path: str, listed: Mapping[str, LandedFile], folder: Path) -> bytes:
        if self._inner and path not in listed:
            raise StorageError("is not in the landing; land it or correct the link")
        problems: list[str] = []
        file = listed.get(path) or next(iter(self._heads([path], problems)), None)
        if file is None:
            raise StorageError(problems[0])
        if file.size > MAX_DOCUMENT:
            raise StorageError(f"has {file.size:,} bytes, too many for a STAC document")
        return self.fetch(file, folder).read_bytes()

    def fetch(self, file: LandedFile, folder: Path) -> Path:
        """Return a local path of an asset or the catalogue; see `Landing.fetch`.

        Args:
            file: as `list` returned it.
            folder: remote files and the catalogue are written below it.

        Raises:
            StorageError: it cannot be read, or has changed since it was listed.
        """
        if file == self._catalogue:
            return self._write_catalogue(folder)
        if self._inner is None or file.path in self._remote:
            return self._download(file, folder)
        return self._inner.fetch(file, folder)

    def changed(self, files: Iterable[LandedFile]) -> Sequence[str]:
        """Return the paths of the assets that have changed or are gone; see `Landing.changed`.

        Args:
            files: as `list` returned them; the catalogue among them does not change.
        """
        mine: list[LandedFile] = []
        other: list[LandedFile] = []
        for file in files:
            if file == self._catalogue:
                continue
            (other if self._inner is None or file.path in self._remote else mine).append(
                replace(file, href=None)
            )
        return [*(self._inner.changed(mine) if self._inner else ()), *self._moved(other)]

    def settled(self, file: LandedFile, listed: float) -> bool:
        """Return whether the stamp would reveal any later change; see `Landing.settled`.

        Args:
            file: as `list` returned it.
            listed: time of the listing in seconds since the epoch.
        """
        if self._inner is None or file == self._catalogue or file.path in self._remote:
            return True
        return self._inner.settled(file, listed)


class StacApiLanding(_Items):
    """A search of a STAC API."""

    def list(self) -> Listing:
        """Search the API and list the assets of the Items found; see `Landing.list`.

        Returns:
            The files of all Items and a catalogue of these, sorted by path.

        Raises:
            EmptyLanding: no Item is found.
            DataProblems: assets or properties that are missing or wrong.
            StorageError: the API cannot be searched.
        """
        problems: list[str] = []
        return self._take(list(search(self.url, self._layout)), {}, problems)

    def fetch(self, file: LandedFile, folder: Path) -> Path:
        """Return a local path of an asset or the catalogue; see `Landing.fetch`.

        Args:
            file: as `list` returned it.
            folder: remote files and the catalogue are written below it.

        Raises:
            StorageError: it cannot be read, or has changed since it was listed.
        """
        return (
            self._write_catalogue(folder)
            if file == self._catalogue
            else self._download(file, folder)
        )

    def changed(self, files: Iterable[LandedFile]) -> Sequence[str]:
        """Return the paths of the assets that have changed or are gone; see `Landing.changed`.

        Args:
            files: as `list` returned them; the catalogue among them does not change.
        """
        return self._moved(file for file in files if file != self._catalogue)


def fetch_reference(path: str, href: str, target: Path) -> None:
    """Copy an asset that is kept by reference to a local path.

    Args:
        path: its landed path, whose prefix marks URLs of external Items.
        href: its URL.
        target: the local path.

    Raises:
        StorageError: it no longer exists, or cannot be read.
    """
    store, key = store_outside(href) if path.startswith(OUTSIDE) else _store_of(href)
    with explained(href, "read"):
        entry = store.head(key)
    download(
        store,
        key,
        LandedFile(key, entry["size"], stamp_of(entry)),
        target,
        href.removesuffix(f"/{key}"),
    )


def _bbox(item: Item, problems: list[str]) -> list[float] | None:
    """Return the bounding box of an Item without heights, None if it has none.

    It is west, south, east, north in degrees (WGS 84).
    """
    bbox = item.document.get("bbox")
    if not bbox:
        return None
    found = on_globe([bbox[0], bbox[1], bbox[len(bbox) // 2], bbox[len(bbox) // 2 + 1]])
    if found is None:
        problems.append(
            f"Item {item.id}: bbox {bbox} is not west, south, east, north in degrees; correct or"
            " remove it"
        )
    return found


def _is_given(value: object) -> bool:
    return value is not None and bool(str(value).strip())


def _store_of(url: str) -> tuple[ReadableStore, str]:
    parts = urlsplit(url)
    return _opened(f"{parts.scheme}://{parts.netloc}"), unquote(parts.path).lstrip("/")


@lru_cache(maxsize=64)
def _opened(url: str) -> ReadableStore:
    store: ReadableStore = open_object_store("file:///" if url.startswith("file:") else url)
    return store


def _document_url(item: Item, landing: str) -> str | None:
    """Return the URL of an Item's own document, if others can reach it."""
    below = [join(landing, item.path)] if item.path else []
    parts = [(url, urlsplit(url)) for url in [*item.links("self"), *below]]
    return next((url for url, p in parts if p.scheme in (*BUCKETS, *WEB) and not p.query), None)


def _moment(properties: Mapping[str, object]) -> tuple[datetime | None, bool]:
    """Return the time of an Item, or the middle of its interval, and whether it has no zone.

    A time without a zone is taken as UTC.
    """
    texts = [properties.get(name) for name in ("datetime", "start_datetime", "end_datetime")]
    try:
        written = [_time(text) for text in texts]
    except (TypeError, ValueError):
        return None, False
    used = [time for time in (written[:1] if written[0] else written[1:]) if time]
    zoneless = any(time.tzinfo is None for time in used)
    times = [time.replace(tzinfo=time.tzinfo or UTC) for time in used]
    if written[0]:
        return times[0], zoneless
    if len(times) < 2:
        return None, False
    start, end = times
    return start + (end - start) / 2, zoneless


def _time(text: object) -> datetime | None:
    if not text:
        return None
    if not isinstance(text, str):
        raise TypeError(f"a time is a text, not {text!r}")
    return datetime.fromisoformat(text)
