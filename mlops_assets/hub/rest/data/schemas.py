"""Request documents of the routes of training data; responses are the views themselves."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from mlops_assets.hub.rest.schemas import Text
from mlops_assets.models.approval.reason import MAX_REASON
from mlops_assets.principals import Visibility
from mlops_assets.strict import Strict


class CommitStart(Strict):
    """A commit of what has landed.

    Attributes:
        fingerprint: of the landing as it was previewed: if it has changed since, nothing starts.
    """

    fingerprint: Annotated[str, Field(max_length=64)] | None = None


class TagGiven(Strict):
    """The data version that a tag is given to.

    Attributes:
        version: such as `v2`.
    """

    version: Text


class VisibilityChange(Strict):
    """A change of who may see a data version.

    Attributes:
        visibility: `private`, `workspace` or `published`.
        reason: why, for the log.
    """

    visibility: Visibility
    reason: str | None = Field(default=None, max_length=MAX_REASON)
