"""A catalogue in memory, which fails on demand."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

from mlops_assets.discovery.registration.catalogue import CatalogueError
from mlops_assets.discovery.registration.declaration import DeclaredCatalogue
from mlops_assets.discovery.registration.plan import Target
from mlops_assets.text.json_values import JsonObject

UNREACHABLE = CatalogueError("eo_api answers 503", temporary=True)


class MemoryCatalogue:
    """Keeps what it is sent.

    Attributes:
        records: Collection, and Item or None → document.
        requests: method and id of each request, in order.
        error: that every request raises, unless it is None.
        before_put: called before documents are kept.
        after_put: called once they are.
        license: that it gives every document instead of its own.
    """

    def __init__(self) -> None:
        self.name = "eo_api"
        self.api = "https://catalogue.example.org/"
        self.records: dict[tuple[str, str | None], JsonObject] = {}
        self.requests: list[tuple[str, str]] = []
        self.error: BaseException | None = None
        self.before_put: Callable[[], object] = lambda: None
        self.after_put: Callable[[], object] = lambda: None
        self.license: str | None = None

    def put(self, documents: Sequence[JsonObject]) -> None:
        self.before_put()
        for document in documents:
            self._note("put", str(document["id"]))
            item = str(document["id"]) if document["type"] == "Feature" else None
            collection = str(document["collection"]) if item else str(document["id"])
            if item and (collection, None) not in self.records:
                raise CatalogueError(f"there is no Collection {collection}", temporary=False)
            changed = {"license": self.license} if self.license else {}
            self.records[collection, item] = copy.deepcopy({**document, **changed})
        self.after_put()

    def get(self, collection: str, item: str | None = None) -> JsonObject | None:
        self._note("get", item or collection)
        return copy.deepcopy(self.records.get((collection, item)))

    def find(self, collection: str, items: Sequence[str]) -> dict[str, JsonObject]:
        self._note("find", collection)
        return {
            name: copy.deepcopy(self.records[collection, name])
            for name in items
            if (collection, name) in self.records
        }

    def is_empty(self, collection: str) -> bool:
        return not any(item for name, item in self.records if name == collection)

    def delete(self, collection: str, item: str | None = None) -> None:
        self._note("delete", item or collection)
        for key in list(self.records):
            if key[0] == collection and item in (None, key[1]):
                del self.records[key]

    def _note(self, method: str, name: str) -> None:
        if self.error is not None:
            raise self.error
        self.requests.append((method, name))

    def sent(self) -> list[str]:
        """The ids that were sent since this was asked last, in order."""
        found = [name for method, name in self.requests if method == "put"]
        self.requests.clear()
        return found


def target(catalogue: MemoryCatalogue, **changes: object) -> Target:
    """The catalogue as a project declares it."""
    declared = {"name": "eo_api", "url": catalogue.api, "visible": "workspace"} | changes
    return Target(
        DeclaredCatalogue.model_validate(declared), catalogue, "https://files.example.org"
    )
