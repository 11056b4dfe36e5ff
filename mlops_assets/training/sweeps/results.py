"""The result of a sweep, read from the registry, while it is running and afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mlops_assets.errors import TrainerError
from mlops_assets.models.gates.check import check_gates
from mlops_assets.models.gates.outcomes import gates_description
from mlops_assets.names import Reference
from mlops_assets.registry import ModelVersion
from mlops_assets.store import Store
from mlops_assets.text.json_values import Json, JsonObject
from mlops_assets.training.sweeps.candidate import CANDIDATE
from mlops_assets.training.sweeps.objective import Objective, objective_of
from mlops_assets.training.sweeps.plan import Plan
from mlops_assets.training.sweeps.trials import Trial, trials_of


@dataclass(frozen=True)
class SweepResult:
    """The result of a sweep, so far or in the end.

    Attributes:
        plan: the sweep as planned.
        objective: the metric that is optimised.
        trials: all that have begun, the best first; those without a value last.
        row: the model version of the best.
        candidate: whether that is the model's candidate.
        gates: description of its gates, passed and failed.
        importances: parameter → share of the variance of the objective that it explains; None if it
            had one value only.
    """

    plan: Plan
    objective: Objective
    trials: Sequence[Trial]
    row: ModelVersion
    candidate: bool
    gates: str
    importances: dict[str, float | None]

    @property
    def best(self) -> Trial:
        """The best trial."""
        return self.trials[0]

    def trial_documents(self) -> list[JsonObject]:
        """Return the trials, the best first, as listings have them."""
        searched = list(self.plan.space.axes)
        return [trial.document(self.objective.value(trial), searched) for trial in self.trials]

    def document(self) -> JsonObject:
        """Return all of it as JSON values."""
        trials: list[Json] = [*self.trial_documents()]
        return {
            "sweep": self.plan.name,
            "model": self.row.model,
            "data_version": self.row.data_version,
            "metric": self.objective.metric,
            "direction": self.objective.direction,
            "split": "validation",
            "planned": self.plan.trials,
            "best": trials[0],
            "model_version": self.row.version,
            "candidate": self.candidate,
            "gates": self.gates,
            "test_metrics": self.row.metrics,
            "importances": dict(self.importances),
            "trials": trials,
        }


def result_of(store: Store, plan: Plan) -> SweepResult:
    """Return the result of a sweep, so far or in the end.

    Raises:
        TrainerError: no trial has succeeded yet.
        SpecificationError: the metric to optimise is not logged.
    """
    trials = trials_of(store.registry, plan.model, plan.name)
    objective = objective_of(plan.settings, trials, plan.specification.gates)
    ranked = objective.ranked(trials) if objective else []
    if objective is None or not ranked:
        raise TrainerError(f"no trial of sweep {plan.name} has succeeded; {failure_of(trials)}")
    row = store.registry.model_version(Reference(plan.model, ranked[0].model_version))
    return SweepResult(
        plan=plan,
        objective=objective,
        trials=ranked + [trial for trial in trials if trial not in ranked],
        row=row,
        candidate=store.registry.aliases(plan.model).get(CANDIDATE) == row.version,
        gates=gates_description(check_gates(store, row, plan.specification.gates, run=False)),
        importances=plan.search().importances(trials, objective),
    )


def failure_of(trials: Sequence[Trial]) -> str:
    """Return the error of the last failed trial and the command that shows it."""
    failed = [trial for trial in trials if trial.state == "failed"]
    if not failed:
        return (
            "start it again to continue, or prune less"
            if trials
            else "none was begun; allow more time"
        )
    reason = (failed[-1].error or "").strip().splitlines()
    run = failed[-1].run_id[:8]
    return (
        f"the last one: {reason[-1] if reason else 'no reason is recorded'}; see 'mlops run show"
        f" {run}'"
    )
