"""Labels added to logged requests: what they are of, what they mean, what stays of earlier ones."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import Any

import numpy as np
import pytest

from mlops_assets.errors import (
    Forbidden,
    NameRefused,
    NotFound,
    SpecificationError,
    TruthRefused,
)
from mlops_assets.monitoring.truth.add import TruthReport, add_truth
from mlops_assets.monitoring.truth.coverage import coverage
from mlops_assets.monitoring.truth.delete import Deletion, delete_labels, delete_with_labels
from mlops_assets.monitoring.truth.label_table import read_entries
from mlops_assets.monitoring.truth.stored import read_history, read_truth
from mlops_assets.names import Reference
from mlops_assets.paths import requests_key, truth_key
from mlops_assets.principals import Principal, Role, Visibility
from mlops_assets.registry.session import drop_files
from mlops_assets.serving.request_log.read import read_day
from mlops_assets.serving.request_log.retention import enforce_retention
from mlops_assets.store import Store
from mlops_assets_tests.monitoring.truth.logged import (
    NEXT_DAY,
    logged,
    published_and_logged,
)
from mlops_assets_tests.serving.request_log.served import DAY, publish


def add(store: Store, *entries: dict[str, Any], day: str | None = None) -> TruthReport:
    return add_truth(store, "crops", read_entries(list(entries), "labels"), day)


def labels(store: Store, day: str = DAY) -> dict[tuple[str, int], str]:
    """Request and row → label."""
    truth = read_truth(store, "crops", day)
    if truth is None:
        return {}
    samples = zip(truth.requests.tolist(), truth.rows.tolist(), strict=True)
    return dict(zip(samples, truth.labels.tolist(), strict=True))


def refused(store: Store, message: str, *entries: dict[str, Any]) -> None:
    """They are refused, and nothing has changed."""
    before = labels(store)
    with pytest.raises(TruthRefused, match=message):
        add(store, *entries)
    assert labels(store) == before


def test_labels_come_partly_again_and_corrected(store: Store) -> None:
    published_and_logged(store)
    first = add(
        store,
        {"id": "a", "label": "water", "region": "north"},
        {"id": "many", "row": 2, "label": "land"},
        {"id": "gone", "label": "land"},
    )
    assert (first.added, first.unknown, first.unknown_ids) == (2, 1, ("gone",))
    assert first.days == {DAY: 2}
    published, log = store.registry.files_at(truth_key("crops", DAY)), store.registry.newest_entry()
    again = add(store, {"id": "a", "label": "water"}, {"id": "many", "row": 2, "label": "land"})
    assert (again.added, again.unchanged, again.days) == (0, 2, {})
    assert store.registry.files_at(truth_key("crops", DAY)) == published
    assert store.registry.newest_entry() == log
    later = add(
        store.acting(Principal("eve", frozenset({Role.SCIENTIST}))),
        {"id": "a", "label": "land"},
        {"id": "b", "label": "land"},
        {"id": "many", "row": 2, "label": "land", "region": "south"},
    )
    assert (later.added, later.corrected, later.described) == (1, 1, 1)
    assert labels(store) == {("a", 0): "land", ("b", 0): "land", ("many", 2): "land"}
    truth = read_truth(store, "crops", DAY)
    assert truth is not None and truth.corrected == 1
    # what is not given again stays
    regions = dict(zip(truth.requests.tolist(), truth.slices["region"].tolist(), strict=True))
    assert regions == {"a": "north", "b": None, "many": "south"}
    history = read_history(store, "crops", DAY)
    of_a = history[history["id"] == "a"]
    assert of_a["label"].tolist() == ["water", "land"]
    assert of_a["added_by"].tolist() == ["tester", "eve"]
    assert of_a["added"].is_monotonic_increasing
    # and back to the first one
    assert add(store, {"id": "a", "label": "water"}).corrected == 1
    assert labels(store)["a", 0] == "water"


def test_positions_of_labels_in_the_log(store: Store) -> None:
    published_and_logged(store)
    add(store, {"id": "many", "row": 1, "label": "land"}, {"id": "e", "label": "water"})
    (samples,) = read_day(store, "crops", DAY)
    truth = read_truth(store, "crops", DAY)
    assert truth is not None
    found = truth.positions(samples)
    places = zip(samples.requests, samples.rows, found, strict=True)
    assert {(request, row): at for request, row, at in places if at >= 0} == {
        ("many", 1): 0,
        ("e", 0): 1,
    }


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"id": "many", "label": "land"}, "the request has 3 samples; name one of them"),
        ({"id": "many", "row": 3, "label": "land"}, "no such sample; the last is 2"),
        ({"id": "a", "row": 1, "label": "land"}, "no such sample; the last is 0"),
        (
            {"id": "b", "label": "lake"},
            r"label 2 \(id 'b'\): 'lake' is not one of the classes water, land",
        ),
        ({"id": "b", "label": "3"}, "'3' is not one of the classes"),
        ({"id": "a", "label": "land"}, "it is 'land' here, and 'water' in label 1"),
        ({"id": "a", "row": 0, "label": "land"}, "it is 'land' here, and 'water' in label 1"),
    ],
)
def test_an_unclear_or_wrong_label_refuses_all(
    store: Store, entry: dict[str, Any], message: str
) -> None:
    published_and_logged(store)
    logged(store, 1, f=1)
    refused(store, message, {"id": "a", "label": "water"}, entry, {"id": "f", "label": "land"})
    assert labels(store, NEXT_DAY) == {}


def test_an_equal_label_twice_in_one_table_counts_once(store: Store) -> None:
    published_and_logged(store)
    report = add(store, {"id": "a", "label": "land"}, {"id": "a", "row": 0, "label": 2})
    assert report.added == 1 and labels(store) == {("a", 0): "land"}


def test_an_id_of_two_days_needs_the_day(store: Store) -> None:
    published_and_logged(store)
    logged(store, 1, a=2)
    refused(store, f"requests of {DAY} and of {NEXT_DAY} have this id", {"id": "a", "label": 1})
    assert add(store, {"id": "a", "label": "water"}, day=DAY).days == {DAY: 1}
    assert add(store, {"id": "a", "row": 1, "label": "land"}, day=NEXT_DAY).days == {NEXT_DAY: 1}
    with pytest.raises(NameRefused, match="YYYY-MM-DD"):
        add(store, {"id": "a", "label": "water"}, day="../2026-11-02")


@pytest.mark.parametrize(
    ("classes", "written", "name"),
    [
        ({"007": "seven", "7": "other"}, "007", "seven"),
        ({"007": "seven", "7": "other"}, 7, "other"),
        ({"1": "wheat", "2": "maize"}, 2.0, "maize"),
        ({"1": "wheat", "2": "maize"}, "1.0", "wheat"),
        ({"NA": "Namibia", "ZA": "South Africa"}, "NA", "Namibia"),
        ({"1": "crème", "2": "maize"}, "cre\u0300me", "crème"),
        ({"1": "yes", "0": "no"}, True, "yes"),
    ],
)
def test_a_class_is_named_as_in_training_data(
    store: Store, classes: dict[str, str], written: object, name: str
) -> None:
    found = [{"value": value, "name": text} for value, text in classes.items()]
    published_and_logged(store, classes=found)
    add(store, {"id": "a", "label": written})
    assert labels(store) == {("a", 0): name}


def test_numbers_are_labels_of_regression(store: Store) -> None:
    published_and_logged(store, classes=None)
    refused(store, "'much' is not one of finite numbers", {"id": "a", "label": "much"})
    refused(store, "'inf' is not one of finite numbers", {"id": "a", "label": "inf"})
    add(store, {"id": "a", "label": 2.5}, {"id": "b", "label": "-1e3"})
    assert add(store, {"id": "a", "label": "2.50"}).unchanged == 1
    truth = read_truth(store, "crops", DAY)
    assert truth is not None
    np.testing.assert_array_equal(truth.numbers, [2.5, -1000])


def test_windows_have_no_label_of_their_own(store: Store) -> None:
    publish(store, view="window")
    logged(store, a=1)
    refused(store, "predicts every pixel of a window", {"id": "a", "label": "land"})


def test_classes_are_those_of_the_version_that_predicted(store: Store) -> None:
    published_and_logged(store)
    publish(store, "v1-2", classes=[{"name": "land", "value": 1}, {"name": "snow", "value": 2}])
    logged(store, 1, "v1-2", f=1)
    refused(store, "'snow' is not one of the classes water, land", {"id": "a", "label": "snow"})
    add(store, {"id": "a", "label": 1}, {"id": "f", "label": 1})
    assert labels(store) | labels(store, NEXT_DAY) == {("a", 0): "water", ("f", 0): "land"}


def test_rights_are_those_of_versions(store: Store) -> None:
    published_and_logged(store)
    viewer = store.acting(Principal("vic", frozenset({Role.VIEWER})))
    with pytest.raises(Forbidden, match="may not add labels"):
        add(viewer, {"id": "a", "label": "land"})
    row = store.registry.model_version(Reference("crops", "v1-1"))
    publish(store, "v1-2")
    store.registry.set_visibility(row, Visibility.PRIVATE)
    stranger = store.acting(Principal("eve", frozenset({Role.SCIENTIST})))
    assert add(stranger, {"id": "a", "label": "land"}).unknown == 1
    assert coverage(stranger, "crops") == []
    with pytest.raises(NotFound):
        add_truth(store, "nothing", read_entries([{"id": "a", "label": "land"}], "labels"))


def test_who_adds_at_once_loses_nothing(store: Store) -> None:
    published_and_logged(store)
    with ThreadPoolExecutor(5) as pool:
        list(pool.map(lambda name: add(store, {"id": name, "label": "land"}), "abcde"))
    assert len(labels(store)) == 5


def test_labels_of_a_request_are_deleted_on_demand(store: Store) -> None:
    published_and_logged(store)
    logged(store, 1, f=1)
    add(store, {"id": "a", "label": "water"}, {"id": "b", "label": "land"})
    add(store, {"id": "a", "label": "land"}, {"id": "f", "label": "land"})
    scientist = store.acting(Principal("eve", frozenset({Role.SCIENTIST})))
    with pytest.raises(Forbidden):
        delete_labels(scientist, "crops", "a", "asked by its owner")
    assert delete_labels(store, "crops", "a", "asked by its owner") == 1
    assert labels(store) == {("b", 0): "land"}
    assert "a" not in read_history(store, "crops", DAY)["id"].tolist()
    # the last one of its day
    assert delete_labels(store, "crops", "f", "asked by its owner") == 1
    assert read_truth(store, "crops", NEXT_DAY) is None
    assert delete_labels(store, "crops", "f", "again") == 0
    with pytest.raises(SpecificationError, match="give a reason"):
        delete_labels(store, "crops", "b", " ")


def test_a_request_is_deleted_with_its_labels_also_after_its_day(store: Store) -> None:
    published_and_logged(store)
    add(store, {"id": "a", "label": "water"}, {"id": "b", "label": "land"})
    assert delete_with_labels(store, "crops", "a", "asked") == Deletion(1, 1)
    assert labels(store) == {("b", 0): "land"}
    enforce_retention(store, "crops", 1, date(2026, 12, 1))
    assert delete_with_labels(store, "crops", "b", "asked") == Deletion(0, 1)
    assert read_truth(store, "crops", DAY) is None


def test_coverage_and_what_outlives_the_log(store: Store) -> None:
    published_and_logged(store)
    add(store, {"id": "a", "label": "land"}, {"id": "many", "row": 0, "label": "land"})
    add(store, {"id": "a", "label": "water"})
    (found,) = coverage(store, "crops")
    assert (found.day, found.version, found.samples, found.labelled) == (DAY, "v1-1", 8, 2)
    assert (found.share, found.corrected) == (0.25, 1)
    with store.registry.transaction("forget the log") as session:
        drop_files(session, [requests_key("crops", DAY)])
    (left,) = coverage(store, "crops")
    assert (left.version, left.labelled, left.share) == (None, 2, None)
