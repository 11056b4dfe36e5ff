"""Networks of the usual kinds: their windows against PyTorch on the whole scene at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mlops_assets.models.frameworks.pytorch import PyTorch
from mlops_assets.prediction.windows.overlap import Overlap
from mlops_assets.stac.mlm.receptive_field import reach
from mlops_assets_tests.prediction.test_windows import BANDS, CLASSES, SIZE, scores_of, write


def conv(inputs: int, outputs: int, side: int = 3, dilation: int = 1) -> nn.Conv2d:
    padding = dilation * (side // 2)
    return nn.Conv2d(inputs, outputs, side, padding=padding, dilation=dilation)


class Dilated(nn.Sequential):
    """Looks farther by steps of two and four pixels."""

    def __init__(self) -> None:
        super().__init__(
            conv(BANDS, 4), nn.ReLU(), conv(4, 4, dilation=2), nn.ELU(), conv(4, CLASSES, 3, 4)
        )


class Transposed(nn.Sequential):
    """Halves twice by strides, and doubles twice by transposed convolutions."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(BANDS, 4, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(4, 6, 2, stride=2),
            nn.ConvTranspose2d(6, 4, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(4, CLASSES, 2, stride=2),
        )


class Normalised(nn.Sequential):
    """Normalises by the batches that it was trained on."""

    def __init__(self) -> None:
        super().__init__(
            conv(BANDS, 4), nn.BatchNorm2d(4), nn.SiLU(), conv(4, CLASSES), nn.Softmax(dim=1)
        )


class TwoScales(nn.Module):
    """Joins the image with a coarser one of itself, enlarged bilinearly."""

    def __init__(self) -> None:
        super().__init__()
        self.fine, self.coarse, self.head = conv(BANDS, 4), conv(BANDS, 4), conv(8, CLASSES, 1)
        self.down, self.up = nn.AvgPool2d(2), nn.Upsample(scale_factor=2, mode="bilinear")

    def forward(self, X: Tensor) -> Tensor:
        both = torch.cat([self.fine(X), self.up(self.coarse(self.down(X)))], dim=1)
        scores: Tensor = self.head(torch.relu(both))
        return scores


class UNet(nn.Module):
    """Two levels, with what was before pooling joined again."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.inner, self.head = conv(BANDS, 4), conv(4, 6), conv(8, CLASSES)
        self.pool, self.up = nn.MaxPool2d(2), nn.ConvTranspose2d(6, 4, 2, stride=2)

    def forward(self, X: Tensor) -> Tensor:
        fine = torch.relu(self.first(X))
        coarse = torch.relu(self.inner(self.pool(fine)))
        scores: Tensor = self.head(torch.cat([fine, self.up(coarse)], dim=1))
        return scores


STRIDES = {Dilated: 1, Transposed: 4, Normalised: 1, TwoScales: 2, UNet: 2}


def trained(kind: type[nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    network = kind().train()
    network(3 * torch.randn(4, BANDS, SIZE, SIZE) + 1)
    return network.eval()


def on_whole_scene(
    network: nn.Module, pixels: NDArray[np.float32], stride: int
) -> NDArray[np.float32]:
    """The scores of all pixels at once; beyond right and lower edge, as far as strides go."""
    height, width = pixels.shape[1:]
    edges = ((0, 0), (0, -height % stride), (0, -width % stride))
    X = torch.from_numpy(np.pad(pixels, edges, mode="symmetric"))
    with torch.no_grad():
        return np.asarray(network(X[None])[0, :, :height, :width].numpy())


def seen_by(network: nn.Module, stride: int) -> int:
    """How far the pixels lie that any output in the middle of a window depends on, by gradients."""
    middle = range(SIZE // 2, SIZE // 2 + stride)
    radius = 0
    for row, column in ((row, column) for row in middle for column in middle):
        X = torch.randn(8, BANDS, SIZE, SIZE, requires_grad=True)
        network(X)[:, :, row, column].abs().sum().backward()
        assert X.grad is not None
        used = np.argwhere((X.grad != 0).any(dim=0).any(dim=0).numpy())
        radius = max(radius, int(np.abs(used - (row, column)).max()))
    return radius


@pytest.fixture(scope="module", params=STRIDES, ids=lambda kind: str(kind.__name__))
def network(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[nn.Module, Path, int]:
    """A network, its ONNX file, and its stride."""
    network = trained(request.param)
    path = tmp_path_factory.mktemp("network") / "model.onnx"
    PyTorch().export(network, (BANDS, SIZE, SIZE), "semantic-segmentation", path)
    return network, path, STRIDES[request.param]


# several windows, odd sides
@pytest.mark.parametrize("shape", [(77, 101), (33, 64)], ids=str)
def test_windows_equal_the_network_on_the_whole_scene(
    shape: tuple[int, int], network: tuple[nn.Module, Path, int], tmp_path: Path
) -> None:
    module, path, stride = network
    found = reach(onnx.load(path).graph)
    assert found is not None and found.stride == stride
    assert found.radius == seen_by(module, stride)
    overlap = Overlap.of(SIZE, found)
    assert not overlap.blended
    pixels = write(tmp_path / "scene.tif", *shape)
    scores = scores_of(tmp_path / "scene.tif", path, overlap)
    np.testing.assert_allclose(scores, on_whole_scene(module, pixels, stride), atol=1e-5)
