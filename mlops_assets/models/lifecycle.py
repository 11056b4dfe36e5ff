"""The stages after training: export and parity, applicability, evaluation, record and gates.

The steps of the asset graph, sweeps, external runs and imports all go through these stages, and
each stage reports its outcome.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Protocol

from pydantic import TypeAdapter

from mlops_assets.errors import MlopsError, NotFound, ParityError, StorageError, named_error
from mlops_assets.models.gates.check import check_gates
from mlops_assets.models.gates.outcomes import GateOutcome, gates_description, publish_outcomes
from mlops_assets.models.specification import ModelSpecification
from mlops_assets.names import Reference
from mlops_assets.registry import ModelVersion, Registry
from mlops_assets.storage import FileStat
from mlops_assets.store import Store
from mlops_assets.text.json_values import JsonObject

if TYPE_CHECKING:
    from mlops_assets.models.applicability.document import ApplicabilityDocument
    from mlops_assets.models.evaluation.tally import Evaluation
    from mlops_assets.models.export.parity import ParityReport


class Reporter(AbstractContextManager[object], Protocol):
    """The receiver of reports of stages, such as Dagster. It is entered once, around them all.

    Every method may raise StorageError if it cannot report now; the stage is valid nevertheless.
    """

    def trained(self, row: ModelVersion) -> None:
        """The model version is published."""
        ...

    def exported(self, row: ModelVersion, report: ParityReport) -> None:
        """Its ONNX file is published, and equals the trained model."""
        ...

    def unproved(self, row: ModelVersion, error: ParityError) -> None:
        """Its ONNX file differs from the trained model."""
        ...

    def delimited(self, row: ModelVersion, found: ApplicabilityDocument) -> None:
        """Its area of applicability is published, or why that is unknown."""
        ...

    def evaluated(self, row: ModelVersion, found: Evaluation, figure: bytes) -> None:
        """It is measured; `figure` is the main figure, a PNG."""
        ...

    def recorded(
        self, row: ModelVersion, files: Sequence[FileStat], outcomes: Sequence[GateOutcome]
    ) -> None:
        """It is in the catalogue and compared with its gates."""
        ...


@dataclass(frozen=True)
class Stage:
    """One stage and its outcome.

    Attributes:
        name: `train`, or one of `STAGES`.
        passed: whether it was completed.
        message: description of its result, or the error.
        error: name of the class of the error that ended it.
    """

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
        stages: the stages that were run, in their order.
        gates: outcome of each gate; empty before the record.
        metrics: on the test split.
        notes: errors of the reporter.
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
        """Raise the error of the stage that failed, if one did; gates are not a stage."""
        for stage in self.stages:
            if not stage.passed:
                message = (
                    f"{self.model}@{self.version} is published, but its {stage.name} failed:"
                    f" {stage.message}"
                )
                raise named_error(stage.error, message) or MlopsError(message)

    def document(self) -> JsonObject:
        """Return this as JSON values."""
        return asdict(self)

    @classmethod
    def read(cls, document: object) -> Outcome:
        """Return the outcome whose `document()` this is.

        Raises:
            pydantic.ValidationError: it is another document.
        """
        return TypeAdapter(cls).validate_python(document)


def complete(
    store: Store, specification: ModelSpecification, row: ModelVersion, reporter: Reporter
) -> Outcome:
    """Run every stage that follows a published model version.

    Running them again replaces their files.

    Args:
        store: workspace and registry.
        specification: the model as declared.
        row: the model version.
        reporter: receiver of reports.

    Returns:
        The outcome of each stage; one that fails is the last.
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
    """Run one stage, report it, and add it to `outcome`.

    Args:
        name: one of `STAGES`.
        store: workspace and registry.
        specification: the model as declared.
        row: the model version.
        outcome: of the stages before.
        reporter: receiver of reports.

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


def _delimit(
    store: Store, specification: ModelSpecification, row: ModelVersion, outcome: Outcome
) -> tuple[str, Report]:
    from mlops_assets.models.applicability.measure import publish_applicability

    found = publish_applicability(store, row)
    return found.description, lambda to: to.delimited(row, found)


def _evaluate(
    store: Store, specification: ModelSpecification, row: ModelVersion, outcome: Outcome
) -> tuple[str, Report]:
    from mlops_assets.models.evaluation.evaluate import evaluate_version

    found, figure = evaluate_version(store, specification, row)
    outcome.metrics = dict(found.metrics)
    message = ", ".join(f"{name} {value:.4f}" for name, value in found.metrics.items())
    return message, lambda to: to.evaluated(row, found, figure)


def _record(
    store: Store, specification: ModelSpecification, row: ModelVersion, outcome: Outcome
) -> tuple[str, Report]:
    from mlops_assets.models.record import record_version

    files = record_version(store, specification, row)
    evaluated = store.registry.model_version(Reference(row.model, row.version))
    outcome.gates = check_gates(store, evaluated, specification.gates)
    if outcome.gates:
        publish_outcomes(store, evaluated, outcome.gates)
    if not all(gate.passed for gate in outcome.gates):
        store.registry.report_failed_gates(row, gates_description(outcome.gates))
    return gates_description(outcome.gates), lambda to: to.recorded(row, files, outcome.gates)


STAGES = {
    "export": _export,
    "applicability": _delimit,
    "evaluate": _evaluate,
    "record": _record,
}


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
