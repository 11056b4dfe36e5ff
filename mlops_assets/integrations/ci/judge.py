"""The judgement of a merge request: its models as they were trained, their gates, and why.

What the scripts of a pipeline leave in a folder is read here: of each stage its output, `NAME.log`,
and its exit code, `NAME.status`; of each model what `mlops train --json` prints, `MODEL.json`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mlops_assets.errors import EvaluationError, MlopsError, NotFound
from mlops_assets.integrations.ci.plan import Plan, PlannedModel
from mlops_assets.integrations.ci.workspaces import Marker, PreparedModel
from mlops_assets.models.gates.check import check_gates
from mlops_assets.models.gates.outcomes import (
    GateOutcome,
    Verdict,
    published_gates,
    verdict_of,
)
from mlops_assets.names import Reference
from mlops_assets.paths import model_folder, model_owner
from mlops_assets.registry import ModelVersion
from mlops_assets.runs.comparison import Comparison, compare_runs
from mlops_assets.store import Store
from mlops_assets.text.printable import printable_log

MAX_LOG = 40  # lines of a stage's output; the error is at its end
MAX_LINE = 400  # characters
TRAIN = "train-"  # begins the names of stages that train a model


@dataclass(frozen=True)
class Stage:
    """A stage of a pipeline that has run.

    Attributes:
        name: `validate`, `prepare`, or `train-MODEL`.
        passed: whether its command has succeeded.
        output: last lines of what it has printed.
    """

    name: str
    passed: bool
    output: str


@dataclass(frozen=True)
class ModelJudgement:
    """What came of a model.

    Attributes:
        model: its name.
        prepared: what the workspace has of production for it; None if that was not reached.
        row: its version; None if none was trained.
        gates: outcomes of the declared gates and of those of the plan.
        verdict: of them together; failed where the version was not recorded, too.
        reason: what the gates do not state; empty if nothing.
        comparison: with the version of production, on the pinned data; None if there is none.
        sha256: of its ONNX file; None if it has none.
    """

    model: str
    verdict: Verdict
    reason: str = ""
    prepared: PreparedModel | None = None
    row: ModelVersion | None = None
    gates: tuple[GateOutcome, ...] = ()
    comparison: Comparison | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class Judgement:
    """What came of a merge request.

    Attributes:
        stages: that have run, in their order.
        models: all that are planned.
        undecided_passes: whether a gate that cannot be decided lets it pass.
    """

    stages: tuple[Stage, ...]
    models: tuple[ModelJudgement, ...]
    undecided_passes: bool

    @property
    def passed(self) -> bool:
        """Whether it may be merged."""
        return all(
            stage.passed for stage in self.stages if not stage.name.startswith(TRAIN)
        ) and all(self.lets_pass(model) for model in self.models)

    def lets_pass(self, model: ModelJudgement) -> bool:
        """Return whether a model lets the merge request pass."""
        return model.verdict == "passed" or (
            model.verdict == "cannot tell" and self.undecided_passes
        )


def read_stages(results: Path) -> tuple[Stage, ...]:
    """Return the stages that have run, the oldest first."""
    found = sorted(results.glob("*.status"), key=lambda path: path.stat().st_mtime_ns)
    return tuple(
        Stage(path.stem, path.read_text().strip() == "0", _tail(path.with_suffix(".log")))
        for path in found
    )


def judge(store: Store, plan: Plan, marker: Marker | None, results: Path) -> Judgement:
    """Judge what a pipeline has made.

    Args:
        store: of the workspace of the branch.
        plan: models that were to be trained.
        marker: of the workspace; None if there is none yet.
        results: folder that its scripts have written.

    Raises:
        IntegrityError: a document of a version is not as it was published.
    """
    stages = read_stages(results)
    prepared = {model.model: model for model in marker.models} if marker else {}
    models = [
        _judged(store, model, prepared.get(model.name), results, stages) for model in plan.models
    ]
    return Judgement(stages, tuple(models), plan.undecided == "pass")


def _judged(
    store: Store,
    planned: PlannedModel,
    prepared: PreparedModel | None,
    results: Path,
    stages: Sequence[Stage],
) -> ModelJudgement:
    trained = next((each for each in stages if each.name == f"{TRAIN}{planned.name}"), None)
    if trained is None or prepared is None:
        return ModelJudgement(planned.name, "failed", "it was not trained", prepared)
    row = _row(store, planned.name, results)
    if row is None:
        reason = "its training has failed, or has published no version"
        return ModelJudgement(planned.name, "failed", reason, prepared)
    document = published_gates(store, [(row.model, row.version)]).get((row.model, row.version))
    outcomes = (
        *(document.gates if document else ()),
        *check_gates(store, row, planned.gates),
    )
    verdict, reason = verdict_of(outcomes), ""
    if row.stage != "recorded" or document is None:
        verdict, reason = "failed", f"it is {row.stage} and not recorded; a step has failed"
    elif not trained.passed and document.verdict == "passed":
        verdict, reason = "failed", "'mlops train' has failed, though its own gates pass"
    comparison, note = _compared(store, row, prepared)
    key = f"{model_folder(row.model, row.version)}/model.onnx"
    files = store.registry.files(model_owner(row.model, row.version))
    return ModelJudgement(
        planned.name,
        verdict,
        "; ".join(filter(None, (reason, note))),
        prepared,
        row,
        outcomes,
        comparison,
        next((file.sha256 for file in files if file.path == key), None),
    )


def _row(store: Store, model: str, results: Path) -> ModelVersion | None:
    try:
        version = json.loads((results / f"{model}.json").read_text())["version"]
        return store.registry.model_version(Reference(model, str(version)))
    except (OSError, ValueError, KeyError, TypeError, NotFound):
        return None  # it has printed nothing, or was interrupted


def _compared(
    store: Store, row: ModelVersion, prepared: PreparedModel
) -> tuple[Comparison | None, str]:
    """Return the comparison with the version of production; or None, and why there is none."""
    if prepared.baseline is None:
        return None, "production has no version to compare with"
    if prepared.baseline == row.version:
        return None, "it is the version of production itself"
    other = store.registry.model_version(Reference(row.model, prepared.baseline))
    runs = [store.registry.run_of(other), store.registry.run_of(row)]
    try:
        return compare_runs(store, runs, Reference.parse(prepared.data)), ""
    except EvaluationError as error:
        return None, f"not compared with production: {error}"


def _tail(path: Path) -> str:
    try:
        text = path.read_text(errors="backslashreplace")
    except OSError:
        return ""
    lines = printable_log(text).rstrip().splitlines()[-MAX_LOG:]
    return "\n".join(line[:MAX_LINE] for line in lines)


def failure_of(error: MlopsError) -> Stage:
    """Return an error as a stage that has failed, so that a report states it."""
    return Stage("report", False, printable_log(str(error))[: MAX_LOG * MAX_LINE])
