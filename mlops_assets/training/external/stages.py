"""What follows on a model made elsewhere: export, parity, evaluation, record and gates, by the same functions as here.

A stage that fails ends them; what came of each is told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from mlops_assets import errors
from mlops_assets.errors import MlopsError, ParityError, StorageError
from mlops_assets.names import Reference
from mlops_assets.registry import ModelVersion
from mlops_assets.storage import FileStat
from mlops_assets.training.evaluation import Evaluation
from mlops_assets.training.exporting import export
from mlops_assets.training.measuring import evaluate_version
from mlops_assets.training.parity import ParityReport
from mlops_assets.training.promotion import GateOutcome, check_gates, gates_description
from mlops_assets.training.records import record_version
from mlops_assets.training.specification import ModelSpecification
from mlops_assets.training.store import Store


class Reporter(AbstractContextManager[Any], Protocol):
    """Whoever is told what came of each stage, such as Dagster. It is entered once, around them all.

    Every method may raise StorageError if nobody can be told now; the stage counts all the same.
    """

    def trained(self, row: ModelVersion) -> None:
        """The model version is published."""
        ...

    def exported(self, row: ModelVersion, report: ParityReport) -> None:
        """Its ONNX file is published and proved."""
        ...

    def unproved(self, row: ModelVersion, error: ParityError) -> None:
        """Its ONNX file is not what the model is."""
        ...

    def evaluated(self, row: ModelVersion, found: Evaluation, figure: bytes) -> None:
        """It is measured; `figure` is the main one."""
        ...

    def recorded(self, row: ModelVersion, files: Sequence[FileStat], outcomes: Sequence[GateOutcome]) -> None:
        """It is in the catalogue and held against its gates."""
        ...


@dataclass(frozen=True)
class Stage:
    """One stage, and what came of it; `error` is the kind of error that ended it."""

    name: str
    passed: bool
    message: str
    error: str | None = None


@dataclass
class Outcome:
    """What came of a model made elsewhere.

    Attributes:
        model: name of the model.
        version: its version.
        stages: those that were done, in their order.
        gates: each gate, and whether it passes; empty before the record.
        metrics: on the test split.
        notes: what could not be told to whoever was to be told.
    """

    model: str
    version: str
    stages: list[Stage] = field(default_factory=list)
    gates: list[GateOutcome] = field(default_factory=list)
    metrics: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def gates_passed(self) -> bool:
        """Whether it is recorded and every gate passes, so that it may be promoted."""
        recorded = any(stage.name == "record" and stage.passed for stage in self.stages)
        return recorded and all(gate.passed for gate in self.gates)

    def __str__(self) -> str:
        lines = [f"{self.model}@{self.version}"]
        lines += [f"  {stage.name}: {'' if stage.passed else 'FAILED: '}{stage.message}" for stage in self.stages]
        return "\n".join([*lines, *(f"  note: {note}" for note in self.notes)])

    def raise_for_failure(self) -> None:
        """Raise the error of the stage that failed, if one did; gates are no stage."""
        for stage in self.stages:
            if not stage.passed:
                kind = getattr(errors, stage.error or "", MlopsError)
                raise kind(f"{self.model}@{self.version} is published, but its {stage.name} failed: {stage.message}")

    def document(self) -> dict[str, Any]:
        """Return this as JSON values."""
        return asdict(self)

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Outcome:
        """Return what `document` gave."""
        stages = [Stage(**stage) for stage in document["stages"]]
        gates = [GateOutcome(**gate) for gate in document["gates"]]
        return cls(**{**document, "stages": stages, "gates": gates})


def complete(
    store: Store, specification: ModelSpecification, row: ModelVersion, reporter: Reporter | None = None
) -> Outcome:
    """Do every stage that follows on a published model version; doing them again replaces what they published.

    Args:
        store: where it lies.
        specification: the model as declared.
        row: the model version.
        reporter: whoever is told.
    """
    with reporter or nullcontext():
        return _complete(store, specification, row, reporter)


def _complete(store: Store, specification: ModelSpecification, row: ModelVersion, reporter: Reporter | None) -> Outcome:
    outcome = Outcome(row.model, row.version)
    _done(outcome, "train", "published", lambda told: told.trained(row), reporter)
    for stage in (_export, _evaluate, _record):
        name = stage.__name__.strip("_")
        try:
            message, tell = stage(store, specification, row, outcome)
        except ParityError as error:
            _failed(outcome, name, error)
            failure = error
            _tell(outcome, lambda told: told.unproved(row, failure), reporter)  # noqa: B023 (called at once)
            return outcome
        except MlopsError as error:
            _failed(outcome, name, error)
            return outcome
        _done(outcome, name, message, tell, reporter)
    return outcome


Tell = Callable[[Reporter], None]


def _export(store: Store, specification: ModelSpecification, row: ModelVersion, outcome: Outcome) -> tuple[str, Tell]:
    report = export(store, specification, row)
    return report.description, lambda told: told.exported(row, report)


def _evaluate(store: Store, specification: ModelSpecification, row: ModelVersion, outcome: Outcome) -> tuple[str, Tell]:
    found, figure = evaluate_version(store, specification, row)
    outcome.metrics = dict(found.metrics)
    shown = ", ".join(f"{name} {value:.4f}" for name, value in found.metrics.items())
    return shown, lambda told: told.evaluated(row, found, figure)


def _record(store: Store, specification: ModelSpecification, row: ModelVersion, outcome: Outcome) -> tuple[str, Tell]:
    files = record_version(store, specification, row)
    evaluated = store.registry.model_version(Reference(row.model, row.version))
    outcome.gates = check_gates(store.registry, evaluated, specification.gates)
    return gates_description(outcome.gates), lambda told: told.recorded(row, files, outcome.gates)


def _done(outcome: Outcome, name: str, message: str, tell: Tell, reporter: Reporter | None) -> None:
    outcome.stages.append(Stage(name, True, message))
    _tell(outcome, tell, reporter)


def _failed(outcome: Outcome, name: str, error: MlopsError) -> None:
    outcome.stages.append(Stage(name, False, str(error), type(error).__name__))


def _tell(outcome: Outcome, tell: Tell, reporter: Reporter | None) -> None:
    if reporter is not None:
        try:
            tell(reporter)
        except StorageError as error:
            outcome.notes.append(str(error))
