"""The stages after training, whoever trained the model.

They are export and parity, evaluation, record and gates.

The steps of the asset graph, sweeps, external runs and imports all go through these stages, and
each reports what came of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from mlops_assets import errors
from mlops_assets.errors import MlopsError, NotFound, ParityError, StorageError
from mlops_assets.models.promotion import GateOutcome, check_gates, gates_description
from mlops_assets.models.specification import ModelSpecification
from mlops_assets.names import Reference
from mlops_assets.registry import ModelVersion, Registry
from mlops_assets.storage import FileStat
from mlops_assets.store import Store

if TYPE_CHECKING:
    from mlops_assets.models.evaluation.tally import Evaluation
    from mlops_assets.models.export.parity import ParityReport


class Reporter(AbstractContextManager[Any], Protocol):
    """The receiver of reports of stages, such as Dagster. It is entered once, around them all.

    Every method may raise StorageError if it cannot report now; the stage counts all the same.
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

    def recorded(
        self, row: ModelVersion, files: Sequence[FileStat], outcomes: Sequence[GateOutcome]
    ) -> None:
        """It is in the catalogue and compared with its gates."""
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
    """The outcome of the stages of a model version.

    Attributes:
        model: name of the model.
        version: its version.
        stages: those that were done, in their order.
        gates: each gate, and whether it passes; empty before the record.
        metrics: on the test split.
        notes: what could not be reported.
    """

    model: str
    version: str
    stages: list[Stage] = field(default_factory=list)
    gates: list[GateOutcome] = field(default_factory=list)
    metrics: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def gates_passed(self) -> bool:
        """True if it is recorded and every gate passes, so that it may be promoted."""
        recorded = any(stage.name == "record" and stage.passed for stage in self.stages)
        return recorded and all(gate.passed for gate in self.gates)

    def __str__(self) -> str:
        lines = [f"{self.model}@{self.version}"]
        lines += [
            f"  {stage.name}: {'' if stage.passed else 'FAILED: '}{stage.message}"
            for stage in self.stages
        ]
        return "\n".join([*lines, *(f"  note: {note}" for note in self.notes)])

    def raise_for_failure(self) -> None:
        """Raise the error of the stage that failed, if one did; gates are no stage."""
        for stage in self.stages:
            if not stage.passed:
                kind = getattr(errors, stage.error or "", MlopsError)
                raise kind(
                    f"{self.model}@{self.version} is published, but its {stage.name} failed:"
                    f" {stage.message}"
                )

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
    store: Store, specification: ModelSpecification, row: ModelVersion, reporter: Reporter
) -> Outcome:
    """Do every stage that follows on a published model version.

    Doing them again replaces what they published.

    Args:
        store: where it lies.
        specification: the model as declared.
        row: the model version.
        reporter: where to report to.

    Returns:
        What came of each stage; one that fails is the last.
    """
    outcome = Outcome(row.model, row.version)
    with reporter:
        _pass(outcome, "train", "published", lambda to: to.trained(row), reporter)
        for name in STAGES:
            try:
                do_stage(name, store, specification, row, outcome, reporter)
            except MlopsError as error:
                outcome.stages.append(Stage(name, False, str(error), type(error).__name__))
                break
    return outcome


def do_stage(
    name: str,
    store: Store,
    specification: ModelSpecification,
    row: ModelVersion,
    outcome: Outcome,
    reporter: Reporter,
) -> None:
    """Do one stage, report it, and add what came of it to `outcome`.

    Args:
        name: one of `STAGES`.
        store: where the model version lies.
        specification: the model as declared.
        row: the model version.
        outcome: of the stages before.
        reporter: where to report to.

    Raises:
        ParityError: the ONNX model differs from the trained one, which is reported.
        MlopsError: the stage fails otherwise.
    """
    try:
        message, report = STAGES[name](store, specification, row, outcome)
    except ParityError as error:
        different = error
        _report(outcome, lambda to: to.unproved(row, different), reporter)
        raise
    _pass(outcome, name, message, report, reporter)


Report = Callable[[Reporter], None]


def _export(
    store: Store, specification: ModelSpecification, row: ModelVersion, outcome: Outcome
) -> tuple[str, Report]:
    from mlops_assets.models.export.export import export

    report = export(store, specification, row)
    return report.description, lambda to: to.exported(row, report)


def _evaluate(
    store: Store, specification: ModelSpecification, row: ModelVersion, outcome: Outcome
) -> tuple[str, Report]:
    from mlops_assets.models.evaluation.evaluate import evaluate_version

    found, figure = evaluate_version(store, specification, row)
    outcome.metrics = dict(found.metrics)
    shown = ", ".join(f"{name} {value:.4f}" for name, value in found.metrics.items())
    return shown, lambda to: to.evaluated(row, found, figure)


def _record(
    store: Store, specification: ModelSpecification, row: ModelVersion, outcome: Outcome
) -> tuple[str, Report]:
    from mlops_assets.models.record import record_version

    files = record_version(store, specification, row)
    evaluated = store.registry.model_version(Reference(row.model, row.version))
    outcome.gates = check_gates(store.registry, evaluated, specification.gates)
    return gates_description(outcome.gates), lambda to: to.recorded(row, files, outcome.gates)


STAGES = {"export": _export, "evaluate": _evaluate, "record": _record}


def _pass(outcome: Outcome, name: str, message: str, report: Report, reporter: Reporter) -> None:
    outcome.stages.append(Stage(name, True, message))
    _report(outcome, report, reporter)


def _report(outcome: Outcome, report: Report, reporter: Reporter) -> None:
    try:
        report(reporter)
    except StorageError as error:
        outcome.notes.append(str(error))


def version_for(
    registry: Registry, model: str, data_version: str, orchestration_runs: Sequence[str] = ()
) -> ModelVersion:
    """Return the model version a later stage works on.

    That of its own orchestrated run, else of the run it is a re-execution of (in the order given),
    else the data version's latest: two runs on one partition never mix.

    Raises:
        NotFound: the model was never trained on this data version.
    """
    versions = {
        row.run_id: row for row in registry.model_versions(model, data_version=data_version)
    }
    for orchestration_run in orchestration_runs:
        runs = registry.runs(model, data_version=data_version, orchestration_run=orchestration_run)
        found = [versions[run.run_id] for run in runs if run.run_id in versions]
        if found:
            return found[-1]
    if not versions:
        raise NotFound(
            f"{model} has not been trained on {data_version}; run 'mlops train"
            f" {model}@{data_version}'"
        )
    return next(reversed(versions.values()))
