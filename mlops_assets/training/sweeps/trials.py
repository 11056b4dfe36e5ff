"""The trials of a sweep, read from their runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from sqlalchemy import select

from mlops_assets.registry import Registry, Run
from mlops_assets.registry.schema import Point
from mlops_assets.text.json_values import Json, JsonObject

# tags of a run
SWEEP, TRIAL = "sweep", "trial"
State = Literal["running", "succeeded", "failed", "pruned", "canceled"]
# trials that are not started again
ENDED = ("succeeded", "failed", "pruned")


@dataclass(frozen=True)
class Trial:
    """One trial of a sweep.

    Attributes:
        number: its number in the sweep, from 0.
        state: status of its run.
        parameters: all parameters of the trainer.
        metrics: the last value of each metric logged.
        run_id: its run.
        model_version: the model version that it has published.
        seconds: its duration.
        error: the reason of its failure.
        series: [(step, value), …] of one metric, if it was asked for.
    """

    number: int
    state: State
    parameters: Mapping[str, Json]
    metrics: Mapping[str, float] = field(default_factory=dict)
    run_id: str = ""
    model_version: str | None = None
    seconds: float | None = None
    error: str | None = None
    series: tuple[tuple[int, float], ...] = ()

    def document(self, value: float | None, searched: Iterable[str]) -> JsonObject:
        """Return it as listings have it.

        Args:
            value: of its objective.
            searched: names of the parameters to list.
        """
        return {
            "trial": self.number,
            "state": self.state,
            "value": value,
            "parameters": {name: self.parameters.get(name) for name in searched},
            "seconds": self.seconds,
            "run_id": self.run_id,
            "model_version": self.model_version,
            "error": self.error,
        }


def trials_of(registry: Registry, model: str, sweep: str, metric: str | None = None) -> list[Trial]:
    """Return the trials of a sweep that have begun, by number.

    A trial that was started again, as its code had changed, is its newest run.

    Args:
        registry: contains the runs.
        model: the model.
        sweep: name of the sweep.
        metric: read its series too.
    """
    query = (
        select(Run)
        .where(Run.model == model, Run.tags[SWEEP].as_string() == sweep)
        .order_by(Run.started)
    )
    with registry.reading() as session:
        runs = list(session.scalars(query))
        series: dict[str, list[tuple[int, float]]] = {}
        if metric is not None:
            ids = select(Run.run_id).where(Run.model == model, Run.tags[SWEEP].as_string() == sweep)
            points = select(Point.run_id, Point.step, Point.value).where(
                Point.run_id.in_(ids), Point.name == metric
            )
            for run_id, step, value in session.execute(points.order_by(Point.run_id, Point.seq)):
                series.setdefault(run_id, []).append((step, value))
    trials = [
        Trial(
            number=int(run.tags[TRIAL]),
            state=run.status,  # type: ignore[arg-type]
            parameters=run.parameters,
            metrics=run.metrics,
            run_id=run.run_id,
            model_version=run.model_version,
            seconds=run.seconds,
            error=run.error,
            series=tuple(series.get(run.run_id, ())),
        )
        for run in runs
    ]
    newest = {trial.number: trial for trial in trials}
    return [newest[number] for number in sorted(newest)]
