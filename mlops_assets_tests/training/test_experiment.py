"""Runs that depart from what their model declares."""

from __future__ import annotations

import math

import pytest

from mlops_assets.models.specification import EXTERNAL_TRAINER
from mlops_assets.text.json_values import Json
from mlops_assets.training.experiment import Departure, departures
from mlops_assets_tests.training.example_trainers import HERE, model_specification

TREE = f"{HERE}:tree"


@pytest.mark.parametrize(
    ("trainer", "parameters", "seed", "found"),
    [
        (TREE, {"depth": 3}, 0, {}),
        (TREE, {"depth": 5}, 0, {"depth": Departure(3, 5)}),
        (TREE, {"depth": 3}, 7, {"seed": Departure(0, 7)}),
        (TREE, {"depth": 3, "old": 1}, 0, {"old": Departure(None, 1)}),
        ("notebook", {"lr": 0.1}, 0, {"trainer": Departure(TREE, "notebook")}),
    ],
    ids=["as declared", "parameter", "seed", "unknown parameter", "external"],
)
def test_a_run_departs_from_its_declaration(
    trainer: str, parameters: dict[str, Json], seed: int, found: dict[str, Departure]
) -> None:
    specification = model_specification(trainer=TREE, params={"depth": 3})
    assert departures(specification, trainer, parameters, seed) == found


@pytest.mark.parametrize("kept", [math.nan, "NaN"], ids=["of this run", "of the registry"])
def test_a_declared_nan_is_no_departure(kept: Json) -> None:
    trainer = "mlops_assets.training.trainers.sklearn:train"
    estimator = "sklearn.ensemble.RandomForestClassifier"
    params: dict[str, Json] = {"estimator": estimator, "preprocessing": []}
    specification = model_specification(trainer=trainer, params={**params, "missing": math.nan})
    assert departures(specification, trainer, {**params, "missing": kept}, 0) == {}
    found = departures(specification, trainer, {**params, "missing": 0}, 0)
    assert found == {"missing": Departure("NaN", 0)}, "as text, which JSON has"


def test_undeclared_parameters_have_the_defaults_of_the_trainer() -> None:
    specification = model_specification(trainer=TREE, params={})
    assert departures(specification, TREE, {"depth": 4}, 0) == {}


def test_a_run_that_declares_its_model_itself_departs_from_nothing() -> None:
    specification = model_specification(trainer=EXTERNAL_TRAINER, params={})
    assert departures(specification, "notebook", {"lr": 0.1}, 3) == {}
