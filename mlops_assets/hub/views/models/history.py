"""The history of a model: moves of its aliases, decisions, deployments."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from mlops_assets.lineage.deployments import DeploymentLineage, deployments_of_model
from mlops_assets.store import Store

MAX_PAGE = 200
PAGE = 50

EventKind = Literal["alias moved", "decision", "deployment"]


@dataclass(frozen=True)
class HistoryEvent:
    """Something that happened to a version of a model.

    Attributes:
        kind: of event.
        when: it happened.
        who: has done it.
        version: of the model.
        what: in a few words, such as `production moved here from v1-1f0c9a2b`.
        reason: why; None if none was given.
        gates: outcomes of gates of a move, one line each; files of a decision, by name.
    """

    kind: EventKind
    when: datetime
    who: str
    version: str
    what: str
    reason: str | None
    gates: list[str]


@dataclass(frozen=True)
class HistoryPage:
    """A page of the history of a model, newest first.

    Attributes:
        events: of the page.
        total: number of all.
        page: number of the page, from 1.
        size: events of a page at most.
    """

    events: list[HistoryEvent]
    total: int
    page: int
    size: int


def model_history(store: Store, model: str, page: int = 1, size: int = PAGE) -> HistoryPage:
    """Return a page of the history of a model.

    Args:
        store: workspace and registry.
        model: its name.
        page: number of the page, from 1.
        size: events of a page, `MAX_PAGE` at most.
    """
    registry = store.registry
    found = [
        HistoryEvent(
            kind="alias moved",
            when=move.moved,
            who=move.moved_by,
            version=move.version,
            what=_moved(move.alias, move.previous, move.gates),
            reason=move.reason,
            gates=[_gate(gate) for gate in move.gates],
        )
        for move in registry.promotions(model)
    ]
    found += [
        HistoryEvent(
            kind="decision",
            when=made.decided,
            who=made.decided_by,
            version=made.version,
            what=made.decision,
            reason=made.reason,
            gates=[f"{name} sha256 {sha256}" for name, sha256 in made.sha256.items()],
        )
        for made in registry.decisions(model)
    ]
    found += [
        HistoryEvent(
            kind="deployment",
            when=made.deployed,
            who=made.deployed_by,
            version=made.version,
            what=f"{made.action} in service {made.service} ({made.engine})",
            reason=made.reason,
            gates=[],
        )
        for made in registry.deployments(model)
    ]
    found.sort(key=lambda event: event.when, reverse=True)
    size = max(1, min(size, MAX_PAGE))
    first = (max(1, page) - 1) * size
    return HistoryPage(found[first : first + size], len(found), max(1, page), size)


def model_deployments(store: Store, model: str) -> list[DeploymentLineage]:
    """Return the deployments of all versions of a model, newest first.

    Args:
        store: workspace and registry.
        model: its name.
    """
    return deployments_of_model(store.registry, model)


def _moved(alias: str, previous: str | None, gates: list[dict[str, object]]) -> str:
    verb = "rolled back" if any(gate.get("gate") == "rollback" for gate in gates) else "moved"
    return f"{alias} {verb} here" + (f" from {previous}" if previous else "")


def _gate(gate: dict[str, object]) -> str:
    value = gate.get("value")
    number = f" at {value:.4f}" if isinstance(value, float) else ""
    reason = f" ({gate['reason']})" if gate.get("reason") else ""
    return f"{gate.get('gate')}: {'passed' if gate.get('passed') else 'FAILED'}{number}{reason}"
