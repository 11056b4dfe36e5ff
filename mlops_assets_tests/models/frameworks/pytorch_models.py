"""Tiny PyTorch modules for the contract suite, and such as it must refuse."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from mlops_assets_tests.training.example_trainers import PatchNet, WindowNet


class Wrapped(nn.Module):
    """Keeps a module and numbers as its arguments."""

    def __init__(self, body: nn.Module, width: int, classes: int = 3) -> None:
        super().__init__()
        self.body, self.width, self.classes = body, width, classes
        self.head = nn.Linear(width, classes)

    def forward(self, rows: Tensor) -> Tensor:
        scores: Tensor = self.head(self.body(rows))
        return scores


class OwnSequential(nn.Sequential):
    """A Sequential with arguments of its own."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__(nn.Linear(features, 4), nn.ReLU(), nn.Linear(4, classes))
        self.features, self.classes = features, classes


class Forgetful(nn.Module):
    """Does not keep an argument without a default."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer = nn.Linear(width, 2)

    def forward(self, rows: Tensor) -> Tensor:
        scores: Tensor = self.layer(rows)
        return scores


class KeepsTensor(nn.Module):
    """Keeps an argument that JSON cannot hold."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = weight


class DependsOnData(nn.Module):
    """Branches on values, which a traced graph cannot."""

    def forward(self, rows: Tensor) -> Tensor:
        return rows if float(rows.sum()) > 0 else -rows


class Eigen(nn.Module):
    """Has an operator that ONNX does not."""

    def forward(self, squares: Tensor) -> Tensor:
        values: Tensor = torch.linalg.eigvalsh(squares)
        return values


def _moved(model: nn.Module, X: Any) -> nn.Module:
    model.train()(torch.from_numpy(X))  # moves the batch norm's buffers away from where they start
    return model


def _mlp(outputs: int) -> nn.Module:
    return nn.Sequential(
        nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, outputs)
    )


def sequential(X: Any, y: Any) -> nn.Module:
    torch.manual_seed(0)
    return _moved(_mlp(3), X)


def module_as_argument(X: Any, y: Any) -> nn.Module:
    torch.manual_seed(0)
    return _moved(Wrapped(nn.Sequential(nn.Linear(6, 5), nn.Tanh()), width=5), X)


def own_class_on_patches(X: Any, y: Any) -> nn.Module:
    torch.manual_seed(0)
    return _moved(PatchNet(4, 3, size=5), X)


def windows(X: Any, y: Any) -> nn.Module:
    torch.manual_seed(0)
    return _moved(WindowNet(2, 3), X)


def regression(X: Any, y: Any) -> nn.Module:
    torch.manual_seed(0)
    return _moved(_mlp(1), X)


def inexpressible() -> tuple[nn.Module, tuple[int, ...], str]:
    return Eigen(), (3, 3), "Eigen cannot be exported to ONNX.*linalg_eig"


def unsafe() -> tuple[nn.Module, str]:
    return KeepsTensor(torch.ones(2)), "keeps 'weight' as a Tensor"
