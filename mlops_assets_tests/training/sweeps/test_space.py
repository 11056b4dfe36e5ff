"""A user's sweep settings, checked before anything is launched.

Every error names file and key.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from mlops_assets.errors import MissingExtra, NameRefused, NotFound, SpecificationError
from mlops_assets.training.sweeps.plan import plan_sweep
from mlops_assets.training.sweeps.settings import read_settings, settings_of
from mlops_assets_tests.components.project import model_specification
from mlops_assets_tests.training.sweeps.trainers import curve_model, planned

WRITTEN = """
parameters:
  quality: {min: 1e-4, max: 1e-1, log: true}
  depth: {min: 2, max: 5}
  layers: {choices: [[4], [8, 8]]}
  steps: 2
method: random
trials: 7
"""


def test_a_file_is_read_and_options_win_over_it(tmp_path: Path) -> None:
    file = tmp_path / "space.yaml"
    file.write_text(WRITTEN)
    settings = read_settings(file, trials=3, method=None, parallel=2)
    assert (settings.trials, settings.method, settings.parallel) == (3, "random", 2)
    space = plan_sweep(curve_model(), "v1", settings, "s").space
    assert space.fixed == {"steps": 2}
    quality, depth, layers = (space.axes[name] for name in ("quality", "depth", "layers"))
    assert (quality.low, quality.high, quality.log, quality.step) == (1e-4, 0.1, True, None)
    assert (depth.integer, depth.step, depth.size) == (True, 1, 4)
    assert layers.choices == ([4], [8, 8])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("parameters: {depth: {min: 5, max: 2}}", r"parameters\.depth: min 5 is larger than max 2"),
        ("parameters: {depth: {min: 1, mx: 2}}", r"parameters\.depth\.mx: unknown key"),
        (
            "parameters: {depth: {choices: []}}",
            r"parameters\.depth\.choices: List should have at least 1 item",
        ),
        (
            "parameters: {quality: {min: 0, max: 1, log: true}}",
            r"parameters\.quality: a logarithm needs min > 0",
        ),
        (
            "parameters: {quality: {min: .1, max: 1, log: true, step: .1}}",
            "log and step exclude each other",
        ),
        ("parameters: {quality: {min: .1, max: one}}", r"parameters\.quality\.max: "),
        ("parameters: {quality: {min: .1, max: .nan}}", r"parameters\.quality\.max: "),
        (
            "parameters: {quality: {min: .1, max: .9, integer: true}}",
            r"parameters\.quality: an integer range needs",
        ),
        (
            "parameters: {depth: 2}\nmethod: bayes",
            "method: Input should be 'tpe', 'random' or 'grid'",
        ),
        (
            "parameters: {depth: 2}\nmetric: test_accuracy",
            "metric: 'test_accuracy' is of the test split",
        ),
        ("parameters: {depth: 2}\ntrails: 3", "trails: unknown key"),
        ("parameters: {}", "parameters: "),
        ("", "has no settings"),
        ("{", "is not valid YAML"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "space.yaml"
    file.write_text(text)
    with pytest.raises(SpecificationError, match=message) as raised:
        read_settings(file)
    assert str(raised.value).startswith(str(file))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"nowhere\.yaml cannot be read"):
        read_settings(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize(
    ("parameters", "settings", "message"),
    [
        (
            {"deepness": {"min": 1, "max": 2}},
            {},
            r"parameters\.deepness: .*:curve has no such parameter; it has qual",
        ),
        ({"seed": {"choices": [1, 2]}}, {}, "the model's seed is not searched"),
        (
            {"depth": {"min": 0, "max": 2}},
            {},
            r"parameters\.depth\.min: 0 is refused: .*greater than or equal to 1",
        ),
        (
            {"depth": {"min": 1, "max": 9}},
            {},
            r"parameters\.depth\.max: 9 is refused: .*less than or equal to 8",
        ),
        ({"depth": {"min": 1.5, "max": 3}}, {}, r"parameters\.depth\.min: 1\.5 is refused"),
        (
            {"depth": {"choices": [1, "deep"]}},
            {},
            r"parameters\.depth\.choices\.1: 'deep' is refused",
        ),
        ({"depth": {"choices": [1, "1"]}}, {}, r"parameters\.depth\.choices: a value occurs twice"),
        ({"quality": {"min": 0, "max": 1}, "depth": 9}, {}, r"parameters\.depth: 9 is refused"),
        ({"depth": 2}, {}, "none is searched"),
        (
            {"depth": {"min": 1, "max": 2}, "quality": {"min": 0, "max": 1}},
            {"method": "grid"},
            r"parameters\.quality: a grid needs 'step' or 'choices'",
        ),
        (
            {"quality": {"min": 0.1, "max": 1, "log": True}},
            {"method": "grid"},
            r"parameters\.quality: a grid needs",
        ),
        (
            {"depth": {"min": 1, "max": 2}},
            {"metric": "validation_fitness"},
            "direction: it is unknown for 'validation_fitness'",
        ),
    ],
)
def test_what_the_trainer_does_not_take_is_refused(
    parameters: dict[str, Any], settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(SpecificationError, match=message) as raised:
        planned(parameters, **settings)
    assert str(raised.value).startswith("space.yaml: ")


def test_a_wrong_value_is_not_blamed_on_another_parameter() -> None:
    with pytest.raises(SpecificationError, match=r"parameters\.depth\.choices\.0: 'deep'"):
        planned({"quality": {"min": 0, "max": 1}, "depth": {"choices": ["deep", 2]}})


def test_a_grid_is_counted_and_goes_through_every_point_once() -> None:
    plan = planned(
        {
            "depth": {"min": 1, "max": 6, "step": 2},
            "quality": {"min": 0.1, "max": 0.35, "step": 0.1},
            "steps": 1,
            "layers": {"choices": [[4], [8]]},
        },
        method="grid",
    )
    assert plan.trials == plan.space.grid == 3 * 3 * 2
    points = [plan.space.point(index) for index in range(18)]
    assert {(p["depth"], p["quality"], str(p["layers"])) for p in points} == {
        (depth, quality, layers)
        for depth in (1, 3, 5)
        for quality in (0.1, 0.2, 0.3)
        for layers in ("[4]", "[8]")
    }
    assert [point["layers"] for point in points[:3]] == [[4], [8], [4]]
    assert planned({"depth": {"min": 1, "max": 6}}, method="grid", trials=100).trials == 6
    assert planned({"depth": {"min": 1, "max": 6}}, method="grid", trials=2).trials == 2


def test_integers_are_recognised_by_the_trainer_or_as_they_are_written() -> None:
    axes = planned({"depth": {"min": 1, "max": 2}, "quality": {"min": 0, "max": 1}}).space.axes
    assert (axes["depth"].integer, axes["quality"].integer) == (True, False)
    forest = settings_of(
        {"parameters": {"max_depth": {"min": 2, "max": 9}, "ccp_alpha": {"min": 0.0, "max": 1}}},
        "f",
    )
    axes = plan_sweep(model_specification(), "v1", forest).space.axes
    assert (axes["max_depth"].integer, axes["ccp_alpha"].integer) == (True, False)


def test_a_name_is_made_of_what_decides_which_trials_there_are() -> None:
    def name(trials: int = 5, seed: int = 0, **model: object) -> str:
        settings = settings_of(
            {"parameters": {"depth": {"min": 1, "max": 2}}, "trials": trials, "seed": seed}, "f"
        )
        return plan_sweep(curve_model(**model), "v1", settings).name

    assert name() == name(trials=9)
    assert name().startswith("v1-tpe-")
    assert (
        len({name(), name(seed=1), name(params={"steps": 9}), name(seed=0, scaling="minmax")}) == 4
    )
    with pytest.raises(NameRefused, match="sweep 'a/b' cannot be used"):
        planned({"depth": {"min": 1, "max": 2}}, name="a/b")


def test_without_optuna_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtra, match=r"pip install 'mlops-assets\[sweeps\]'"):
        planned({"depth": {"min": 1, "max": 2}})
