"""What registration asks of a catalogue of others, of whatever kind it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from mlops_assets.errors import MlopsError
from mlops_assets.text.json_values import JsonObject


class CatalogueError(MlopsError):
    """A catalogue has refused a request, or not answered it as its protocol demands.

    Attributes:
        temporary: whether it can succeed later without a change here.
        after: seconds that the catalogue asks to wait; None if it names none.
    """

    def __init__(self, message: str, *, temporary: bool, after: float | None = None) -> None:
        """Make an error that states what was asked, where, and what the answer was."""
        super().__init__(message)
        self.temporary = temporary
        self.after = after


class Catalogue(Protocol):
    """A catalogue that takes records.

    Repeating a call does no harm: its answer may have been lost.

    Attributes:
        name: as it is declared.
        api: URL of the STAC API under which its records are found, with a slash at its end.
    """

    name: str
    api: str

    def put(self, documents: Sequence[JsonObject]) -> None:
        """Create or replace a Collection, or Items of one Collection that the catalogue has.

        Args:
            documents: as `outgoing` makes them.

        Raises:
            CatalogueError: it has not taken all of them; some may be there.
        """

    def get(self, collection: str, item: str | None = None) -> JsonObject | None:
        """Return a Collection or one of its Items; None if the catalogue has none.

        Raises:
            CatalogueError: it has not answered as expected.
        """

    def find(self, collection: str, items: Sequence[str]) -> dict[str, JsonObject]:
        """Return those of many Items that a search finds, by their ids, in few requests.

        An Item that was written a moment ago can be missing, or be what it was before: ask `get`
        where that matters.

        Args:
            collection: id of their Collection.
            items: their ids.

        Raises:
            CatalogueError: it has not answered as expected.
        """

    def is_empty(self, collection: str) -> bool:
        """Return whether a Collection has no Items, those of others included.

        Raises:
            CatalogueError: it has not answered as expected.
        """

    def delete(self, collection: str, item: str | None = None) -> None:
        """Delete an Item, or a Collection with its Items; nothing if the catalogue has none.

        Raises:
            CatalogueError: it is still there, or may be.
        """
