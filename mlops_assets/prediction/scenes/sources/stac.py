"""Scenes of STAC documents and of searches of STAC APIs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast
from urllib.parse import quote

from mlops_assets.datasets.sources.stac.crawler import MAX_DOCUMENT, Item, walk
from mlops_assets.datasets.sources.stac.crawler import search as search_api
from mlops_assets.datasets.sources.stac.hrefs import resolve, same_origin
from mlops_assets.datasets.specification.source import StacLayout
from mlops_assets.errors import SpecificationError
from mlops_assets.prediction.scenes.sources.files import Own, read_document
from mlops_assets.prediction.scenes.sources.items import raster_assets, scene_of_item
from mlops_assets.text.listing import named
from mlops_assets.text.secret_urls import redacted

if TYPE_CHECKING:
    from mlops_assets.prediction.scenes.found import FoundScene
    from mlops_assets.prediction.scenes.sources.search import SceneSearch

_MAX_PROBLEMS = 20  # in a message


def scenes_of_api(own: Own, search: SceneSearch) -> Iterator[FoundScene]:
    """Yield the scenes that a STAC API finds.

    Args:
        own: the API, and the workspace.
        search: the wanted ones.

    Raises:
        StorageError: the API cannot be searched.
        SpecificationError: Items have no raster.
    """
    bounds = search.bounds()
    layout = StacLayout(
        collections=list(search.collections) or None,
        bbox=None if bounds is None else list(bounds),
        datetime=search.datetime,
        query=search.query,
    )
    api = own.source.rstrip("/")
    items: list[tuple[Item, str]] = []
    for item in search_api(own.source, layout):
        collection = str(item.document.get("collection"))
        # not its link to itself, which may lead anywhere
        url = f"{api}/collections/{quote(collection, safe='')}/items/{quote(item.id, safe='')}"
        items.append((item, url))
    return _scenes(items, own)


def scenes_of_document(own: Own, search: SceneSearch) -> Iterator[FoundScene]:
    """Yield the scenes of a STAC document and of all documents that it leads to.

    Args:
        own: the document, and the workspace.
        search: the wanted ones, if it is the document of a STAC API.

    Raises:
        StorageError: it cannot be read, or the API cannot be searched.
        SpecificationError: some document is not valid, or Items have no raster.
    """
    first = read_document(own.source, own, MAX_DOCUMENT)
    links = _Links.of(first, own.source)
    if links.api is not None:
        if links.collection and search.collections not in ((), (links.collection,)):
            raise SpecificationError(
                f"{redacted(own.source)} is the Collection {links.collection}; leave out the other"
                " collections, or name the API itself"
            )
        chosen = (links.collection,) if links.collection else search.collections
        api = replace(own, source=links.api)
        return scenes_of_api(api, replace(search, collections=chosen))
    if search.query is not None:
        raise SpecificationError(
            f"{redacted(own.source)} is not a STAC API, which alone can be searched by a query;"
            " leave out the query"
        )
    if links.has_more:
        raise SpecificationError(
            f"{redacted(own.source)} is the first page of a search; name the STAC API or its"
            " Collection, so that no page is missed"
        )
    problems: list[str] = []

    def read(url: str) -> bytes:
        return first if url == own.source else read_document(url, own, MAX_DOCUMENT)

    def target(url: str, href: str) -> str:
        found = resolve(url, href)
        if not same_origin(found, own.source):
            raise ValueError("leads to another server; name that catalogue as a source")
        return found

    found = [(item, item.path or own.source) for item in walk(read, own.source, problems, target)]
    if problems:
        listed = "\n".join(f"  - {problem}" for problem in problems[:_MAX_PROBLEMS])
        raise SpecificationError(
            f"{redacted(own.source)} has {len(problems)} documents that cannot be used; correct"
            f" them, or name its Items:\n{listed}"
        )
    return _scenes(found, own)


def _scenes(items: Sequence[tuple[Item, str]], own: Own) -> Iterator[FoundScene]:
    """Yield the scenes of the Items that have rasters.

    Raises:
        SpecificationError: none has.
    """
    usable = [
        (item, url)
        for item, url in items
        if raster_assets(cast("dict[str, object]", item.document))
    ]
    if items and not usable:
        keys = sorted({key for item, _ in items for key in item.assets})
        raise SpecificationError(
            f"{redacted(own.source)}: no Item has a raster among its assets; there are"
            f" {named(keys) or 'none'}"
        )
    for item, url in usable:
        yield scene_of_item(item, url, own)


@dataclass(frozen=True)
class _Links:
    """The links of a document, as far as they lead to a STAC API.

    Attributes:
        api: URL of its landing page, if the document is that or one of its Collections.
        collection: id of the Collection.
        has_more: whether it is a page of a search with further ones.
    """

    api: str | None = None
    collection: str | None = None
    has_more: bool = False

    @classmethod
    def of(cls, content: bytes, url: str) -> _Links:
        try:
            document = json.loads(content)
            links = {
                str(link["rel"]): resolve(url, str(link["href"])) for link in document["links"]
            }
            kind = document["type"]
        except (ValueError, TypeError, LookupError, RecursionError):
            return cls()
        if kind == "Catalog" and "search" in links:
            return cls(url)
        root = links.get("root", "")
        if kind == "Collection" and "items" in links and same_origin(root, url):
            return cls(root, str(document.get("id")))
        return cls(has_more=kind == "FeatureCollection" and "next" in links)
