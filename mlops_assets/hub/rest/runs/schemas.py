"""Request documents of the routes of runs."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from mlops_assets.registry.runs.remarks import MAX_NOTE, MAX_TAG
from mlops_assets.strict import Strict


class RunNoteText(Strict):
    """A note on a run.

    Attributes:
        text: of the note; it is never changed.
    """

    text: Annotated[str, Field(min_length=1, max_length=MAX_NOTE)]


class RunTagChange(Strict):
    """A tag of a run.

    Attributes:
        name: of the tag.
        value: of the tag; null removes one that a user has set.
    """

    name: Annotated[str, Field(min_length=1, max_length=MAX_TAG)]
    value: Annotated[str, Field(min_length=1, max_length=MAX_TAG)] | None
