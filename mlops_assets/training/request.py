"""The request to train a model, as every caller states it and a worker process receives it."""

from __future__ import annotations

import uuid
from typing import Any, Literal

from pydantic import Field

from mlops_assets.choices import Direction
from mlops_assets.models.specification import ModelSpecification
from mlops_assets.strict import Strict

_RUN_NAMESPACE = uuid.UUID("6f0b8f0e-52c6-4a6e-9d0e-3c2a6b6a7c11")


class Pruning(Strict):
    """The sweep that a run is a trial of, and the rule by which the trial may stop early."""

    sweep: str
    trial: int
    metric: str
    direction: Direction
    name: Literal["median", "hyperband"]


def run_identifier(orchestration_run: str | None, model: str, data_version: str) -> str:
    """Return a run's id.

    Within one orchestrated run it is always the same, so that a retried step is the same run.
    """
    if orchestration_run is None:
        return str(uuid.uuid4())
    return str(uuid.uuid5(_RUN_NAMESPACE, f"{orchestration_run}/{model}/{data_version}"))


def _default_run_id(fields: dict[str, Any]) -> str:
    return run_identifier(
        fields["orchestration_run"], fields["specification"].name, fields["data_version"]
    )


class TrainingRequest(Strict):
    """One training run: the model, the data version, the parameters and the seed.

    Attributes:
        specification: the model as declared.
        data_version: version of the model's dataset.
        parameters: values for the trainer, not yet validated by it.
        seed: seed of the run.
        orchestration_run: id of the Dagster run that the training is a step of.
        run_id: id of the run; derived from `orchestration_run` if there is one, else random.
        tags: labels of the run.
        note: first note on the run, by who starts it; empty for none.
        pruning: set for a trial of a sweep that may be stopped early.
    """

    specification: ModelSpecification
    data_version: str
    parameters: dict[str, object]
    seed: int
    orchestration_run: str | None = None
    run_id: str = Field(default_factory=_default_run_id)
    tags: dict[str, str] = Field(default={})
    note: str = ""
    pruning: Pruning | None = None

    def with_run_id(self, run_id: str) -> TrainingRequest:
        """Return this request for another run id, such as that of a run to be resumed."""
        return self.model_copy(update={"run_id": run_id})
