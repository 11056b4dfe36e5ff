"""Facts of ONNX files, compared with what the networks do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from mlops_assets.models.frameworks import framework_named
from mlops_assets.models.onnx.session import OnnxModel
from mlops_assets.stac.mlm.onnx_graph import read_graph

SIDE = 32


class UNet(nn.Module):
    """Pools, upsamples by a transposed convolution, and joins what it had before."""

    def __init__(self, upsampling: str) -> None:
        super().__init__()
        self.before = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU())
        self.below = nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(4, 4, 3, padding=1), nn.ReLU())
        self.up = (
            nn.ConvTranspose2d(4, 4, 2, stride=2)
            if upsampling == "transposed"
            else nn.Upsample(scale_factor=2, mode=upsampling)
        )
        self.after = nn.Conv2d(8, 3, 1)

    def forward(self, windows: Tensor) -> Tensor:
        found = self.before(windows)
        scores: Tensor = self.after(torch.cat([found, self.up(self.below(found))], 1))
        return scores


class Squeezed(nn.Module):
    """Weighs channels by their mean over the whole window."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(2, 3, 3, padding=1)

    def forward(self, windows: Tensor) -> Tensor:
        found = self.body(windows)
        scores: Tensor = found * found.mean((2, 3), keepdim=True)
        return scores


def dilated() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=2, dilation=2), nn.ReLU(), nn.Conv2d(4, 3, 5, padding=2)
    )


def exported(net: nn.Module, folder: Path) -> Path:
    path = folder / "model.onnx"
    torch.manual_seed(0)
    framework_named("pytorch").export(net.eval(), (2, SIDE, SIDE), "semantic-segmentation", path)
    return path


def influence(path: Path) -> tuple[int, int]:
    """Largest height and width of the input pixels that change one output pixel."""
    model = OnnxModel(path)
    rng = np.random.default_rng(0)
    X = rng.normal(1, 0.2, (1, 2, SIDE, SIDE)).astype(np.float32)
    places = [(row, column) for row in range(SIDE) for column in range(SIDE)]
    moved = np.zeros((len(places), 3, SIDE, SIDE), dtype=bool)
    # what an activation cuts off in one direction, it passes on in the other
    for change in (-1000, 1000):
        changed = np.repeat(X, len(places), axis=0)
        for index, (row, column) in enumerate(places):
            changed[index, :, row, column] += change
        moved |= model.predict(changed)["scores"] != model.predict(X)["scores"]
    heights, widths = [], []
    for row in range(12, 20):
        for column in range(12, 20):
            own = np.array(places)[moved[:, :, row, column].any(axis=1)]
            spans = own.max(axis=0) - own.min(axis=0) + 1
            heights.append(int(spans[0]))
            widths.append(int(spans[1]))
    return max(heights), max(widths)


@pytest.mark.parametrize("net", ["dilated", "transposed", "nearest", "bilinear"])
def test_a_receptive_field_is_what_a_pixel_depends_on(net: str, tmp_path: Path) -> None:
    path = exported(dilated() if net == "dilated" else UNet(net), tmp_path)
    assert read_graph(path).receptive_field == influence(path)


def test_an_operation_of_unknown_reach_has_no_receptive_field(tmp_path: Path) -> None:
    assert read_graph(exported(Squeezed(), tmp_path)).receptive_field is None


def test_tensors_and_weights_are_those_of_the_file(tmp_path: Path) -> None:
    net = dilated()
    graph = read_graph(exported(net, tmp_path))
    ((given,), (scores,)) = graph.inputs, graph.outputs
    assert (given.name, given.data_type, given.shape) == ("input", "float32", (-1, 2, SIDE, SIDE))
    assert (scores.name, scores.data_type) == ("scores", "float32")
    weights = sum(4 * parameter.numel() for parameter in net.parameters())
    assert weights <= graph.weight_bytes < weights + 200


def test_trees_are_weights(tmp_path: Path) -> None:
    from sklearn.tree import DecisionTreeClassifier

    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 3)).astype(np.float32)
    sizes = []
    for depth in (2, 8):
        tree = DecisionTreeClassifier(max_depth=depth).fit(X, rng.integers(0, 3, len(X)))
        path = tmp_path / f"{depth}.onnx"
        framework_named("scikit-learn").export(tree, (3,), "classification", path)
        graph = read_graph(path)
        assert [output.name for output in graph.outputs] == ["label", "scores"]
        sizes.append(graph.weight_bytes)
        assert graph.weight_bytes < len(onnx.load(path).SerializeToString()) * 2
    assert sizes[1] > 5 * sizes[0]
