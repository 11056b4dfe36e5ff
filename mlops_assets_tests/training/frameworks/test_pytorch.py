"""What only the PyTorch adapter has: modules rebuilt from their classes and arguments."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from mlops_assets.errors import ExportError
from mlops_assets.training.frameworks.pytorch import ARCHITECTURE, PyTorch
from mlops_assets_tests.training.frameworks.pytorch_models import DependsOnData, Forgetful, KeepsTensor, OwnSequential
from mlops_assets_tests.training.trainers import samples


def local_class() -> nn.Module:
    class Local(nn.Module):
        pass

    return Local()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (local_class, "defined inside a function"),
        (lambda: Forgetful(3), "does not keep its argument 'width'"),
        (lambda: nn.Sequential(nn.ReLU(), Forgetful(3)), "does not keep its argument 'width'"),
        (lambda: KeepsTensor(torch.ones(2)), "keeps 'weight' as a Tensor"),
    ],
    ids=["local class", "forgotten argument", "nested", "tensor argument"],
)
def test_a_module_that_cannot_be_rebuilt_is_refused(
    build: Callable[[], nn.Module], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ExportError, match=message):
        PyTorch().save(build(), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "named",
    ["os:system", "subprocess:Popen", "builtins:eval", "torch:load", "collections:OrderedDict"],
)
def test_an_architecture_that_names_no_module_is_refused(named: str, tmp_path: Path) -> None:
    PyTorch().save(nn.Linear(2, 2), tmp_path)
    (tmp_path / ARCHITECTURE).write_text(json.dumps({"class": named, "arguments": {"command": "false"}}))
    with pytest.raises(ExportError, match="no torch module"):
        PyTorch().load(tmp_path)


@pytest.mark.parametrize("named", ["mlops_assets_tests.gone:Net", f"{__name__}:Renamed"])
def test_an_architecture_whose_class_is_gone_is_refused(named: str, tmp_path: Path) -> None:
    PyTorch().save(nn.Linear(2, 2), tmp_path)
    (tmp_path / ARCHITECTURE).write_text(json.dumps({"class": named, "arguments": {}}))
    with pytest.raises(ExportError):
        PyTorch().load(tmp_path)


def test_weights_of_another_module_are_refused(tmp_path: Path) -> None:
    PyTorch().save(nn.Linear(2, 2), tmp_path)
    document = json.loads((tmp_path / ARCHITECTURE).read_text())
    document["arguments"]["out_features"] = 3
    (tmp_path / ARCHITECTURE).write_text(json.dumps(document))
    with pytest.raises(ExportError, match="weights do not fit Linear"):
        PyTorch().load(tmp_path)


@pytest.mark.parametrize(
    "build",
    [
        lambda: OwnSequential(6, 3),
        lambda: nn.Sequential(nn.Linear(6, 4), nn.Unflatten(1, (2, 2)), nn.Flatten()),
        lambda: nn.Sequential(nn.Linear(6, 4, bias=False), nn.LayerNorm((4,)), nn.Linear(4, 2)),
    ],
    ids=["subclass of Sequential", "tuple argument", "no bias"],
)
def test_common_modules_come_back_as_they_were(build: Callable[[], nn.Module], tmp_path: Path) -> None:
    torch.manual_seed(0)
    adapter, model, (X, _) = PyTorch(), build(), samples((6,))
    adapter.save(model, tmp_path)
    before, after = (adapter.predict(m, X, "classification") for m in (model, adapter.load(tmp_path)))
    np.testing.assert_array_equal(before["scores"], after["scores"])


def test_a_module_that_onnx_cannot_express_is_named(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="DependsOnData cannot be exported to ONNX"):
        PyTorch().export(DependsOnData(), (6,), "classification", tmp_path / "model.onnx")
