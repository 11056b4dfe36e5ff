"""Outcomes of gates: in words, and as they are published with a model version."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Literal

from pydantic import TypeAdapter

from mlops_assets.datasets.versions.documents import json_bytes
from mlops_assets.paths import gates_key, model_owner
from mlops_assets.registry import ModelVersion
from mlops_assets.registry.files.publication import publication
from mlops_assets.registry.files.verified_read import read_published
from mlops_assets.store import Store
from mlops_assets.text.json_values import JsonObject

Verdict = Literal["passed", "failed", "cannot tell"]
_AT_ONCE = 16  # documents that are read from an object store together


@dataclass(frozen=True)
class Evidence:
    """The comparison behind a verdict, on the test samples that neither version has seen.

    Attributes:
        other: the version that was compared with.
        data: `dataset@version` of the test split.
        unit: name of the independent units.
        units: their number.
        left_out: number of units that were left out, as one of the versions has seen them.
        difference: by how much the version is better; negative if it is worse.
        low, high: one-sided 95 % bounds of that; None if the units do not determine them.
        needed: about how many more test units would decide it; None if it is decided, or that
            cannot be estimated.
    """

    other: str
    data: str
    unit: str
    units: int
    left_out: int
    difference: float | None
    low: float | None
    high: float | None
    needed: int | None


@dataclass(frozen=True)
class GateOutcome:
    """One gate, and whether a model version passes it.

    Attributes:
        gate: the rule, such as `accuracy ≥ 0.8`.
        passed: whether the version passes.
        value: its metric; None if it was not measured.
        limit: the value that the metric is compared with; None if there is nothing to compare.
        reason: what the number does not state, such as why it was not measured.
        compares: alias of the version that it is compared with; None of a floor or ceiling.
        undecided: whether the test samples do not suffice to decide; it does not pass then.
        evidence: of a comparison with another version.
    """

    gate: str
    passed: bool
    value: float | None
    limit: float | None
    reason: str | None = None
    compares: str | None = None
    undecided: bool = False
    evidence: Evidence | None = None

    @property
    def verdict(self) -> Verdict:
        """The outcome in words."""
        if self.undecided:
            return "cannot tell"
        return "passed" if self.passed else "failed"

    def __str__(self) -> str:
        verdict = "passed" if self.passed else self.verdict.upper()
        measured = "" if self.undecided else ", not measured"
        value = measured if self.value is None else f" at {self.value:.4f}"
        return f"{self.gate}: {verdict}{value}" + (f" ({self.reason})" if self.reason else "")

    def document(self) -> JsonObject:
        """Return this as JSON values, without what is not set."""
        always = ("gate", "passed", "value", "limit")
        return {name: value for name, value in asdict(self).items() if name in always or value}


@dataclass(frozen=True)
class GatesDocument:
    """The `gates.json` of a model version: its gates as they were when it was recorded.

    Attributes:
        verdict: of all gates together.
        gates: outcome of each rule.
    """

    verdict: Verdict
    gates: list[GateOutcome]


def gates_description(outcomes: Sequence[GateOutcome]) -> str:
    """Return all outcomes in one sentence."""
    return "; ".join(map(str, outcomes)) or "no gate is declared"


def verdict_of(outcomes: Iterable[GateOutcome]) -> Verdict:
    """Return the verdict of all gates together: the worst of them."""
    found = {outcome.verdict for outcome in outcomes}
    if "failed" in found:
        return "failed"
    return "cannot tell" if "cannot tell" in found else "passed"


def publish_outcomes(store: Store, row: ModelVersion, outcomes: Sequence[GateOutcome]) -> None:
    """Publish the outcomes of the gates of a recorded version as its `gates.json`."""
    document: JsonObject = {
        "verdict": verdict_of(outcomes),
        "gates": [outcome.document() for outcome in outcomes],
    }
    with publication(store.workspace, store.registry) as publishing:
        publishing.put(gates_key(row.model, row.version), json_bytes(document))
        store.registry.add_files(model_owner(row.model, row.version), publishing.files)


def published_gates(
    store: Store, versions: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], GatesDocument]:
    """Return the outcomes of gates as they were when versions were recorded.

    Args:
        store: workspace and registry.
        versions: model and version of each.

    Returns:
        (model, version) → outcomes; without those that have none published.

    Raises:
        IntegrityError: one is not as it was published.
    """
    keys = {gates_key(*version): version for version in versions}
    there = [file.path for file in store.registry.files_at(*keys)]
    adapter = TypeAdapter(GatesDocument)

    def read(key: str) -> GatesDocument:
        return adapter.validate_json(read_published(store.workspace, store.registry, key))

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return {keys[key]: found for key, found in zip(there, pool.map(read, there), strict=True)}
