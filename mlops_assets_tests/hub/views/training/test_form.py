"""The form of a model, and what a request will run."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from mlops_assets.cli.run.train import _parameter
from mlops_assets.datasets.commit.commit import Commit
from mlops_assets.errors import NotFound
from mlops_assets.hub.rest.runs.launch_schemas import TrainingStart
from mlops_assets.hub.views.training.check import check_draft
from mlops_assets.hub.views.training.draft import Draft
from mlops_assets.hub.views.training.form import training_form
from mlops_assets.hub.views.training.preview import preview_of
from mlops_assets.principals import Principal, Role
from mlops_assets.store import Store
from mlops_assets.training.sweeps.settings import read_settings
from mlops_assets.training.trainers import load_trainer
from mlops_assets_tests.hub.views.training.parameters import everything
from mlops_assets_tests.training.example_trainers import lifecycle, model_specification
from mlops_assets_tests.training.sweeps.trainers import curve_model


def test_the_form_has_data_runs_and_why_a_viewer_may_not(store: Store) -> None:
    row = lifecycle(store, model_specification(), depth=2)
    store.registry.tag("fields", "v1", "harvest")
    form = training_form(store, model_specification(), "fields@harvest", row.run_id[:8])
    assert (form.job, form.selected, form.refused) == ("crops_lifecycle", "v1", "")
    assert [(choice.version, choice.tags) for choice in form.data] == [("v1", ["harvest"])]
    assert form.source == row.run_id and form.values == {"depth": 2}
    assert form.earlier is not None and form.earlier.count == 1
    assert form.quality is not None and form.quality.state == "not assessed"
    viewer = store.acting(Principal("eve", frozenset({Role.VIEWER})))
    assert "eve may not start a training" in training_form(viewer, model_specification()).refused


@pytest.mark.parametrize("data", ["v9", "other@v1"])
def test_data_that_is_not_there_or_not_of_the_model_is_named(store: Store, data: str) -> None:
    with pytest.raises(NotFound, match=data):
        training_form(store, model_specification(), data)


def test_a_run_of_another_model_gives_no_values(store: Store) -> None:
    row = lifecycle(store, model_specification())
    with pytest.raises(NotFound, match="is of crops, not of everything"):
        training_form(store, everything(name="everything"), source=row.run_id)


def test_the_command_trains_with_the_same_values(store: Store) -> None:
    model = everything()
    texts = {
        "label": "it's #1: \n 'x'",
        "weights": "{1: 2.5}",
        "rate": "1e-05",
        "layers": "[1, 2]",
        "schedule": "constant",
        "patience": "3",
    }
    request = check_draft(model, Draft(parameters=texts, seed="4"), "v1").request
    assert request is not None
    preview = preview_of(training_form(store, model), request)
    first, *options = shlex.split(preview.command)[2:]
    assert (preview.job, preview.partition, first) == ("crops_lifecycle", "v1", "crops@v1")
    assert options[::2] == ["-p"] * len(options[::2])
    given = dict(_parameter(option) for option in options[1::2])
    assert given.pop("seed") == 4
    trainer = load_trainer(model.trainer)
    values = {**model.params, **request.parameters}
    assert trainer.parameters({**model.params, **given}) == trainer.parameters(values)
    assert given.keys() == texts.keys()
    assert TrainingStart.model_validate(preview.body).request() == request


def test_the_file_of_a_sweep_is_read_as_the_sweep(store: Store, tmp_path: Path) -> None:
    draft = Draft(
        parameters={"steps": "2"},
        sweep=True,
        space={"quality": "{min: 1e-05, max: 0.5, log: true}"},
        search={"trials": "30", "parallel": "4", "metric": "validation_accuracy"},
    )
    request = check_draft(curve_model(), draft, "v1").request
    assert request is not None and request.sweep is not None
    preview = preview_of(training_form(store, curve_model()), request)
    (tmp_path / "space.yaml").write_text(preview.space)
    settings = read_settings(tmp_path / "space.yaml")
    assert (settings.trials, settings.parallel) == (30, 4)
    written = settings.model_dump(mode="json", exclude_unset=True)["parameters"]
    assert written == {"steps": 2, **request.sweep.space}
    assert shlex.split(preview.command)[-2:] == ["--space", "space.yaml"]
    assert TrainingStart.model_validate(preview.body).request() == request
    assert yaml.safe_load(preview.space)["metric"] == "validation_accuracy"


def test_a_dataset_without_versions_has_a_form(
    store: Store, land_table: Callable[..., Commit]
) -> None:
    form = training_form(store, model_specification(dataset="empty"))
    assert (form.data, form.selected, form.quality, form.earlier) == ([], None, None, None)
