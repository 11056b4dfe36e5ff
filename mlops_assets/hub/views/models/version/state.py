"""The state of a model version that decisions change, and whether it is as a user has seen it."""

from __future__ import annotations

from dataclasses import dataclass

from mlops_assets.errors import Conflict
from mlops_assets.names import Reference
from mlops_assets.registry import ModelVersion
from mlops_assets.registry.model_versions import ListedVersion
from mlops_assets.store import Store


@dataclass(frozen=True)
class VersionState:
    """What decisions on a model version change.

    Attributes:
        aliases: of the model → version.
        decisions: number of approvals, rejections, deprecations and reinstatements of the version.
        visibility: who may see it.
    """

    aliases: dict[str, str]
    decisions: int
    visibility: str


def version_state(store: Store, row: ModelVersion | ListedVersion) -> VersionState:
    """Return the state of a model version."""
    return VersionState(
        aliases=store.registry.aliases(row.model),
        decisions=len(store.registry.decisions(row.model, row.version)),
        visibility=row.visibility,
    )


def require_state(store: Store, row: ModelVersion, seen: VersionState) -> None:
    """Check that a model version is as whoever decides on it has seen it.

    Args:
        store: workspace and registry.
        row: the model version, as it is now.
        seen: its state when the decision was begun.

    Raises:
        Conflict: it has changed since; the message states how, and by whom.
    """
    changes = changes_since(store, row, seen)
    if changes:
        raise Conflict(
            f"{row.model}@{row.version} has changed since you have opened it: {'; '.join(changes)};"
            " load it again, then decide"
        )


def changes_since(store: Store, row: ModelVersion, seen: VersionState) -> list[str]:
    """Return what has changed of a model version, one line each; none if nothing has.

    Args:
        store: workspace and registry.
        row: the model version, as it is now.
        seen: its state before.
    """
    now = version_state(store, row)
    found = []
    moves = {move.alias: move for move in store.registry.promotions(row.model)}
    for alias in sorted({*now.aliases, *seen.aliases}):
        version, before = now.aliases.get(alias), seen.aliases.get(alias)
        if version != before:
            by = f", moved by {moves[alias].moved_by}" if alias in moves else ""
            found.append(f"{alias} is {version or 'not set'}{by}, was {before or 'not set'}")
    made = store.registry.decisions(row.model, row.version)
    found += [
        f"it was {own.decision} by {own.decided_by}: {own.reason}" for own in made[seen.decisions :]
    ]
    if now.visibility != seen.visibility:
        found.append(f"it is {now.visibility}, was {seen.visibility}")
    return found


def version_marker(store: Store, reference: Reference) -> tuple[str, str, VersionState]:
    """Return what changes whenever the page of a version is to be shown again.

    Args:
        store: workspace and registry.
        reference: to the version, or by an alias.

    Raises:
        NotFound: there is no such version that the principal may see.
    """
    row = store.registry.model_version(reference)
    return row.version, row.stage, version_state(store, row)
