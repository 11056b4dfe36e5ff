"""Features of the PyTorch adapter alone: modules rebuilt from their classes and arguments."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from mlops_assets.errors import ExportError
from mlops_assets.models.frameworks.pytorch import ARCHITECTURE, PyTorch
from mlops_assets_tests.models.frameworks.pytorch_models import (
    DependsOnData,
    Forgetful,
    KeepsTensor,
    OwnSequential,
)
from mlops_assets_tests.training.example_trainers import samples


def local_class() -> nn.Module:
    class Local(nn.Module):
        pass

    return Local()


def test_a_module_that_cannot_be_rebuilt_is_refused(
    tmp_path: Path, subtests: pytest.Subtests
) -> None:
    cases: dict[str, tuple[nn.Module, str]] = {
        "local class": (local_class(), "defined inside a function"),
        "forgotten argument": (Forgetful(3), "does not keep its argument 'width'"),
        "nested": (nn.Sequential(nn.ReLU(), Forgetful(3)), "does not keep its argument 'width'"),
        "tensor argument": (KeepsTensor(torch.ones(2)), "keeps 'weight' as a Tensor"),
    }
    for name, (module, message) in cases.items():
        with subtests.test(name):
            with pytest.raises(ExportError, match=message):
                PyTorch().save(module, tmp_path)
            assert not list(tmp_path.iterdir())


def test_an_architecture_that_is_not_the_models_own_is_refused(
    tmp_path: Path, subtests: pytest.Subtests
) -> None:
    PyTorch().save(nn.Linear(2, 2), tmp_path)
    no_module = (
        "os:system",
        "subprocess:Popen",
        "builtins:eval",
        "torch:load",
        "collections:OrderedDict",
    )
    gone = ("mlops_assets_tests.gone:Net", f"{__name__}:Renamed")
    for named in (*no_module, *gone):
        (tmp_path / ARCHITECTURE).write_text(
            json.dumps({"class": named, "arguments": {"command": "false"}})
        )
        message = "not a torch module" if named in no_module else "does not exist any more"
        with subtests.test(named), pytest.raises(ExportError, match=message):
            PyTorch().load(tmp_path)


def test_weights_of_another_module_are_refused(tmp_path: Path) -> None:
    PyTorch().save(nn.Linear(2, 2), tmp_path)
    document = json.loads((tmp_path / ARCHITECTURE).read_text())
    document["arguments"]["out_features"] = 3
    (tmp_path / ARCHITECTURE).write_text(json.dumps(document))
    with pytest.raises(ExportError, match="weights do not fit Linear"):
        PyTorch().load(tmp_path)


def test_common_modules_come_back_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, subtests: pytest.Subtests
) -> None:
    torch.manual_seed(0)
    adapter, (X, _) = PyTorch(), samples((6,))
    modules = {
        "subclass of Sequential": OwnSequential(6, 3),
        "tuple argument": nn.Sequential(nn.Linear(6, 4), nn.Unflatten(1, (2, 2)), nn.Flatten()),
        "no bias": nn.Sequential(nn.Linear(6, 4, bias=False), nn.LayerNorm((4,)), nn.Linear(4, 2)),
    }
    for name, module in modules.items():
        folder = tmp_path_factory.mktemp("module")
        with subtests.test(name):
            adapter.save(module, folder)
            before, after = (
                adapter.predict(m, X, "classification") for m in (module, adapter.load(folder))
            )
            np.testing.assert_array_equal(before["scores"], after["scores"])


def test_a_module_that_onnx_cannot_express_is_named(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="DependsOnData cannot be exported to ONNX"):
        PyTorch().export(DependsOnData(), (6,), "classification", tmp_path / "model.onnx")
