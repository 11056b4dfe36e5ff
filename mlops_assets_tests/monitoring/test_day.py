"""The monitored day: measured, published, and the same bytes again."""

from __future__ import annotations

from datetime import date, timedelta

import pandas as pd
import pytest

from mlops_assets.datasets.versions.documents import json_bytes
from mlops_assets.errors import Forbidden, NameRefused, SpecificationError
from mlops_assets.models.verify import verify_all
from mlops_assets.monitoring import version_day
from mlops_assets.monitoring.day import monitor_day
from mlops_assets.monitoring.due import due_days
from mlops_assets.monitoring.lineage import day_lineage, lineage_lines
from mlops_assets.monitoring.truth.add import add_truth
from mlops_assets.monitoring.truth.label_table import LabelTable, read_entries
from mlops_assets.monitoring.verify import verify_monitoring
from mlops_assets.monitoring.visible import visible
from mlops_assets.paths import monitoring_key, monitoring_owner, requests_key, truth_key
from mlops_assets.principals import Principal, Role, Visibility
from mlops_assets.registry.files.verified_read import read_published
from mlops_assets.reindex.reindex import reindex
from mlops_assets.serving.request_log.compact import compact_day
from mlops_assets.serving.request_log.retention import delete_request, enforce_retention
from mlops_assets.store import Store
from mlops_assets_tests.monitoring.served_days import (
    DAY,
    log_day,
    open_workspace,
    requests,
    service,
    versions,
)


def published(store: Store) -> dict[str, str]:
    """The published files of the day → sha256."""
    return {f.path: f.sha256 for f in store.registry.files(monitoring_owner("crops", DAY))}


def verdicts(store: Store, **changes: object) -> dict[str, str]:
    """Rule → verdict of the monitored day."""
    found = monitor_day(store, service(**changes), DAY)
    return {name: rule.verdict for name, rule in found.outcomes().items()}


def labels(ids: list[str], values: pd.Series) -> LabelTable:
    """Labels of requests, as somebody sends them."""
    pairs = zip(ids, values, strict=True)
    return read_entries([{"id": name, "label": label} for name, label in pairs], "a test")


def test_a_day_is_published_and_the_same_bytes_again(served_store: Store) -> None:
    store = served_store
    first, _ = versions(store)
    log_day(store, first, requests()[0])
    document = monitor_day(store, service(), DAY)
    (own,) = document.versions
    assert (own.version, own.requests, own.data_version) == (first.version, 300, "fields@v1")
    assert own.run_id == first.run_id and own.code_version
    assert own.quality is not None and own.quality.kept == 300
    assert own.outside is not None and own.outside.samples == 300
    assert own.drift is not None and len(own.drift.day.features) == 6
    assert own.drift.reference is not None and own.drift.reference > 200
    assert (own.drift.predicted, own.drift.classes) == (own.drift.reference, 3)
    assert own.estimate is not None and own.estimate.value is not None
    assert {rule.verdict for rule in own.rules if rule.name != "max_loss"} == {"passed"}
    before = published(store)
    assert document.inputs[requests_key("crops", DAY)] in {f.sha256 for f in store.registry.files()}
    content = read_published(store.workspace, store.registry, monitoring_key("crops", DAY))
    assert content == json_bytes(document.model_dump(mode="json"))
    page = read_published(
        store.workspace, store.registry, monitoring_key("crops", DAY, "report.html")
    ).decode()
    assert page.count("data:image/png;base64,") == len(before) - 2
    assert "<script" not in page
    monitor_day(store, service(), DAY)
    assert published(store) == before


def test_a_day_without_requests_is_a_document_that_states_it(served_store: Store) -> None:
    document = monitor_day(served_store, service(), DAY)
    assert (document.versions, document.inputs) == ([], {})
    page = read_published(
        served_store.workspace, served_store.registry, monitoring_key("crops", DAY, "report.html")
    ).decode()
    assert "No request was logged on this day" in page


def test_two_versions_of_a_day_are_measured_apart(served_store: Store) -> None:
    store = served_store
    first, second = versions(store)
    inputs, _ = requests(500)
    log_day(store, first, inputs[:220])
    log_day(store, second, inputs[220:] + 3, "s")
    document = monitor_day(store, service(), DAY)
    assert [(own.version, own.requests) for own in document.versions] == [
        (second.version, 280),
        (first.version, 220),
    ]
    shifted, normal = document.versions
    assert [own.rule("max_drift").verdict for own in (shifted, normal)] == ["failed", "passed"]  # type: ignore[union-attr]
    # of samples that are unlike those of training nothing is estimated
    assert shifted.estimate is not None and shifted.estimate.reason is not None
    assert (shifted.estimate.value, shifted.estimate.not_estimable) == (None, 1)
    assert "AUC of a classifier" in shifted.estimate.reason
    # the worse one counts
    assert document.outcomes()["max_drift"].text == shifted.rule("max_drift").text  # type: ignore[union-attr]
    assert {f"models/crops/{own.version}/model.onnx" for own in document.versions} <= set(
        document.inputs
    )


def test_labels_that_come_later_are_measured_beside_the_test_split(served_store: Store) -> None:
    store = served_store
    first, _ = versions(store)
    inputs, crops = requests()
    ids = log_day(store, first, inputs)
    assert monitor_day(store, service(), DAY).versions[0].live is None
    today = date.fromisoformat(DAY) + timedelta(days=5)
    assert [due.day for due in due_days(store, service(), today)] == ["2026-11-06"]
    wrong = pd.Series(crops).replace({"wheat": "maize", "maize": "wheat"})
    add_truth(store, "crops", labels(ids, wrong))
    # the nightly schedule monitors the day again
    assert [due.day for due in due_days(store, service(), today)] == [DAY, "2026-11-06"]
    document = monitor_day(store, service(), DAY)
    assert [due.day for due in due_days(store, service(), today)] == ["2026-11-06"]
    live = document.versions[0].live
    assert live is not None and live.samples == 300
    assert live.metrics["accuracy"].value < 0.6 < live.test["accuracy"]
    loss = document.versions[0].rule("max_loss")
    assert loss is not None and loss.verdict == "failed" and loss.text.startswith("live accuracy")
    assert truth_key("crops", DAY) in document.inputs


def test_without_a_reference_its_rules_are_unknown(
    served_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(version_day, "reference_of", lambda *_: None)
    log_day(served_store, versions(served_store)[0], requests()[0])
    found = verdicts(served_store)
    unknown = {"max_drift", "max_separation", "max_prediction_shift"}
    assert {name for name, verdict in found.items() if verdict == "unknown"} == unknown


def test_a_private_version_is_seen_by_who_may(served_store: Store) -> None:
    store = served_store
    first, second = versions(store)
    inputs, _ = requests(500)
    log_day(store, first, inputs[:250])
    log_day(store, second, inputs[250:], "s")
    document = monitor_day(store, service(), DAY)
    store.registry.set_visibility(second, Visibility.PRIVATE, "not ready")
    other = store.acting(Principal("other", frozenset({Role.SCIENTIST})))
    shown = visible(other, document)
    assert [own.version for own in shown.versions] == [first.version]
    assert second.version not in shown.model_dump_json()
    # it would publish half of the day in place of all of it
    with pytest.raises(Forbidden, match="that you may not see"):
        monitor_day(other, service(), DAY)


def test_what_was_made_from_a_former_state_is_a_note(served_store: Store) -> None:
    store = served_store
    first, _ = versions(store)
    log_day(store, first, requests()[0])
    monitor_day(store, service(), DAY)
    found = verify_all(store)
    verify_monitoring(store, found)
    assert (found.problems, found.notes) == ([], [])
    log_day(store, first, requests(10, 6)[0], "late")
    compact_day(store, "crops", DAY)
    found = verify_all(store)
    verify_monitoring(store, found)
    assert found.problems == []
    (note,) = found.notes
    assert requests_key("crops", DAY) in note and "former state" in note


def test_a_document_that_names_another_run_is_a_problem(served_store: Store) -> None:
    store = served_store
    first, _ = versions(store)
    log_day(store, first, requests()[0])
    document = monitor_day(store, service(), DAY)
    other = document.versions[0].model_copy(update={"data_version": "fields@v7"})
    changed = document.model_copy(update={"versions": [other]})
    key = monitoring_key("crops", DAY)
    file = store.workspace.put(key, json_bytes(changed.model_dump(mode="json")))
    store.registry.add_files(monitoring_owner("crops", DAY), [file])
    found = verify_all(store)
    verify_monitoring(store, found)
    (problem,) = found.problems
    assert "fields@v7" in problem and "fields@v1" in problem


def test_the_chain_of_a_day_ends_at_checksums_of_files(served_store: Store) -> None:
    store = served_store
    first, _ = versions(store)
    ids = log_day(store, first, requests()[0])
    compact_day(store, "crops", DAY)
    add_truth(store, "crops", labels(ids, requests()[1]))
    document = monitor_day(store, service(), DAY)
    live = document.versions[0].live
    assert live is not None
    text = "\n".join(lineage_lines(day_lineage(store, document)))
    (landed,) = day_lineage(store, document).versions[0].chain.data[0].files
    for part in (
        f"live accuracy {live.metrics['accuracy'].value:.4f} on 300 labels",
        f"{truth_key('crops', DAY)} sha256 {document.inputs[truth_key('crops', DAY)]}",
        f"run {first.run_id}",
        "data version fields@v1",
        f"samples.csv sha256 {landed.sha256}",
    ):
        assert part in text


def test_a_figure_that_is_drawn_no_more_is_published_no_more(served_store: Store) -> None:
    store = served_store
    monitor_day(store, service(), DAY)
    key = monitoring_key("crops", DAY, "figures/v0-drift.png")
    file = store.workspace.put(key, b"of a version whose requests were deleted")
    store.registry.add_files(monitoring_owner("crops", DAY), [file])
    monitor_day(store, service(), DAY)
    assert key not in published(store)
    assert not store.workspace.exists(key)


@pytest.mark.parametrize(
    ("day", "error"),
    [
        ("2026-11-31", NameRefused),
        ("20261102", NameRefused),
        ("../../x", NameRefused),
        ("2999-01-01", SpecificationError),
    ],
)
def test_a_day_that_is_none_is_refused(served_store: Store, day: str, error: type) -> None:
    with pytest.raises(error):
        monitor_day(served_store, service(), day)
    assert list(served_store.workspace.list("monitoring")) == []


def test_a_rebuilt_registry_has_the_monitored_days(served_store: Store) -> None:
    store = served_store
    log_day(store, versions(store)[0], requests()[0])
    monitor_day(store, service(), DAY)
    before = published(store)
    store.registry.close()
    root = store.workspace.root
    (root / "registry.db").unlink()
    operator = Principal("tester", frozenset(Role))
    reindex(store.workspace, f"sqlite:///{root / 'registry.db'}", operator)
    rebuilt = open_workspace(root)
    assert published(rebuilt) == before
    rebuilt.registry.close()


def test_the_document_of_a_day_whose_requests_are_too_old_is_kept(served_store: Store) -> None:
    store = served_store
    log_day(store, versions(store)[0], requests()[0])
    document = monitor_day(store, service(), DAY)
    before = published(store)
    today = date.fromisoformat(DAY) + timedelta(days=100)
    assert enforce_retention(store, "crops", 90, today) == [DAY]
    assert [due.day for due in due_days(store, service(), today)] == [str(today - timedelta(1))]
    assert monitor_day(store, service(), DAY) == document
    assert published(store) == before
    found = verify_all(store)
    verify_monitoring(store, found)
    assert found.problems == []
    assert "published no more" in found.notes[0]


def test_the_numbers_of_a_day_change_once_it_is_monitored_without_a_deleted_request(
    served_store: Store,
) -> None:
    store = served_store
    log_day(store, versions(store)[0], requests()[0])
    monitor_day(store, service(), DAY)
    assert delete_request(store, "crops", "r7", "on demand") == 1
    found = verify_all(store)
    verify_monitoring(store, found)
    assert (found.problems, len(found.notes)) == ([], 1)
    assert monitor_day(store, service(), DAY).versions[0].requests == 299
