"""A draft becomes a request, or names what is wrong at its place."""

from __future__ import annotations

import pytest

from mlops_assets.hub.views.training.check import check_draft
from mlops_assets.hub.views.training.draft import Draft
from mlops_assets.models.compute import Compute
from mlops_assets_tests.hub.views.training.parameters import HERE, everything
from mlops_assets_tests.training.sweeps.trainers import curve_model


def test_only_what_differs_from_the_declaration_is_asked_for() -> None:
    draft = Draft(
        parameters={"size": "8", "rate": "1e-2", "layers": "[4, 8]", "patience": ""},
        seed=" 7 ",
        compute={"gpus": "1", "memory": "4Gi"},
        tags="season = autumn\n\nby=ann=bob",
        note=" why ",
    )
    checked = check_draft(everything(), draft, "v1")
    request = checked.request
    assert request is not None and checked.problems == {}
    assert request.parameters == {"rate": 0.01, "layers": [4, 8]}
    assert (str(request.data), request.seed, request.compute) == ("fields@v1", 7, {"gpus": 1})
    assert request.tags == {"season": "autumn", "by": "ann=bob"}
    assert (request.note, request.sweep) == ("why", None)
    assert checked.changed == {"parameters.rate", "parameters.layers", "compute.gpus", "seed"}


def test_everything_that_is_wrong_is_named_at_its_place() -> None:
    draft = Draft(
        parameters={"size": "0", "rate": "fast", "layers": "[a]", "schedule": "<b>", "nope": "1"},
        seed="-1",
        compute={"memory": "much", "cpus": ""},
        tags="mlops/user=eve",
        note="x" * 10_001,
    )
    checked = check_draft(everything(), draft, None)
    assert checked.request is None
    assert checked.problems.keys() == {
        *(f"parameters.{name}" for name in draft.parameters),
        *("seed", "compute.memory", "compute.cpus", "tags", "note", "data"),
    }
    assert checked.problems["parameters.layers"].startswith("0: Input should be a valid integer")


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ("a", "NAME=VALUE"),
        ("=b", "NAME"),
        ("trial=1", "by the platform"),
        ("a=" + "b" * 256, "255"),
    ],
)
def test_tags_that_would_be_refused_or_change_the_run_are_refused(tags: str, message: str) -> None:
    assert message in check_draft(everything(), Draft(tags=tags), "v1").problems["tags"]


def test_values_that_exclude_each_other_are_named_together() -> None:
    draft = Draft(parameters={"size": "60", "rate": "0.5"})
    problems = check_draft(everything(), draft, "v1").problems
    assert problems == {"parameters": "Value error, large and fast exclude each other"}


def test_a_parameter_that_a_dagster_config_would_drop_is_refused() -> None:
    model = everything(trainer=f"{HERE}:launchable", params={})
    assert (
        "no such" in check_draft(model, Draft(parameters={"x": "1"}), "v1").problems["parameters.x"]
    )


def test_a_sweep_has_its_space_and_settings() -> None:
    draft = Draft(
        parameters={"steps": "2"},
        sweep=True,
        space={"quality": "{min: 0.1, max: 0.5, log: true}", "depth": "{choices: [2, 3]}"},
        search={"trials": "4", "parallel": "2", "method": "random", "metric": ""},
    )
    request = check_draft(curve_model(), draft, "v1").request
    assert request is not None and request.sweep is not None
    sweep = request.sweep
    assert (sweep.trials, sweep.parallel, sweep.method, sweep.metric) == (4, 2, "random", None)
    assert sweep.space == {
        "quality": {"min": 0.1, "max": 0.5, "log": True},
        "depth": {"choices": [2, 3]},
    }
    assert request.parameters == {"steps": 2}


@pytest.mark.parametrize(
    ("space", "search", "place", "message"),
    [
        ({}, {}, "space", "no parameter is searched"),
        ({"depth": "{min: 0, max: 3}"}, {}, "space.depth", "min: 0 is refused"),
        ({"depth": "{min: 3, max: 1}"}, {}, "space.depth", "exchange them"),
        ({"depth": "{choices: []}"}, {}, "space.depth", "choices: List should have"),
        ({"depth": "{min: 1, max"}, {}, "space.depth", "not valid YAML"),
        ({"depth": "3"}, {}, "space.depth", "none is searched"),
        ({"nope": "{min: 1, max: 2}"}, {}, "space.nope", "no such parameter"),
        ({"depth": "{min: 1, max: 2}"}, {"trials": "0"}, "search.trials", "greater than"),
        ({"depth": "{min: 1, max: 2}"}, {"trials": "few"}, "search.trials", "valid integer"),
        ({"depth": "{min: 1, max: 2}"}, {"metric": "test_f1"}, "search.metric", "test split"),
        ({"depth": "{min: 1, max: 2}"}, {"metric": "x"}, "search.direction", "set minimize"),
        ({"quality": "{min: 0, max: 1}"}, {"method": "grid"}, "space.quality", "a grid needs"),
    ],
)
def test_what_is_wrong_with_a_sweep_is_named_at_its_place(
    space: dict[str, str], search: dict[str, str], place: str, message: str
) -> None:
    problems = check_draft(curve_model(), Draft(sweep=True, space=space, search=search), "v1")
    assert problems.request is None
    assert list(problems.problems) == [place] and message in problems.problems[place]


def test_a_sweep_has_the_declared_seed_and_no_note() -> None:
    draft = Draft(sweep=True, seed="3", note="a", space={"depth": "{min: 1, max: 2}"})
    assert set(check_draft(curve_model(), draft, "v1").problems) == {"seed", "note"}


def test_a_draft_survives_in_an_address() -> None:
    draft = Draft(
        data="v1",
        parameters={"label": "ä & <b>=%\n#", "patience": ""},
        seed="x",
        compute={"gpus": "1"},
        tags="a=b\nc=d",
        note="第一",
        sweep=True,
        space={"depth": "{min: 1}"},
        search={"seed": "3"},
    )
    address = draft.address("/train", model="crops")
    assert address is not None and address.startswith("/train?model=crops&")
    assert Draft.read(_query(address)) == draft
    assert Draft(note="x" * 7_000).address("/train") is None


def _query(address: str) -> list[tuple[str, str]]:
    from urllib.parse import parse_qsl, urlsplit

    return parse_qsl(urlsplit(address).query, keep_blank_values=True)


def test_the_compute_of_a_pod_is_entered_as_yaml_and_taken_back() -> None:
    declared = everything()
    compute = Compute(gpus=1, gpu_type="A100", node_selector={"zone": "a"})
    declared = declared.model_copy(update={"compute": compute})
    entered = {"gpu_type": "", "node_selector": "{zone: b}", "tolerations": "[{key: spot}]"}
    checked = check_draft(declared, Draft(compute=entered), "v1")
    assert checked.problems == {
        "compute.tolerations": "the taint's value is missing; give it, or write 'operator: Exists'"
    }
    entered["tolerations"] = "[{key: spot, operator: Exists}]"
    request = check_draft(declared, Draft(compute=entered), "v1").request
    assert request is not None
    taken = Compute.model_validate({**compute.model_dump(), **request.compute})
    assert (taken.gpu_type, taken.node_selector) == (None, {"zone": "b"})
    assert [taint.key for taint in taken.tolerations] == ["spot"]
