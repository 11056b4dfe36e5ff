"""Training again from the record: the same model, or a word on what was not as it was."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlops_assets.datasets.versions.documents import json_bytes
from mlops_assets.errors import NotReproducible
from mlops_assets.models.specification import ModelSpecification
from mlops_assets.names import Reference
from mlops_assets.registry import ModelVersion, Run
from mlops_assets.runs.reproduce import TAG, changes_since, reproduce
from mlops_assets.store import Store
from mlops_assets.training import provenance
from mlops_assets_tests.training import example_trainers as trainers

# in no repository, so that its code version changes only when a test changes it
TRAINER = """
from mlops_assets.datasets.loading.training_data import TrainingData
from mlops_assets.training.run import TrainingRun
from mlops_assets_tests.training import example_trainers as trainers


def tree(data: TrainingData, params: trainers.Depth, run: TrainingRun) -> object:
    return trainers.tree(data, params, run)


def other(data: TrainingData, params: trainers.Depth, run: TrainingRun) -> object:
    return trainers.tree(data, params, run)
"""


@pytest.fixture(autouse=True)
def own_trainer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A trainer of one's own, as the module `own_trees`."""
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "own_trees.py").write_text(TRAINER)
    monkeypatch.syspath_prepend(str(folder))
    yield folder / "own_trees.py"
    sys.modules.pop("own_trees", None)


def model_specification(**changes: object) -> ModelSpecification:
    return trainers.model_specification(**{"trainer": "own_trees:tree"} | changes)


@pytest.fixture
def row(store: Store, land_table: Callable[..., Any]) -> ModelVersion:
    """A tree of depth 2 with seed 5, exported and evaluated; declared are other values."""
    land_table()
    return trainers.lifecycle(store, model_specification(seed=5), depth=2)


def change(store: Store, row: ModelVersion, **changes: Any) -> Run:
    """Change the record of a run."""
    with store.registry.transaction("change") as session:
        run = session.get(Run, row.run_id)
        assert run is not None
        for name, value in changes.items():
            setattr(run, name, value)
    return store.registry.run(row.run_id)


@pytest.mark.slow
def test_the_same_model_is_made_from_the_record_not_from_what_is_declared_now(
    store: Store, row: ModelVersion
) -> None:
    found = reproduce(store, model_specification(seed=99, params={"depth": 7}), row)
    assert found.matches, found.document()
    assert [match.what for match in found.artefacts] == ["model.skops"]
    assert {match.what for match in found.metrics} >= {"train_accuracy", "accuracy", "macro_f1"}
    assert found.changes == []
    run = store.registry.run(found.made.run_id)
    assert (run.parameters, run.seed, run.data_version) == ({"depth": 2}, 5, "v1")
    assert run.tags == {TAG: row.version}
    assert found.made.version != row.version
    assert store.registry.model_version(Reference("crops", found.made.version)).stage == "evaluated"
    assert store.registry.aliases("crops") == {}
    assert found.document()["matches"] is True


@pytest.mark.slow
def test_another_outcome_is_reported_with_its_difference(store: Store, row: ModelVersion) -> None:
    metrics = store.registry.run(row.run_id).metrics
    change(store, row, parameters={"depth": 1}, metrics={**metrics, "elsewhere": 1.0})
    found = reproduce(store, model_specification(), row)
    assert (found.matches, found.same_artefacts, found.same_metrics) == (False, False, False)
    different = {
        match.what: (match.recorded, match.now) for match in found.metrics if not match.equal
    }
    assert different["elsewhere"] == (1.0, None)
    recorded, now = different["accuracy"]
    assert recorded == metrics["accuracy"]
    assert recorded is not None and now is not None and now < recorded
    document: dict[str, Any] = found.document()
    assert document["artefacts"][0]["equal"] is False


@pytest.mark.slow
def test_other_code_is_not_trained_unless_it_is_allowed(
    store: Store, row: ModelVersion, own_trainer: Path
) -> None:
    assert changes_since(store, model_specification(), row, store.registry.run(row.run_id)) == []
    own_trainer.write_text(f"{TRAINER}# other code\n")
    with pytest.raises(
        NotReproducible,
        match=r"code: source\.\w{12} → source\.\w{12}; restore the recorded state, or use",
    ):
        reproduce(store, model_specification(), row)
    change(
        store,
        row,
        code_version="c0ffee123456+dirty.89ab12cd",
        code={"commit": "c0ffee123456", "diff": "a" * 64},
    )
    with pytest.raises(NotReproducible) as caught:
        reproduce(store, model_specification(), row)
    assert "code: c0ffee123456+dirty.89ab12cd → " in str(caught.value)
    assert "git checkout c0ffee123456 and apply the patch kept as object aaaaaaaaaaaa" in str(
        caught.value
    )
    assert "--allow-changes" in str(caught.value)
    assert len(store.registry.runs()) == 1
    found = reproduce(store, model_specification(), row, allow_changes=True)
    assert found.matches
    assert [change.what for change in found.changes] == ["code"]


@pytest.mark.parametrize(
    ("declared", "what"),
    [
        ({"trainer": "own_trees:other"}, ["trainer"]),
        ({"bands": ["ndvi_02", "ndvi_01"]}, ["bands"]),
        ({"scaling": "standardize"}, ["scaling"]),
    ],
)
def test_another_declaration_is_named(
    store: Store, row: ModelVersion, declared: dict[str, Any], what: list[str]
) -> None:
    specification = model_specification(**declared)
    found = changes_since(store, specification, row, store.registry.run(row.run_id))
    assert [(each.what, each.forbids) for each in found] == [(name, True) for name in what]
    with pytest.raises(NotReproducible, match=f"{what[0]}: "):
        reproduce(store, specification, row)


def test_other_packages_are_named_but_do_not_hinder(store: Store, row: ModelVersion) -> None:
    document: dict[str, Any] = provenance.environment()
    packages = {**document["packages"], "numpy": "1.0", "gone": "2.0"}
    del packages["scikit-learn"]
    recorded = {"python": "3.9.1", "packages": packages}
    run = change(store, row, environment=store.workspace.put_object(json_bytes(recorded)).sha256)
    found = {each.what: each for each in changes_since(store, model_specification(), row, run)}
    assert found.keys() == {"package gone", "package numpy", "package scikit-learn", "python"}
    assert str(found["package gone"]) == "package gone: 2.0 → absent"
    assert (found["package scikit-learn"].recorded, found["python"].recorded) == (None, "3.9.1")
    assert not any(each.forbids for each in found.values())
    run = change(store, row, hardware={**run.hardware, "gpus": ["H100"]}, environment=None)
    (only,) = changes_since(store, model_specification(), row, run)
    assert (only.what, only.recorded, only.now) == ("hardware gpus", ["H100"], [])


@pytest.mark.parametrize(
    ("recorded", "declared", "message"),
    [
        ({"source": "external"}, {}, "is external \\(source external\\)"),
        ({}, {"dataset": "others"}, "was trained on fields, and crops is declared on others now"),
    ],
)
def test_what_cannot_be_trained_again_at_all_is_refused(
    store: Store,
    row: ModelVersion,
    recorded: dict[str, Any],
    declared: dict[str, Any],
    message: str,
) -> None:
    change(store, row, **recorded)
    specification: ModelSpecification = model_specification(**declared)
    with pytest.raises(NotReproducible, match=message):
        reproduce(store, specification, row, allow_changes=True)
