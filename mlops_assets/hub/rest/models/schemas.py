"""Request and response documents of decisions on model versions, validated by pydantic."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from mlops_assets.hub.rest.schemas import Text
from mlops_assets.models.approval.reason import MAX_REASON
from mlops_assets.principals import Visibility
from mlops_assets.strict import Strict

Decided = Literal["approved", "rejected", "deprecated", "reinstated"]
Reason = Annotated[str, Field(min_length=1, max_length=MAX_REASON)]


class SeenState(Strict):
    """The state of a model version that a decision was made on, as `getVersion` returns it.

    The decision is refused if it is another one by now.

    Attributes:
        aliases: of the model → version.
        decisions: number of approvals, rejections, deprecations and reinstatements of the version.
        visibility: who may see it.
    """

    aliases: dict[Text, Text]
    decisions: Annotated[int, Field(ge=0)]
    visibility: Text


class VersionDecision(Strict):
    """A decision on a model version.

    Attributes:
        reason: why, for the log.
        seen: state of the version that it was made on; any if None.
    """

    reason: Reason
    seen: SeenState | None = None


class Deprecation(Strict):
    """A deprecation of a model version.

    Attributes:
        reason: why, for the log.
        force: also if it is in production, where it stays.
        seen: state of the version that it was made on; any if None.
    """

    reason: Reason
    force: bool = False
    seen: SeenState | None = None


class AliasMove(Strict):
    """A move of an alias to a model version.

    Attributes:
        alias: the alias.
        reason: why, for the history.
        seen: state of the version that it was decided on; any if None.
    """

    alias: Text = "production"
    reason: str | None = Field(default=None, max_length=MAX_REASON)
    seen: SeenState | None = None


class Rollback(Strict):
    """A move of `production` back to its previous version.

    Attributes:
        reason: why, for the history.
        production: version that was in production when it was decided; any if None.
    """

    reason: str | None = Field(default=None, max_length=MAX_REASON)
    production: Text | None = None


class ModelVisibilityChange(Strict):
    """A change of who may see a model version.

    Attributes:
        visibility: `private`, `workspace` or `published`.
        reason: why, for the log.
        seen: state of the version that it was decided on; any if None.
    """

    visibility: Visibility
    reason: str | None = Field(default=None, max_length=MAX_REASON)
    seen: SeenState | None = None


class AliasMoved(BaseModel):
    """A move of an alias, once it was made.

    Attributes:
        alias: the alias.
        version: that it names now.
        previous: that it named before.
        moved: when.
        moved_by: who has moved it.
        services: that serve the model; each takes the version over by itself or is deployed again.
        notes: what could not be reported.
    """

    alias: str
    version: str
    previous: str | None
    moved: datetime
    moved_by: str
    services: list[str] = []
    notes: list[str] = []


class DecisionMade(BaseModel):
    """A decision on a model version, once it was made.

    Attributes:
        model: name of the model.
        version: its version.
        decision: `approved`, `rejected`, `deprecated` or `reinstated`.
        reason: why.
        decided: when.
        decided_by: who has decided.
        sha256: of the files it is about, by name.
        promoted: the move of `production`, where the model is declared with `auto_promote`.
        notes: what could not be reported, and why the version was not promoted.
    """

    model: str
    version: str
    decision: Decided
    reason: str
    decided: datetime
    decided_by: str
    sha256: dict[str, str]
    promoted: AliasMoved | None = None
    notes: list[str] = []


class VisibilitySet(BaseModel):
    """The visibility of a model version, once it was changed.

    Attributes:
        model: name of the model.
        version: its version.
        visibility: as it is now.
        previous: as it was before.
        notes: warnings about what the version was made from.
    """

    model: str
    version: str
    visibility: Visibility
    previous: str
    notes: list[str] = []
