"""Experiments: runs that differ from what their model declares."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic_core import to_json

from mlops_assets.models.parameters import document
from mlops_assets.models.specification import EXTERNAL_TRAINER, ModelSpecification
from mlops_assets.text.json_values import Json, JsonObject
from mlops_assets.training.trainers import load_trainer


@dataclass(frozen=True)
class Departure:
    """A value that a run was given instead of the declared one; None where there is none."""

    declared: Json
    used: Json

    def __str__(self) -> str:
        return f"{json.dumps(self.used)} instead of {json.dumps(self.declared)}"


def departures(
    specification: ModelSpecification, trainer: str, parameters: Mapping[str, Json], seed: int
) -> dict[str, Departure]:
    """Return in what a run departs from the declaration of its model: it is an experiment then.

    Parameters that are not declared have the trainer's defaults. The parameters of another trainer,
    such as a notebook, mean something else and are not compared.

    Args:
        specification: the model as declared.
        trainer: of the run.
        parameters: all parameters of the run, as they are recorded.
        seed: of the run.

    Returns:
        Parameter, `seed` or `trainer` → the values that differ; empty if the run is as declared, or
        its model is declared by the run itself.

    Raises:
        TrainerError: the declared trainer cannot be loaded, or refuses the declared parameters.
    """
    if specification.trainer == EXTERNAL_TRAINER:
        return {}
    if trainer != specification.trainer:
        return {"trainer": Departure(specification.trainer, trainer)}
    declared = declared_values(specification)
    used = recorded_values(parameters)
    names = {**declared, **used}
    pairs = {name: Departure(declared.get(name), used.get(name)) for name in names}
    pairs["seed"] = Departure(specification.seed, seed)
    return {name: pair for name, pair in pairs.items() if pair.declared != pair.used}


def declared_values(specification: ModelSpecification) -> JsonObject:
    """Return the parameters that a run as declared has, as they are recorded.

    Raises:
        TrainerError: the trainer cannot be loaded, or refuses the declared parameters.
    """
    trainer = load_trainer(specification.trainer)
    return recorded_values(document(trainer.parameters(specification.params)))


def recorded_values(parameters: Mapping[str, object]) -> JsonObject:
    """Return parameters as the registry keeps them: NaN, which equals nothing, is a text."""
    recorded: JsonObject = json.loads(to_json(parameters, inf_nan_mode="strings"))
    return recorded
