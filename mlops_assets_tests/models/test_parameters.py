"""Parameters reach the trainer and the record as written, whatever form they pass through."""

from __future__ import annotations

import json
from typing import Any

import dagster as dg
import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from mlops_assets.components.run_config import run_config_type
from mlops_assets.models.parameters import document, restored, without_quotes, written
from mlops_assets.training.trainers import Trainer, load_trainer
from mlops_assets_tests.training.example_trainers import model_specification

SKLEARN = load_trainer("mlops_assets.training.trainers.sklearn:train")
VALUES: list[Any] = [
    None,
    True,
    0,
    -3,
    1e-4,
    "",
    "text",
    "1",
    "null",
    [1, None, "a"],
    {},
    {0: 1, 1: 5.0, 2: 1},
    {"0": 1, 0: 2, "'0'": 3},
    {"a": {-1: [{"b": None}]}},
    {"01": 1, "1.5": 2},
    "'1'",
]


class Weights(BaseModel):
    model_config = ConfigDict(extra="allow")

    by_name: dict[str, float] = {}
    by_index: dict[int, float] = {}


TYPED = Trainer("typed", lambda: None, Weights, SKLEARN.file)


def test_every_value_comes_back_from_json() -> None:
    assert [
        value for value in VALUES if restored(json.loads(json.dumps(written(value)))) != value
    ] == []


def test_a_value_that_was_never_written_stays_as_it_is() -> None:
    value = {0: [{"a": 1}, {-1: "b"}], "c": {2: None}}
    assert restored(value) == without_quotes(value) == value


def test_a_trainer_and_the_record_get_what_was_declared() -> None:
    wrong = []
    for value in VALUES:
        declared = model_specification(params={"estimator": "x", "value": value}).params
        params = SKLEARN.parameters(json.loads(json.dumps(declared)))
        again = SKLEARN.parameters(json.loads(json.dumps(document(params))))
        if not (params.model_extra or {})["value"] == value == (again.model_extra or {})["value"]:
            wrong.append(value)
    assert wrong == []


def test_dagsters_form_takes_every_value_and_starts_with_what_is_declared() -> None:
    for value in VALUES:
        specification = model_specification(params={"estimator": "x", "value": value})
        form = run_config_type(specification, SKLEARN)
        got: list[dict[str, Any]] = []

        def trains(config: Any, got: Any = got) -> None:
            got.append(SKLEARN.parameters(config.model_dump(exclude={"seed"})).model_extra or {})

        trains.__annotations__["config"] = form
        job = dg.GraphDefinition(name="job", node_defs=[dg.op(trains)]).to_job()
        for config in ({}, {"value": written(value)}, {"value": None}):
            job.execute_in_process({"ops": {"trains": {"config": config}}} if config else None)
        assert got == [{"value": value}, {"value": value}, {"value": None}]


@pytest.mark.parametrize("name", ["by_name", "by_index"])
@pytest.mark.parametrize("key", [1, "1"])
def test_the_type_of_a_parameter_decides_about_its_keys(name: str, key: Any) -> None:
    params = TYPED.parameters(model_specification(params={name: {key: 2.0}}).params)
    assert getattr(params, name) == {"1" if name == "by_name" else 1: 2.0}
    assert TYPED.parameters(document(params)) == params


@pytest.mark.parametrize("text", ["1e-4", "1E5", "-2.5e+3", ".5e1"])
def test_text_with_an_exponent_is_a_number(text: str) -> None:
    assert SKLEARN.parameters({"estimator": "x", "tol": text}).model_extra == {"tol": float(text)}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({True: 1}, "the key True is a bool; quote it"),
        ({1.5: 1}, "the key 1.5 is a float"),
        ({1}, "is a set, which is not a valid parameter"),
    ],
)
def test_what_cannot_be_kept_is_refused_where_it_is_declared(value: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        model_specification(params={"value": value})
