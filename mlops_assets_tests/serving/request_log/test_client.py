"""Predictions of anyone's code in the request log."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

import mlops_assets
from mlops_assets.errors import NotFound, SpecificationError
from mlops_assets.serving.request_log.compact import compact_day
from mlops_assets.serving.request_log.read import read_day
from mlops_assets.store import Store
from mlops_assets_tests.serving.request_log.served import DAY, patches, publish

WHEN = datetime.fromisoformat(f"{DAY}T23:59:59+00:00")
SCORES = np.array([[0.9, 0.1], [0.2, 0.8]], np.float32)


def test_predictions_that_are_logged_again_are_there_once(store: Store) -> None:
    publish(store)
    X = patches(2)
    for _ in range(2):
        assert (
            mlops_assets.log_predictions("crops", "v1-1", X, {"scores": SCORES}, ["a", "b"], WHEN)
            == 2
        )
    mlops_assets.log_predictions("crops", "v1-1", X, {"label": [0, 1]}, ["b", "c"], WHEN)
    compact_day(store, "crops", DAY)
    (found,) = read_day(store, "crops", DAY)
    assert found.requests.tolist() == ["a", "b", "c"]
    assert found.labels is not None and found.labels.tolist() == [0, 1, 1]
    assert found.scores is not None and np.isnan(found.scores[2]).all()
    assert found.values is not None
    np.testing.assert_array_equal(found.values[:2], X)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"inputs": patches(3)}, r"shape \(3, 2, 3, 3\)"),
        ({"inputs": np.full((2, 2, 3, 3), "x")}, "the model takes numbers"),
        ({"outputs": {"scores": SCORES[:, :1]}}, r"expected are numbers of shape \(2, 2\)"),
        ({"outputs": {"label": [0, 2]}}, "the model has 2 classes"),
        ({"outputs": {"label": [0.0, 1.0]}}, "class indices"),
        ({"outputs": {"value": [0.0, 1.0]}}, "the model gives label and scores"),
        ({"outputs": {"logits": SCORES}}, "'logits' is not logged"),
        ({"outputs": {}}, "outputs are empty"),
        ({"ids": ["a", "a"]}, "'a' is there twice"),
        ({"ids": ["a", ""]}, "1 to 255"),
        ({"ids": "ab"}, "one text"),
        ({"times": [datetime.now(UTC)]}, "1 times for 2 ids"),
        ({"times": datetime(1970, 1, 1, tzinfo=UTC)}, "2000 to 2100"),
        ({"times": datetime(2026, 1, 1)}, "no time zone"),
    ],
)
def test_what_does_not_suit_the_model_is_refused(
    store: Store, changed: dict[str, Any], message: str
) -> None:
    publish(store)
    arguments: dict[str, Any] = {
        "inputs": patches(2),
        "outputs": {"scores": SCORES},
        "ids": ["a", "b"],
    }
    with pytest.raises(SpecificationError, match=message):
        mlops_assets.log_predictions("crops", "v1-1", **(arguments | changed))
    assert list(store.workspace.list("inference")) == []


def test_predictions_of_no_version_are_refused(store: Store) -> None:
    publish(store)
    with pytest.raises(NotFound):
        mlops_assets.log_predictions("crops", "v1-9", patches(2), {"scores": SCORES}, ["a", "b"])
