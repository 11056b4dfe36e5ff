"""Devices and batches of models under onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from mlops_assets.errors import ExportError, SettingsError
from mlops_assets.models.onnx.session import OnnxModel
from mlops_assets.settings import onnx_provider


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A layer on rows of three numbers."""
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", size])
        for name, size in (("input", 3), ("scores", 2))
    ]
    values = np.arange(6, dtype=np.float32).reshape(3, 2)
    nodes = [helper.make_node("MatMul", ["input", "weights"], ["scores"])]
    weights = [numpy_helper.from_array(values, "weights")]
    graph = helper.make_graph(nodes, "layer", ends[:1], ends[1:], weights)
    imports = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=9), tmp_path / "a.onnx")
    return tmp_path / "a.onnx"


class SmallDevice:
    """A session that has no memory for more than some samples."""

    def __init__(self, session: Any, most: int) -> None:
        self._session, self._most = session, most
        self.sizes: list[int] = []

    def run(self, names: None, given: dict[str, Any]) -> Any:
        size = len(given["input"])
        self.sizes.append(size)
        if size > self._most:
            raise RuntimeError("BFCArena::Extend Failed to allocate memory for requested buffer")
        return self._session.run(names, given)


def test_batches_shrink_to_the_memory_of_a_device(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    X = np.random.default_rng(0).normal(size=(21, 3)).astype(np.float32)
    loaded = OnnxModel(model)
    expected = loaded.predict(X)["scores"]
    device = SmallDevice(loaded._session, 5)
    monkeypatch.setattr(loaded, "_session", device)
    np.testing.assert_allclose(loaded.predict(X)["scores"], expected, rtol=1e-6)
    assert device.sizes == [21, 10, 5, 5, 5, 5, 1]
    monkeypatch.setattr(loaded, "_session", SmallDevice(device._session, 0))
    with pytest.raises(ExportError, match="in batches of 1: BFCArena"):
        loaded.predict(X)


@pytest.mark.skipif(
    "CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="there is CUDA"
)
def test_a_device_that_is_missing_is_an_error(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert onnx_provider() == "cpu"
    monkeypatch.setenv("MLOPS_ONNX_PROVIDER", "cuda")
    with pytest.raises(SettingsError, match=r"MLOPS_ONNX_PROVIDER=cuda: onnxruntime has .*CPU"):
        OnnxModel(model, onnx_provider())
    monkeypatch.setenv("MLOPS_ONNX_PROVIDER", "tpu")
    with pytest.raises(SettingsError, match="MLOPS_ONNX_PROVIDER=tpu: write 'cpu' or 'cuda'"):
        onnx_provider()


@pytest.mark.skipif(
    "CUDAExecutionProvider" not in onnxruntime.get_available_providers(),
    reason="needs a GPU that onnxruntime can use",
)
def test_a_gpu_gives_what_the_cpu_gives(model: Path) -> None:
    X = np.random.default_rng(0).normal(size=(5000, 3)).astype(np.float32)
    on_gpu = OnnxModel(model, "cuda").predict(X)["scores"]
    np.testing.assert_allclose(on_gpu, OnnxModel(model).predict(X)["scores"], rtol=1e-4, atol=1e-5)
