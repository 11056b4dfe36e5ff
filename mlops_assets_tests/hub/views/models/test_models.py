"""What pages show of models: standing versions, pages of versions, history, monitored days."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest

from mlops_assets.errors import NotFound, SpecificationError
from mlops_assets.hub.views.models.changes import models_marker
from mlops_assets.hub.views.models.history import model_history
from mlops_assets.hub.views.models.monitoring import monitoring_of
from mlops_assets.hub.views.models.overview import model_summary, models_overview
from mlops_assets.hub.views.models.versions import versions_page
from mlops_assets.models.approval.decisions import approve, reject
from mlops_assets.models.gates.outcomes import GateOutcome, publish_outcomes
from mlops_assets.models.promotion import promote, rollback
from mlops_assets.models.specification import Approval
from mlops_assets.monitoring.document import Estimate, Interval, Live, Outside
from mlops_assets.names import Reference
from mlops_assets.paths import model_folder, monitoring_key
from mlops_assets.principals import Principal, Role, Visibility
from mlops_assets.registry import ModelVersion, Run
from mlops_assets.registry.promotion.alarms import FailedRule
from mlops_assets.registry.session import now
from mlops_assets.store import Store
from mlops_assets_tests.monitoring.monitored import monitored, version_day
from mlops_assets_tests.training.example_trainers import lifecycle, model_specification

VIEWER = Principal("vic", frozenset({Role.VIEWER}))


@pytest.fixture
def row(store: Store) -> ModelVersion:
    return lifecycle(store, model_specification(), recorded=True, depth=4)


def listed_version(store: Store, number: int, **metrics: Any) -> str:
    """A version that has a row and nothing else; return its name."""
    run_id = f"00000000-0000-4000-8000-{number:012d}"
    version = f"v1-{number:08x}"
    store.registry.start_run(
        Run(
            run_id=run_id,
            model="crops",
            dataset="fields",
            data_version="v1",
            data_digest="0" * 64,
            status="running",
            source="platform",
            trainer="a:b",
            parameters={},
            seed=0,
            code_version="1",
            code={},
            metrics={},
            hardware={},
            tags={},
            host="h",
            pid=1,
            started=now(),
        )
    )
    row = ModelVersion(
        model="crops",
        version=version,
        run_id=run_id,
        dataset="fields",
        data_version="v1",
        data_digest="0" * 64,
        task="classification",
        framework="scikit-learn",
        signature={},
        stage="trained",
        metrics=metrics,
        created=now(),
    )
    store.registry.publish_model_version(row, [])
    return version


def test_a_model_is_listed_that_is_declared_only_and_one_that_is_not_declared(
    store: Store, row: ModelVersion
) -> None:
    declared = {"maize": model_specification("maize", title="Maize from space")}
    crops, maize = models_overview(store, declared, {"crops": "not valid"})
    assert (crops.name, crops.declared, crops.versions) == ("crops", False, 1)
    assert crops.invalid == "not valid" and crops.production is None
    assert crops.newest is not None and crops.newest.version == row.version
    assert (maize.title, maize.declared, maize.newest, maize.trained) == (
        *("Maize from space", True, None, None),
    )
    with pytest.raises(NotFound, match="no model 'wheat'"):
        model_summary(store, declared, {}, "wheat")


def test_production_has_its_metric_with_interval_and_its_gates(
    store: Store, row: ModelVersion
) -> None:
    gates = [{"metric": "size_mb", "max": 1}, {"metric": "macro_f1", "min": 0.5}]
    declared = {"crops": model_specification(gates=gates)}
    outcome = GateOutcome("macro_f1 ≥ 0.5", False, 0.6, 0.5, undecided=True)
    publish_outcomes(store, row, [outcome])
    store.registry.promote(row, [])
    (found,) = models_overview(store, declared, {})
    assert found.production is not None and found.production.gates == "cannot tell"
    metric = found.production.metric
    # the first gate is of the file, not of the test split
    assert metric is not None and metric.name == found.metric == "macro_f1"
    assert metric.value == row.metrics["macro_f1"]
    assert metric.lower is not None and metric.upper is not None and metric.value is not None
    assert metric.lower <= metric.value <= metric.upper


def test_a_damaged_document_is_a_problem_of_its_version_and_hides_no_other(
    store: Store, row: ModelVersion
) -> None:
    other = lifecycle(store, model_specification(), depth=2)
    key = f"{model_folder('crops', row.version)}/metrics.json"
    (store.workspace.root / key).write_text("{}")
    page = versions_page(store, None, "crops")
    intact, damaged = page.rows
    assert intact.version == other.version and not intact.problems
    assert any(metric.lower is not None for metric in intact.metrics)
    assert key in damaged.problems[0]
    # the registry has the values still
    assert damaged.metrics[0].value is not None and damaged.metrics[0].lower is None


def test_versions_are_sorted_and_paged_and_nan_comes_last(store: Store) -> None:
    names = [
        listed_version(store, number, accuracy=value)
        for number, value in enumerate((0.5, "NaN", 0.9, 0.7))
    ]
    listed_version(store, 9)
    best = versions_page(store, None, "crops", size=3, sort="-accuracy")
    assert [row.version for row in best.rows] == [names[2], names[3], names[0]]
    assert (best.total, best.metrics) == (5, ["accuracy"])
    rest = versions_page(store, None, "crops", page=2, size=3, sort="accuracy")
    assert {row.metrics[0].value for row in rest.rows if row.metrics} == {None}
    assert versions_page(store, None, "crops", page=99).rows == []
    with pytest.raises(SpecificationError, match="created, accuracy"):
        versions_page(store, None, "crops", sort="colour")


def test_an_approval_waits_until_it_stands(store: Store, row: ModelVersion) -> None:
    declared = model_specification(approval={"required": True})

    def state() -> str:
        return versions_page(store, declared, "crops").rows[0].approval

    assert state() == "waiting"
    approve(store, row, declared.approval, "seen in the field")
    assert state() == "approved"
    reject(store, row, "snow")
    assert state() == "rejected"


def test_history_has_who_when_and_why_of_moves_and_decisions(
    store: Store, row: ModelVersion
) -> None:
    other = lifecycle(store, model_specification(), recorded=True, depth=2)
    promote(store, row, [], reason="first season")
    promote(store, other, [])
    approve(store, row, Approval(), "seen in the field")
    rollback(store, "crops", reason="it fails on snow")
    page = model_history(store, "crops", size=3)
    assert page.total == 4
    assert [(event.what, event.reason, event.who) for event in page.events] == [
        (f"production rolled back here from {other.version}", "it fails on snow", "tester"),
        ("approved", "seen in the field", "tester"),
        (f"production moved here from {row.version}", None, "tester"),
    ]
    (first,) = model_history(store, "crops", page=2, size=3).events
    assert first.what == "production moved here" and first.reason == "first season"


def test_monitored_days_have_numbers_with_intervals_and_rules(
    store: Store, row: ModelVersion
) -> None:
    own = version_day(row.version, max_outside="failed").model_copy(
        update={
            "outside": Outside(share=float("nan"), samples=3),
            "live": Live(
                samples=90,
                total=100,
                metrics={"accuracy": Interval(value=0.8, lower=0.7, upper=0.9, samples=90)},
                test={"accuracy": 0.9},
            ),
            "estimate": Estimate(
                metric="accuracy", value=None, not_estimable=1, method="cbpe", reason="too few"
            ),
        }
    )
    monitored(store, "02", own)
    monitored(store, "03")
    damaged = store.workspace.root / monitoring_key("crops", "2026-11-03")
    damaged.write_text("{}")
    first, last = monitoring_of(store, "crops")
    (version,) = first.versions
    assert version.outside is None and version.no_estimate == "too few"
    assert version.live is not None and asdict(version.live) == {
        **{"value": 0.8, "lower": 0.7, "upper": 0.9, "samples": 90},
    }
    assert [(rule.name, rule.verdict) for rule in version.rules] == [("max_outside", "failed")]
    assert last.problem is not None and "2026-11-03" in last.problem


def test_what_a_user_may_not_see_is_not_counted_or_listed(store: Store, row: ModelVersion) -> None:
    hidden = lifecycle(store, model_specification(), recorded=True, depth=2)
    store.registry.promote(hidden, [])
    store.registry.set_visibility(hidden, Visibility.PRIVATE)
    monitored(store, "02", version_day(hidden.version), version_day(row.version))
    viewer = store.acting(VIEWER)
    (found,) = models_overview(viewer, {}, {})
    assert (found.versions, found.production) == (1, None)
    assert found.newest is not None and found.newest.version == row.version
    assert found.monitored is not None and found.monitored.version == row.version
    assert versions_page(viewer, None, "crops").total == 1
    assert model_history(viewer, "crops").events == []


def test_an_open_page_learns_of_every_change_and_of_no_other(
    store: Store, row: ModelVersion
) -> None:
    other = lifecycle(store, model_specification("maize"), depth=2)

    def markers() -> tuple[object, object]:
        return models_marker(store), models_marker(store, "crops")

    failed = FailedRule(Reference("crops", row.version), "max_outside", "2026-11-02", "outside")
    changes: list[Callable[[], object]] = [
        lambda: store.registry.promote(row, [], "baseline"),
        lambda: approve(store, row, Approval(), "seen"),
        lambda: store.registry.set_visibility(row, Visibility.PUBLISHED),
        lambda: monitored(store, "02", version_day(row.version)),
        lambda: store.registry.raise_alarm(failed),
    ]
    for change in changes:
        before = markers()
        assert before == markers()
        change()
        assert all(new != old for new, old in zip(markers(), before, strict=True)), change
    own = models_marker(store, "crops")
    store.registry.promote(other, [], "baseline")
    assert models_marker(store, "crops") == own
