"""Loaders give the batches that the decoded cache holds.

The same for equal seeds, however many workers read ahead.
"""

from __future__ import annotations

import pickle
import random
import sys
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from mlops_assets.datasets.loading.framework_loaders import Batches
from mlops_assets.datasets.loading.training_data import TrainingData
from mlops_assets.errors import MissingExtra
from mlops_assets.store import Store
from mlops_assets_tests.datasets.views import VIEWS, training_data

SCALED: dict[str, Any] = {"bands": ["B004", "B001"], "scaling": "standardize"}


def epoch(loader: Any) -> list[tuple[Tensor, Tensor]]:
    return [(X.clone(), y.clone()) for X, y in loader]


def same(one: list[tuple[Tensor, Tensor]], other: list[tuple[Tensor, Tensor]]) -> bool:
    return len(one) == len(other) and all(
        torch.equal(X, A) and torch.equal(y, b) for (X, y), (A, b) in zip(one, other, strict=True)
    )


def drawn(sample: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
    """Draws from all three generators that augmentations use."""
    return sample * random.random() + np.random.random() + torch.rand(()), label


@pytest.mark.parametrize("view", VIEWS)
def test_torch_batches_are_the_memory_map_in_order(store: Store, view: str) -> None:
    data = training_data(store, view)
    X, y = data.memmap("train")
    batches = epoch(loader := data.loader("train", batch_size=16, seed=0, shuffle=False))
    assert len(batches) == len(loader) == -(-len(X) // 16)
    np.testing.assert_array_equal(torch.cat([batch for batch, _ in batches]), X)
    np.testing.assert_array_equal(
        torch.cat([labels for _, labels in batches]), y.astype(np.float32)
    )
    assert {batch.dtype for batch, _ in batches} == {torch.float32}
    assert {labels.dtype for _, labels in batches} == {
        torch.float32 if view == "numbers" else torch.int64
    }


@pytest.mark.parametrize("view", ["row", "patch", "window"])
def test_a_dataset_gives_single_samples_to_any_loader(store: Store, view: str) -> None:
    data = training_data(store, view)
    dataset = data.torch_dataset("train")
    X, y = data.arrays("train")
    assert isinstance(dataset, Dataset) and len(dataset) == len(X)
    for index in (0, 5, -1):
        sample, label = dataset[index]
        np.testing.assert_array_equal(sample, X[index])
        np.testing.assert_array_equal(label, y[index])
    with pytest.raises(IndexError):
        dataset[len(X)]
    batches = list(DataLoader(dataset, batch_size=10))
    np.testing.assert_array_equal(torch.cat([batch for batch, _ in batches]), X)
    np.testing.assert_array_equal(torch.cat([labels for _, labels in batches]), y)


def test_bands_and_scaling_reach_every_loader(store: Store) -> None:
    data = training_data(store, "patch", **SCALED)
    X, y = data.arrays("test")
    assert X.shape[1:] == (2, 3, 3) and abs(X.mean()) < 1
    batches = epoch(data.loader("test", 16, 0))
    np.testing.assert_array_equal(torch.cat([batch for batch, _ in batches]), X)
    np.testing.assert_array_equal(torch.cat([labels for _, labels in batches]), y)
    np.testing.assert_array_equal(data.torch_dataset("test")[3][0], X[3])


def test_shuffling_takes_every_sample_once_in_another_order_each_epoch(store: Store) -> None:
    data = training_data(store, "row")
    X, _ = data.arrays("train")
    loader = data.loader("train", 16, seed=1)
    one, two = (torch.cat([batch for batch, _ in epoch(loader)]).numpy() for _ in range(2))
    assert not np.array_equal(one, X) and not np.array_equal(one, two)
    for found in (one, two):
        np.testing.assert_array_equal(np.sort(found, axis=0), np.sort(X, axis=0))
    in_order = data.loader("test", 16, seed=1)  # held-out splits keep their order
    np.testing.assert_array_equal(
        torch.cat([batch for batch, _ in in_order]), data.arrays("test")[0]
    )


@pytest.mark.filterwarnings("ignore:.*fork")  # of what other tests have imported
def test_equal_seeds_give_equal_batches_with_any_number_of_workers(store: Store) -> None:
    data = training_data(store, "patch")
    loaders = [
        data.loader("train", 64, seed, workers, transform=drawn)
        for seed, workers in ((3, 0), (3, 2), (4, 0))
    ]
    epochs = [[epoch(loader) for _ in range(2)] for loader in loaders]
    alone, ahead, other = epochs
    assert same(alone[0], ahead[0]) and same(alone[1], ahead[1])
    assert not same(alone[0], alone[1]) and not same(alone[0], other[0])


def test_a_transform_draws_anew_for_each_sample_and_leaves_the_trainers_draws_alone(
    store: Store,
) -> None:
    data = training_data(store, "row")
    seen: list[float] = []

    def draw(sample: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        seen.append(random.random() + float(np.random.random()) + float(torch.rand(())))
        return sample, label

    def three() -> tuple[float, float, float]:
        return random.random(), float(np.random.random()), float(torch.rand(()))

    def seed() -> None:
        random.seed(0)
        np.random.seed(0)
        torch.manual_seed(0)

    seed()
    expected = [three() for _ in range(2)]
    seed()
    found = [three()]
    epoch(data.loader("train", 8, seed=0, transform=draw))
    found.append(three())
    assert found == expected
    assert len(set(seen)) == len(seen) > 50


def test_an_interrupted_run_resumes_in_the_same_epoch(store: Store) -> None:
    data = training_data(store, "row")
    loader = data.loader("train", 16, seed=1)
    epochs = [epoch(loader) for _ in range(3)]
    again = data.loader("train", 16, seed=1)
    assert isinstance(again.sampler, Batches)
    again.sampler.epoch = 2
    assert same(epoch(again), epochs[2])


@pytest.mark.parametrize("view", ["patch", "window"])
def test_a_dataset_is_sent_to_a_worker_without_its_samples(store: Store, view: str) -> None:
    data = training_data(store, view)
    dataset = data.torch_dataset("train")
    sample = dataset[2][0]
    sent = pickle.dumps(dataset)
    assert len(sent) < data.memmap("train")[0].nbytes / 2
    assert torch.equal(pickle.loads(sent)[2][0], sample)


@pytest.mark.parametrize(("samples", "size"), [(0, 4), (1, 4), (8, 4), (9, 4)])
def test_batches_cover_the_split(samples: int, size: int) -> None:
    batches = Batches(samples, size, seed=0, shuffle=True)
    found = [batch.positions for batch in batches]
    assert len(found) == len(batches)
    assert sorted(np.concatenate([np.arange(0), *found]).tolist()) == list(range(samples))


# TensorFlow


@pytest.fixture(scope="module")
def tensorflow() -> Any:
    """TensorFlow, which is an extra."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own imports of what is going away
        return pytest.importorskip("tensorflow")


@pytest.mark.frameworks
@pytest.mark.parametrize("view", VIEWS)
def test_tensorflow_gets_the_batches_that_torch_gets(
    store: Store, view: str, tensorflow: Any
) -> None:
    data = training_data(store, view)
    dataset = data.tf_dataset("train", 16, seed=2)
    loader = data.loader("train", 16, seed=2)
    assert int(dataset.cardinality()) == len(loader)
    for _ in range(2):  # two epochs
        found = [
            (torch.from_numpy(X.numpy().copy()), torch.from_numpy(y.numpy().copy()))
            for X, y in dataset
        ]
        assert same(found, epoch(loader))
    X, y = dataset.element_spec
    assert X.shape.as_list() == [None, *data.sample_shape] and X.dtype == tensorflow.float32
    assert y.dtype == (tensorflow.float32 if view == "numbers" else tensorflow.int64)


def test_a_missing_tensorflow_is_named_with_its_extra(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(
        MissingExtra, match=r"not installed; pip install 'mlops-assets\[tensorflow\]'"
    ):
        data: TrainingData = training_data(store, "row")
        data.tf_dataset("train", 16, seed=0)
