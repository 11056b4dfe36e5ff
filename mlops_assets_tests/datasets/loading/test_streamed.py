"""What is streamed is what the decoded cache holds, in every view and every order."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from mlops_assets.datasets.loading import streamed
from mlops_assets.datasets.loading.training_data import Shuffle, TrainingData
from mlops_assets.datasets.versions.decoded_cache import split_folder
from mlops_assets.store import Store
from mlops_assets_tests.datasets.views import VIEWS, training_data

READERS: dict[str, Callable[[TrainingData], Any]] = {
    "arrays": lambda data: [data.arrays("train")],
    "a few": lambda data: [data.arrays("train", limit=5)],
    "batches": lambda data: list(data.batches("train", 7)),
    "loader": lambda data: _twice(data, None),
    "loader, in order": lambda data: _twice(data, False),
    "loader, runs": lambda data: _twice(data, "runs"),
    "dataset": lambda data: [data.torch_dataset("train")[-1]],
    "labels": lambda data: [(y, y) for y in data.label_batches("train")],
}


def _twice(data: TrainingData, shuffle: Shuffle | None) -> list[tuple[torch.Tensor, torch.Tensor]]:
    loader = data.loader("train", 7, seed=3, workers=0, shuffle=shuffle)
    return [*loader, *loader]


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("view", VIEWS)
def test_streamed_is_what_the_cache_gives(
    store: Store, view: str, reader: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streamed, "BLOCK_BYTES", 2000)  # several blocks of few samples
    data = training_data(store, view, scaling="standardize")
    folder = split_folder(data.committed, "train", data.view)
    monkeypatch.setenv("MLOPS_READING", "stream")
    found = READERS[reader](data)
    assert not folder.exists()
    monkeypatch.delenv("MLOPS_READING")
    cached = training_data(store, view, scaling="standardize")
    expected = READERS[reader](cached)
    assert len(found) == len(expected)
    for (X, y), (A, b) in zip(found, expected, strict=True):
        np.testing.assert_array_equal(X, A)
        np.testing.assert_array_equal(y, b)
        assert (X.dtype, y.dtype) == (A.dtype, b.dtype)
    assert threading.active_count() == 1
