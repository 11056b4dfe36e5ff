"""What home shows: what needs attention, what runs, what is in production, and to whom."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from mlops_assets.datasets.commit.commit import Commit
from mlops_assets.datasets.quality.assessment import assess
from mlops_assets.datasets.specification.dataset import QualityThresholds
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.hub.views.home import HomeView, running_work
from mlops_assets.names import Reference
from mlops_assets.principals import Principal, Role
from mlops_assets.registry import ModelVersion
from mlops_assets.store import Store
from mlops_assets_tests.conftest import crops_table, table_specification
from mlops_assets_tests.registry.rows import failed_rule, model_version, new_run
from mlops_assets_tests.training.example_trainers import lifecycle, model_specification

VIEWER = Principal("ann", frozenset({Role.VIEWER}))


@pytest.fixture
def row(store: Store) -> ModelVersion:
    """A version of the model `crops` in production."""
    row = lifecycle(store, model_specification(), recorded=True)
    store.registry.promote(row, [], "production")
    return row


def test_home_has_alarms_first_and_a_page_for_each_thing(store: Store, row: ModelVersion) -> None:
    registry = store.registry
    registry.start_run(new_run("f" * 8, data_version="v1"))
    registry.finish_run("f" * 8, "failed", "Traceback …\nValueError: <b>no bands</b>")
    registry.raise_alarm(failed_rule(row.version, "2026-05-01"))
    shown = HomeView({}).read(store)
    first, second = [each for each in shown.attention if each.kind != "warning"][:2]
    assert (first.kind, first.path) == ("alarm", "/models/crops?tab=monitoring")
    assert "max_outside fails since 2026-05-01: 21 % are outside" in first.detail
    assert (second.kind, second.path) == ("failed run", f"/runs/{'f' * 8}")
    assert second.detail.endswith("ValueError: <b>no bands</b>")
    (production,) = shown.production
    assert (production.version, production.alarms, production.live) == (row.version, 1, None)
    assert production.metric == "accuracy" and production.value is not None


def test_a_check_that_blocks_no_training_is_a_warning(
    store: Store, land_table: Callable[..., Commit]
) -> None:
    thresholds = QualityThresholds(max_imbalance=1).model_dump()
    land_table(crops_table(60), table_specification("uneven", quality=thresholds))
    version = CommittedDataset.open(store.workspace, store.registry, Reference("uneven", "v1"))
    assess(store.registry, version)
    (warning,) = HomeView({}).read(store).attention
    assert (warning.kind, warning.path) == ("warning", "/data/uneven@v1?tab=quality")


def test_home_is_read_again_only_after_a_change(store: Store, row: ModelVersion) -> None:
    view = HomeView({})
    before = view.read(store)
    assert view.read(store) is before
    store.registry.start_run(new_run("1" * 8))
    assert view.read(store).counts.runs == before.counts.runs + 1


def test_home_shows_nobody_what_they_may_not_see(store: Store, row: ModelVersion) -> None:
    from mlops_assets.principals import Visibility

    view = HomeView({})
    assert view.read(store).production
    store.registry.set_visibility(row, Visibility.PRIVATE)
    seen = view.read(store.acting(VIEWER))
    assert not seen.production and not seen.models and view.read(store).production


def test_a_metric_that_is_not_finite_is_unknown(store: Store) -> None:
    store.registry.start_run(new_run("2" * 8))
    unmeasured = model_version("v1-22222222", "2" * 8)
    unmeasured.metrics = {"accuracy": math.nan}
    store.registry.publish_model_version(unmeasured, [])
    (shown,) = HomeView({}).read(store).models
    assert (shown.metric, shown.value) == ("accuracy", None)


def test_running_work_has_the_newest_values(store: Store) -> None:
    store.registry.start_run(new_run("3" * 8, created_by="ann", tags={"sweep": "deep"}))
    store.registry.log("3" * 8, [(0, "loss", 4, 0.5, 0.0)])
    work = running_work(store)
    (run,) = work.runs
    assert (run.step, run.note, run.created_by, run.alive) == (4, "loss 0.5", "ann", None)
    assert [sweep.trials for sweep in work.sweeps] == [{"running": 1}]
