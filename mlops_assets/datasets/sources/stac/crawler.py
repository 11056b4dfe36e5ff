"""Items of STAC documents: of static catalogues below a landing, or of a STAC API.

Which of their assets are used is decided in `landing`.
"""

from __future__ import annotations

import json
import posixpath
import re
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, NotRequired, TypeAlias, cast
from urllib.parse import quote

from pydantic import Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from mlops_assets.datasets.io.git_lfs import POINTER, is_pointer, pointer_problem
from mlops_assets.datasets.sources.base import REQUESTS
from mlops_assets.datasets.specification.source import StacLayout
from mlops_assets.errors import StorageError, StorageUnreachable

MAX_DOCUMENT = 64 << 20  # bytes; an ItemCollection beyond this is a search result to be paged
MAX_DOCUMENTS = 500_000  # of a static catalogue; one that a server generates may be endless
MAX_LEVELS = 100  # of documents that lead to each other
API_TIMEOUT = 60  # seconds for one page
_BEFORE_1_0 = re.compile(r"0\.|1\.0\.0-")


class Link(TypedDict):
    """A link of a STAC document, as far as it is read."""

    rel: str
    href: str


class Asset(TypedDict):
    """An asset of an Item, as far as it must be valid."""

    href: str


class Catalog(TypedDict):
    """A Catalog or Collection, as far as it must be valid."""

    links: list[Link]


class ItemCollection(TypedDict):
    """An ItemCollection, as far as it must be valid."""

    features: list[object]


class ItemDocument(TypedDict):
    """An Item, as far as it must be valid."""

    id: Annotated[str, Field(min_length=1)]
    assets: dict[str, Asset]
    links: NotRequired[list[Link]]
    properties: dict[str, object]
    bbox: NotRequired[Annotated[list[float], Field(min_length=4, max_length=6)] | None]
    collection: NotRequired[object]


Valid: TypeAlias = TypeAdapter[Catalog] | TypeAdapter[ItemCollection] | TypeAdapter[ItemDocument]
_ITEM = TypeAdapter(ItemDocument)
_VALID: dict[str, Valid] = {
    "Catalog": TypeAdapter(Catalog),
    "Collection": TypeAdapter(Catalog),
    "FeatureCollection": TypeAdapter(ItemCollection),
    "Feature": _ITEM,
}


# modules of pystac import each other; two threads would each find the other's import unfinished
_IMPORTING = threading.Lock()


@dataclass(frozen=True)
class Item:
    """An Item, and the landed path of the document it was read from (None from an API)."""

    document: ItemDocument
    path: str | None

    @property
    def id(self) -> str:
        """The Item's id."""
        return self.document["id"]

    @property
    def assets(self) -> dict[str, Asset]:
        """The Item's assets, by their keys."""
        return self.document["assets"]

    def links(self, rel: str) -> list[str]:
        """Return the hrefs of the Item's links of a relation."""
        return [link["href"] for link in self.document.get("links", []) if link["rel"] == rel]


def walk(
    read: Callable[[str], bytes],
    start: str,
    problems: list[str],
    target_of: Callable[[str, str], str],
) -> Iterator[Item]:
    """Yield all Items that a document leads to, each document once.

    Args:
        read: returns the bytes of a landed path; raises StorageError.
        start: landed path of the first document.
        problems: extended with documents and links that cannot be followed.
        target_of: returns the landed path of a link, by the landed path of its document and its
            href; raises ValueError.

    Raises:
        StorageError: there are too many documents or levels.
    """
    waiting = [start]
    seen = {start}
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
            for path, document in zip(level, pool.map(partial(_parsed, read), level), strict=True):
                if document == POINTER:
                    pointers.append(path)
                    continue
                if isinstance(document, str):
                    problems.append(f"{path}: {document}")
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


def items_of(content: bytes, path: str) -> list[Item]:
    """Return the Items of one document; none if it has none, or is not valid.

    Args:
        content: its bytes.
        path: of the document.
    """
    document = _parsed(lambda _: content, path)
    return [] if isinstance(document, str) else list(_items(document, path, []))


def _parsed(read: Callable[[str], bytes], path: str) -> dict[str, object] | str:
    """Return a STAC document, or why it cannot be used."""
    try:
        content = read(path)
        if is_pointer(content):
            return POINTER
        document = _migrated(json.loads(content))
        kind = document["type"]
    except StorageError as error:
        return str(error)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        return f"is not a STAC document ({type(error).__name__}: {error}); correct or remove it"
    if not isinstance(kind, str) or kind not in _VALID:
        return f"is of type {kind!r}; a Catalog, Collection, ItemCollection or Item is needed"
    return _lacking(document, _VALID[kind]) or cast("dict[str, object]", document)


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
            f"it is STAC {version}; migrate it with pystac, which reports {error}"
        ) from error


def _with_version(feature: object, version: str) -> object:
    return {"stac_version": version, **feature} if isinstance(feature, dict) else feature


def _lacking(document: object, needed: Valid) -> str | None:
    """Return why a document cannot be used, or None."""
    try:
        needed.validate_python(document)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        return f"is not a valid STAC document ({where}: {first['msg']}); correct or remove it"
    return None


def _items(document: dict[str, object], path: str, problems: list[str]) -> Iterator[Item]:
    if document["type"] == "Feature":
        yield Item(cast("ItemDocument", document), path)
    if document["type"] != "FeatureCollection":
        return
    for number, feature in enumerate(cast("ItemCollection", document)["features"], start=1):
        problem = _lacking(feature, _ITEM)
        if problem:
            problems.append(f"{path}: feature {number} {problem}")
        else:
            yield Item(cast("ItemDocument", feature), path)


def _links(document: dict[str, object]) -> list[str]:
    if document["type"] not in ("Catalog", "Collection"):
        return []
    links = cast("Catalog", document)["links"]
    return [link["href"] for link in links if link["rel"] in ("child", "item", "items")]


def described_bands(asset: Mapping[str, object]) -> list[str] | None:
    """Return an Item's names of the bands of an asset, in file order, if it names each.

    Bands are those of STAC 1.1, or of the extension eo.
    """
    entries = asset.get("bands") or asset.get("eo:bands")
    if not isinstance(entries, list):
        return None
    names = [entry.get("name") if isinstance(entry, dict) else None for entry in entries]
    named = [name for name in names if isinstance(name, str)]
    return named if named and len(set(named)) == len(names) else None


def used_part(item: Item, assets: Iterable[tuple[str, Asset, str]], catalogue: str) -> ItemDocument:
    """Return the part of an Item that belongs to a data version: the used assets, without links.

    Args:
        item: the Item.
        assets: key, document and landed path of each.
        catalogue: landed path of the document that the Item will be in; hrefs are relative to it.
    """
    folder = posixpath.dirname(catalogue) or "."
    kept: dict[str, Asset] = {}
    for key, asset, path in assets:
        kept[key] = {**asset, "href": quote(posixpath.relpath(path, folder))}
    return {**item.document, "links": [], "assets": kept}


def item_collection(items: Iterable[ItemDocument]) -> bytes:
    """Return Items as one document; equal Items in equal order are equal bytes."""
    document = {"type": "FeatureCollection", "features": list(items)}
    return json.dumps(document, sort_keys=True, indent=1, ensure_ascii=False).encode()


def search(url: str, layout: StacLayout) -> Iterator[Item]:
    """Yield the Items that a STAC API finds, page by page.

    Its links may lead to public web servers only.

    Args:
        url: of the API.
        layout: with collections, bounding box (degrees), time and query of the search.

    Raises:
        StorageError: the API cannot be opened or searched.
    """
    import requests
    from pystac.errors import STACError, STACTypeError
    from pystac_client import Client
    from pystac_client.errors import ClientTypeError
    from pystac_client.exceptions import APIError
    from pystac_client.warnings import DoesNotConformTo

    from mlops_assets.datasets.sources.stac.api import ApiIO

    try:
        client = Client.open(
            url, stac_io=ApiIO(url, API_TIMEOUT, MAX_DOCUMENT), timeout=API_TIMEOUT
        )
        with warnings.catch_warnings():
            # the server would ignore the query and return other Items
            warnings.simplefilter("error", DoesNotConformTo)
            found = client.search(
                collections=layout.collections,
                bbox=layout.bbox,
                datetime=layout.datetime,
                filter=layout.query,
                filter_lang="cql2-text" if layout.query else None,
            )
        for document in found.items_as_dicts():
            problem = _lacking(document, _ITEM)
            if problem:
                raise ValueError(f"Item {_id_of(document)} {problem}")
            yield Item(cast("ItemDocument", document), None)
    except (
        APIError,
        DoesNotConformTo,
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
        failed = isinstance(error.__context__, requests.ConnectionError | requests.Timeout)
        kind = StorageUnreachable if failed or _status(error) >= 500 else StorageError
        raise kind(
            f"STAC API {url} could not be searched: {text}; check the URL and the search"
        ) from error


def _status(error: Exception) -> int:
    """Return the status of the response that an error is about; 0 if it is about none."""
    return getattr(error, "status_code", None) or 0


def _id_of(document: object) -> str:
    return repr(document.get("id") if isinstance(document, dict) else None)
