"""Walking STAC documents.

A walk starts at a static Catalog, Collection, ItemCollection or Item below a landing, or a STAC
API.

Finds Items. Which of their assets are taken is decided in `stac`.
"""

from __future__ import annotations

import json
import posixpath
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote

from pydantic import BaseModel, Field, ValidationError

from mlops_assets.datasets.io.git_lfs import POINTER, is_pointer, pointer_problem
from mlops_assets.datasets.sources.base import REQUESTS
from mlops_assets.datasets.specification.source import StacLayout
from mlops_assets.errors import StorageError

MAX_DOCUMENT = 64 << 20  # bytes; an ItemCollection beyond this is a search result to be paged
MAX_DOCUMENTS = 500_000  # of a static catalogue; one that a server makes up may have no end
MAX_LEVELS = 100  # of documents that lead to each other
API_TIMEOUT = 60  # seconds for one page
_BEFORE_1_0 = re.compile(r"0\.|1\.0\.0-")


class _Link(BaseModel):
    rel: str
    href: str


class _Asset(BaseModel):
    href: str


class _Links(BaseModel):
    """The fields that a Catalog or Collection must have for us."""

    links: list[_Link]


class _Features(BaseModel):
    """The fields that an ItemCollection must have for us."""

    features: list[Any]


class _Item(BaseModel):
    """The fields that an Item must have for us."""

    id: str = Field(min_length=1)
    assets: dict[str, _Asset]
    links: list[_Link] = []
    properties: dict[str, Any]
    bbox: list[float] | None = Field(default=None, min_length=4, max_length=6)


_NEEDED: dict[str, type[BaseModel]] = {
    "Catalog": _Links,
    "Collection": _Links,
    "FeatureCollection": _Features,
    "Feature": _Item,
}


# modules of pystac import each other; two threads would each find the other's half done
_IMPORTING = threading.Lock()


@dataclass(frozen=True)
class Item:
    """An Item, and the landed path of the document it was read from (None from an API)."""

    document: dict[str, Any]
    path: str | None

    @property
    def id(self) -> str:
        """The Item's id."""
        return str(self.document["id"])


def walk(
    read: Callable[[str], bytes],
    start: str,
    problems: list[str],
    target_of: Callable[[str, str], str],
) -> Iterator[Item]:
    """Yield all Items that a document leads to, each document once.

    Args:
        read: gives the bytes of a landed path; raises StorageError.
        start: path of the first document.
        target_of: gives the landed path that a link in the document at a path leads to; raises
            ValueError.
        problems: what cannot be followed is added here.

    Raises:
        StorageError: it has no end.
    """
    waiting, seen = [start], {start}
    pointers: list[str] = []
    levels = 0
    with ThreadPoolExecutor(REQUESTS) as pool:
        while waiting:
            level, waiting = waiting, []
            levels += 1
            if levels > MAX_LEVELS or len(seen) > MAX_DOCUMENTS:
                raise StorageError(
                    f"{start} leads to more than {MAX_DOCUMENTS:,} documents, or {MAX_LEVELS} below"
                    " each other; name a smaller catalogue, or remove links"
                )
            for path, (document, problem) in zip(
                level, pool.map(partial(_parsed, read), level), strict=True
            ):
                if problem == POINTER:
                    pointers.append(path)
                    continue
                if problem:
                    problems.append(f"{path}: {problem}")
                    continue
                yield from _items(document, path, problems)
                for href in _links(document):
                    try:
                        target = target_of(path, href)
                    except ValueError as error:
                        problems.append(f"{path}: its link {href!r} {error}")
                        continue
                    if target not in seen:
                        seen.add(target)
                        waiting.append(target)
    if pointers:
        problems.append(pointer_problem(pointers))


def _parsed(read: Callable[[str], bytes], path: str) -> tuple[dict[str, Any], str | None]:
    """Return a STAC document, or why it is none."""
    try:
        content = read(path)
        if is_pointer(content):
            return {}, POINTER
        document = _migrated(json.loads(content))
        kind = document["type"]
    except StorageError as error:
        return {}, str(error)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        return {}, f"is no STAC document ({type(error).__name__}: {error}); correct or remove it"
    if not isinstance(kind, str) or kind not in _NEEDED:
        return {}, f"is of type {kind!r}; a Catalog, Collection, ItemCollection or Item is needed"
    return document, _lacking(document, _NEEDED[kind])


def _migrated(document: Any) -> Any:
    """Return a document of STAC before 1.0 as pystac brings it up to date, any other as it is.

    Raises:
        ValueError: it cannot be migrated.
    """
    version = document.get("stac_version") if isinstance(document, dict) else None
    if not isinstance(version, str) or not _BEFORE_1_0.match(version):
        return document
    with _IMPORTING:
        from pystac.errors import STACError, STACTypeError
        from pystac.serialization import identify_stac_object, migrate_to_latest

    if document.get("type") == "FeatureCollection" and isinstance(document.get("features"), list):
        features = document["features"]
        return {
            **document,
            "features": [_migrated(_with_version(feature, version)) for feature in features],
        }
    try:
        return migrate_to_latest(document, identify_stac_object(document))
    except (STACError, STACTypeError, LookupError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(
            f"it is STAC {version}; migrate it with pystac, which says {error}"
        ) from error


def _with_version(feature: Any, version: str) -> Any:
    return {"stac_version": version, **feature} if isinstance(feature, dict) else feature


def _lacking(document: Any, needed: type[BaseModel]) -> str | None:
    """Return what keeps a document from being used, or None."""
    try:
        needed.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        return f"is not a whole STAC document ({where}: {first['msg']}); correct or remove it"
    return None


def _items(document: dict[str, Any], path: str, problems: list[str]) -> Iterator[Item]:
    if document["type"] == "Feature":
        yield Item(document, path)
    for number, feature in enumerate(
        document["features"] if document["type"] == "FeatureCollection" else (), start=1
    ):
        problem = _lacking(feature, _Item)
        if problem:
            problems.append(f"{path}: feature {number} {problem}")
        else:
            yield Item(feature, path)


def _links(document: dict[str, Any]) -> list[str]:
    links = document["links"] if document["type"] in ("Catalog", "Collection") else []
    return [link["href"] for link in links if link["rel"] in ("child", "item", "items")]


def described_bands(asset: dict[str, Any]) -> list[str] | None:
    """Return an Item's names of the bands of an asset, in file order, if it names each.

    Bands are those of STAC 1.1, or of the extension eo.
    """
    entries = asset.get("bands") or asset.get("eo:bands")
    if not isinstance(entries, list):
        return None
    names = [entry.get("name") if isinstance(entry, dict) else None for entry in entries]
    named = [name for name in names if isinstance(name, str)]
    return named if named and len(set(named)) == len(names) else None


def used_part(
    item: Item, assets: Iterable[tuple[str, dict[str, Any], str]], catalogue: str
) -> dict[str, Any]:
    """Return what of an Item belongs to a data version.

    It has no links, as they lead elsewhere, and only the assets that are used.

    Args:
        item: the Item.
        assets: key, document and landed path of each.
        catalogue: path of the document that the Item will be in; the hrefs are relative to it.
    """
    folder = posixpath.dirname(catalogue) or "."
    kept = {
        key: {**asset, "href": quote(posixpath.relpath(path, folder))}
        for key, asset, path in assets
    }
    return {**item.document, "links": [], "assets": kept}


def item_collection(items: Iterable[dict[str, Any]]) -> bytes:
    """Return Items as one document; equal Items in equal order are equal bytes."""
    document = {"type": "FeatureCollection", "features": list(items)}
    return json.dumps(document, sort_keys=True, indent=1, ensure_ascii=False).encode()


def search(url: str, layout: StacLayout) -> Iterator[Item]:
    """Yield the Items that a STAC API finds, page by page.

    Its links may lead to public web servers only.

    Raises:
        StorageError: the API cannot be opened or searched.
    """
    import requests
    from pystac.errors import STACError, STACTypeError
    from pystac_client import Client
    from pystac_client.errors import ClientTypeError
    from pystac_client.exceptions import APIError

    from mlops_assets.datasets.sources.stac.api import ApiIO

    try:
        client = Client.open(
            url, stac_io=ApiIO(url, API_TIMEOUT, MAX_DOCUMENT), timeout=API_TIMEOUT
        )
        found = client.search(
            collections=layout.collections,
            bbox=layout.bbox,
            datetime=layout.datetime,
            filter=layout.query,
            filter_lang="cql2-text" if layout.query else None,
        )
        for document in found.items_as_dicts():
            problem = _lacking(document, _Item)
            if problem:
                raise ValueError(f"Item {_id_of(document)} {problem}")
            yield Item(document, None)
    except (
        APIError,
        requests.RequestException,
        STACError,
        STACTypeError,
        ClientTypeError,
        NotImplementedError,
        LookupError,
        TypeError,
        AttributeError,
        ValueError,
        RecursionError,
    ) as error:
        text = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
        raise StorageError(
            f"STAC API {url} could not be searched: {text}; check the URL and the search"
        ) from error


def _id_of(document: Any) -> str:
    return repr(document.get("id") if isinstance(document, dict) else None)
