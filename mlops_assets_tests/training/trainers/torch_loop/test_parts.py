"""The parts of the loop: networks, augmentation, losses, and the batches that a process gets."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn import metrics
from torch import nn
from torch.nn.functional import cross_entropy

from mlops_assets.models.frameworks.pytorch import PyTorch
from mlops_assets.models.onnx.session import OnnxModel
from mlops_assets.store import Store
from mlops_assets.training.trainers.torch_loop import feed as feeding
from mlops_assets.training.trainers.torch_loop.augmentation import Turns
from mlops_assets.training.trainers.torch_loop.feed import Feed, FeedOptions
from mlops_assets.training.trainers.torch_loop.losses import ClassLoss, NumberLoss, class_loss
from mlops_assets.training.trainers.torch_loop.networks.layers import ScaledNetwork, group_norm
from mlops_assets.training.trainers.torch_loop.networks.patch_cnn import PatchCNN
from mlops_assets.training.trainers.torch_loop.networks.temporal import (
    TemporalAttention,
    TemporalCNN,
)
from mlops_assets.training.trainers.torch_loop.networks.unet import UNet
from mlops_assets.training.trainers.torch_loop.parameters import LoopParams
from mlops_assets.training.trainers.torch_loop.precision import Precision
from mlops_assets.training.trainers.torch_loop.validation import Validation
from mlops_assets_tests.datasets.views import training_data
from mlops_assets_tests.training.trainers.torch_loop.cases import forks

NETWORKS: list[tuple[ScaledNetwork, tuple[int, ...]]] = [
    (PatchCNN(4, 3, width=4, blocks=1), (4, 3, 3)),
    (PatchCNN(2, 0, width=4, blocks=2, halvings=2, centre=False), (2, 33, 47)),
    (TemporalCNN(6, 2, 3, width=8), (12,)),
    (TemporalCNN(1, 1, 0, by_date=True, width=8, kernel=3), (1,)),
    (TemporalAttention(6, 2, 3, [0, 10, 30, 31, 60, 90], width=16, heads=4), (12,)),
    (TemporalAttention(3, 1, 0, [0, 1, 2], by_date=True, width=16, heads=16, keys=2), (3,)),
    (UNet(3, 4, width=4, depth=2), (3, 8, 8)),
    (UNet(3, 2, width=4, depth=3), (3, 13, 5)),
]


@pytest.mark.parametrize(("network", "shape"), NETWORKS, ids=lambda value: type(value).__name__)
def test_a_network_is_saved_rebuilt_and_exported_for_any_batch(
    network: ScaledNetwork, shape: tuple[int, ...], tmp_path: Path
) -> None:
    network.mean.fill_(0.3)
    network.deviation.fill_(2.0)
    X = np.random.default_rng(0).normal(1, 2, (11, *shape)).astype(np.float32)
    X.flat[5] = np.nan
    framework, task = PyTorch(), "classification" if network.classes else "regression"
    expected = framework.predict(network, X, task)
    name, values = next(iter(expected.items()))
    wanted = (
        (network.classes, *(shape[1:] if isinstance(network, UNet) else ()))
        if network.classes
        else ()
    )
    assert values.shape == (11, *wanted) and np.isfinite(values).all()
    framework.save(network, tmp_path)
    loaded = framework.load(tmp_path)
    np.testing.assert_array_equal(framework.predict(loaded, X, task)[name], values)
    framework.export(loaded, shape, task, tmp_path / "model.onnx")
    onnx_model = OnnxModel(tmp_path / "model.onnx")
    for batch in (1, 7, 11):
        found = onnx_model.predict(X, batch)[name].reshape(values.shape)
        np.testing.assert_allclose(found, values, atol=1e-4)


@pytest.mark.parametrize(("network", "shape"), NETWORKS, ids=lambda value: type(value).__name__)
def test_an_output_depends_on_its_own_sample_alone(
    network: ScaledNetwork, shape: tuple[int, ...]
) -> None:
    X = torch.randn(5, *shape, generator=torch.Generator().manual_seed(0))
    network.train()
    for module in network.modules():
        if isinstance(module, nn.Dropout | nn.Dropout2d):
            module.p = 0.0
    torch.testing.assert_close(network(X)[2:3], network(X[2:3]), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("channels", [2, 3, 8, 12, 16, 64, 66])
def test_channels_are_normalised_in_groups_of_at_least_two(channels: int) -> None:
    groups = group_norm(channels).num_groups
    assert groups <= 8 and channels % groups == 0 and channels // groups >= 2


def test_dates_are_read_in_their_declared_order() -> None:
    torch.manual_seed(0)
    network = TemporalCNN(3, 2, 2, by_date=False, width=8).eval()
    by_date = TemporalCNN(3, 2, 2, by_date=True, width=8).eval()
    by_date.load_state_dict(network.state_dict())
    rows = torch.tensor([[1.0, 2, 3, 10, 20, 30]])  # two channels of three dates
    assert torch.equal(network(rows), by_date(rows[:, [0, 3, 1, 4, 2, 5]]))
    assert network.series(rows).tolist() == [[[1, 2, 3], [10, 20, 30]]]


def test_attention_knows_when_a_date_was() -> None:
    networks = []
    for days in ([0.0, 1.0, 2.0], [0.0, 50.0, 2.0]):
        torch.manual_seed(0)
        networks.append(TemporalAttention(3, 1, 2, days, width=16, heads=4).eval())
    rows = torch.tensor([[1.0, 2.0, 3.0]])
    assert not torch.allclose(networks[0](rows), networks[1](rows))
    assert not torch.allclose(networks[0](rows), networks[0](rows.flip(1)))


# augmentation


def pictures(height: int, width: int, count: int = 200) -> tuple[torch.Tensor, torch.Tensor]:
    labels = torch.arange(count * height * width).view(count, height, width)
    return torch.stack([labels, -labels], 1).float(), labels


@pytest.mark.parametrize(
    ("kind", "shape", "ways"),
    [
        ("none", (3, 3), 1),
        ("flips", (3, 3), 4),
        ("flips_and_rotations", (3, 3), 8),
        ("flips_and_rotations", (2, 3), 4),
    ],
)
def test_images_are_turned_in_every_way_that_keeps_their_shape(
    kind: Any, shape: tuple[int, int], ways: int
) -> None:
    turns = Turns(kind, *shape, "cpu")
    images, labels = pictures(*shape)
    turned, turned_labels = turns.apply(images, labels, turns.draw(len(images), seed=3))
    assert turned.shape == images.shape and turned_labels.shape == labels.shape
    assert torch.equal(turned[:, 0], turned_labels.float()) and torch.equal(
        turned[:, 1], -turned_labels.float()
    )
    seen = {
        tuple((turned_labels[i] - labels[i, 0, 0]).flatten().tolist()) for i in range(len(labels))
    }
    picture = np.arange(shape[0] * shape[1]).reshape(shape)
    possible = {
        tuple(way.flatten().tolist())
        for quarter, flipped in itertools.product(range(4), (False, True))
        if (way := np.rot90(np.flip(picture, 1) if flipped else picture, quarter)).shape == shape
    }
    assert len(seen) == ways and seen <= possible


def test_labels_of_whole_images_stay() -> None:
    turns = Turns("flips", 3, 3, "cpu")
    images, _ = pictures(3, 3)
    labels = torch.arange(len(images))
    assert turns.apply(images, labels, turns.draw(len(images), 0))[1] is labels


def test_what_is_drawn_depends_on_the_seed_alone() -> None:
    turns = Turns("flips", 3, 3, "cpu")
    torch.manual_seed(0)
    before = torch.get_rng_state()
    assert torch.equal(turns.draw(50, 1), turns.draw(50, 1))
    assert not torch.equal(turns.draw(50, 1), turns.draw(50, 2))
    assert torch.equal(torch.get_rng_state(), before)


# losses


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weights", [None, [1.0, 2.0, 0.5]])
@pytest.mark.parametrize("pixels", [(), (4, 5)])
def test_the_loss_of_classes_is_that_of_torch(
    smoothing: float, weights: Any, pixels: tuple[int, ...]
) -> None:
    generator = torch.Generator().manual_seed(0)
    outputs = torch.randn(9, 3, *pixels, generator=generator)
    labels = torch.randint(-1, 3, (9, *pixels), generator=generator)
    given = None if weights is None else torch.tensor(weights)
    loss = ClassLoss(given, smoothing)
    expected = cross_entropy(outputs, labels, given, ignore_index=-1, label_smoothing=smoothing)
    parts = [loss.total(a, b) for a, b in zip(outputs.split(4), labels.split(4), strict=True)]
    torch.testing.assert_close(sum(parts) / loss.weight(labels), expected)


def test_the_loss_of_numbers_is_in_units_of_their_spread() -> None:
    labels = torch.tensor([1.0, 5.0, float("nan")])
    outputs = torch.tensor([[3.0], [5.0], [9.0]], requires_grad=True)
    loss = NumberLoss(spread=4.0)
    assert float(loss.total(outputs.detach(), labels) / loss.weight(labels)) == pytest.approx(
        (2 / 4) ** 2 / 2
    )
    loss.total(outputs, labels).backward()
    assert outputs.grad is not None and outputs.grad.flatten().tolist() == [0.25, 0, 0]


@pytest.mark.parametrize("view", ["row", "window"])
def test_balanced_weights_are_those_of_scikit_learn(store: Store, view: str) -> None:
    from sklearn.utils.class_weight import compute_class_weight

    data = training_data(store, view)
    labels = data.arrays("train")[1]
    labels = labels[labels >= 0]
    expected = compute_class_weight("balanced", classes=np.unique(labels), y=labels)
    loss = class_loss(data, LoopParams(class_weights="balanced"), "cpu")
    assert loss.weights is not None
    np.testing.assert_allclose(loss.weights.numpy(), expected, rtol=1e-6)


def test_weights_by_name_are_those_of_their_class(store: Store) -> None:
    data = training_data(store, "row")
    loss = class_loss(data, LoopParams(class_weights={"maize": 3}), "cpu")
    assert loss.weights is not None
    assert dict(zip(data.class_names, loss.weights.tolist(), strict=True)) == {
        "fallow": 1,
        "maize": 3,
        "wheat": 1,
    }


# batches


def batches(data: Any, **given: Any) -> list[tuple[int, torch.Tensor, torch.Tensor]]:
    """Two epochs."""
    turns = None
    if len(data.sample_shape) == 3:
        _, height, width = data.sample_shape
        turns = Turns("flips_and_rotations", height, width, "cpu")
    feed = Feed(data, "train", FeedOptions(16, 5, "cpu", -1, **given), turns)
    return [
        (share.seed, share.samples, share.labels) for epoch in (0, 1) for share in feed.epoch(epoch)
    ]


def same(one: list[Any], other: list[Any]) -> bool:
    return len(one) == len(other) and all(
        a[0] == b[0] and torch.equal(a[1], b[1]) and torch.equal(a[2], b[2])
        for a, b in zip(one, other, strict=True)
    )


@forks
@pytest.mark.parametrize("view", ["row", "patch", "window"])
def test_a_split_that_is_read_gives_the_batches_of_one_that_is_held(
    store: Store, view: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = training_data(store, view, scaling="standardize")
    held = batches(data)
    monkeypatch.setattr(feeding, "RESIDENT_BYTES", 0)
    assert same(batches(data, workers=0), held)
    assert same(batches(data, workers=1), held)


def test_the_order_is_the_loaders(store: Store) -> None:
    data = training_data(store, "row")
    loader = data.loader("train", 16, seed=5)
    expected = [batch for _ in (0, 1) for batch in loader]
    for (_, samples, labels), (X, y) in zip(batches(data), expected, strict=True):
        assert torch.equal(samples, X) and torch.equal(labels, y)


@pytest.mark.parametrize("view", ["row", "window"])
@pytest.mark.parametrize("resident", [True, False])
def test_processes_divide_each_batch_among_themselves(
    store: Store, view: str, resident: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = training_data(store, view)
    whole = batches(data)
    if not resident:
        monkeypatch.setattr(feeding, "RESIDENT_BYTES", 0)
    shares = [batches(data, rank=number, world_size=3) for number in range(3)]
    for position, (seed, samples, labels) in enumerate(whole):
        parts = [share[position] for share in shares]
        known = [part for part in parts if (part[2] != -1).any()]
        assert {part[0] for part in parts} == {seed}
        assert torch.equal(torch.cat([part[1] for part in known]), samples)
        assert torch.equal(torch.cat([part[2] for part in known]), labels)


def test_a_process_without_a_share_gets_a_sample_that_counts_nothing(store: Store) -> None:
    data = training_data(store, "row")
    last = len(data.arrays("train")[0]) % 16
    assert last
    shares = [batches(data, rank=number, world_size=last + 1)[-1] for number in range(last + 1)]
    empty = [share for share in shares if (share[2] == -1).all()]
    assert len(empty) == 1 and len(empty[0][1]) == 1


# validation


def test_validation_measures_the_known_labels_as_scikit_learn_does(store: Store) -> None:
    data = training_data(store, "window")
    X, y = (torch.from_numpy(array) for array in data.arrays("validation"))
    assert (y == -1).any()
    torch.manual_seed(0)
    network = nn.Conv2d(X.shape[1], len(data.class_names), 1)
    loss = class_loss(data, LoopParams(), "cpu")
    feed = Feed(data, "validation", FeedOptions(3, 0, "cpu", loss.unknown))
    precision = Precision("cpu", "never")
    validation = Validation(feed, loss, len(data.class_names), precision, "cpu", 1)
    with torch.no_grad():
        scores = network(X)
    known = y != -1
    truth, predicted = y[known].numpy(), scores.argmax(1)[known].numpy()
    expected = {
        "validation_loss": float(cross_entropy(scores, y, ignore_index=-1)),
        "validation_accuracy": metrics.accuracy_score(truth, predicted),
        "validation_macro_f1": metrics.f1_score(
            truth, predicted, labels=np.unique(truth), average="macro", zero_division=0
        ),
    }
    for epoch in range(2):
        assert validation.measure(network, epoch) == pytest.approx(expected, rel=1e-5)
