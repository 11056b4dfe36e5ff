"""What a search has found, and the words it was asked for."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

MAX_LENGTH = 500  # characters that are searched; longer than any name or tag


class Kind(StrEnum):
    """A kind of what is found, in the order of the groups."""

    DATASET = "dataset"
    DATA_VERSION = "data version"
    MODEL = "model"
    MODEL_VERSION = "model version"
    RUN = "run"
    MAP = "map"
    AREA = "area"
    DEPLOYMENT = "deployment"
    FILE = "file"
    RECORD = "STAC record"


@dataclass(frozen=True)
class Hit:
    """One thing that is found.

    Attributes:
        reference: by which users know it.
        path: of its page, or of the document that describes it.
        detail: why it is found, and what tells it from others; may be empty.
        moment: when it was made; None if that is unknown.
    """

    reference: str
    path: str
    detail: str = ""
    moment: datetime | None = None


@dataclass(frozen=True)
class Group:
    """What is found of one kind, the best first.

    Attributes:
        kind: of all of it.
        total: number that is found; None if there are more than were counted.
        hits: the page of it.
    """

    kind: Kind
    total: int | None
    hits: list[Hit]


@dataclass(frozen=True)
class Slice:
    """The page of a group that is wanted: number of the first hit, and hits at most."""

    first: int
    limit: int


@dataclass(frozen=True)
class Found:
    """The result of a search.

    Attributes:
        text: that was searched for, as it was understood.
        exact: path of the page of what the text names exactly; None if it names nothing.
        groups: with a hit.
        notice: what was not done, such as text that was left out; empty if nothing.
    """

    text: str
    exact: str | None
    groups: list[Group]
    notice: str = ""


def understood(text: str) -> tuple[str, str]:
    """Return the text to search for, and a notice if a part of it is left out.

    Characters that no name has, and that PostgreSQL does not take, are left out; composed letters
    are as names have them (NFC).
    """
    valid = text.encode("utf-8", "ignore").decode()
    known = "".join(each for each in valid if each.isprintable() or each.isspace())
    joined = unicodedata.normalize("NFC", " ".join(known.split()))
    if len(joined) <= MAX_LENGTH:
        return joined, ""
    return joined[:MAX_LENGTH], f"Only the first {MAX_LENGTH} characters were searched for."
