"""Models in memory for tests of the server: real ONNX files, and no workspace."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from mlops_assets.errors import ExportError, ModelUnavailable, NotFound
from mlops_assets.registry import ModelVersion
from mlops_assets.registry.model_documents import Signature
from mlops_assets.serving.sessions.interface import (
    Exchange,
    ModelStatus,
    ServedVersion,
    Tensors,
    TensorSpec,
)

VERSION = "v1-0123abcd"
CNN = (
    (TensorSpec("input", "FP32", (-1, 4, 32, 32)),),
    (TensorSpec("output", "FP32", (-1, 10)),),
)
Function = Callable[[Tensors], dict[str, NDArray[Any]]]


@cache
def cnn() -> bytes:
    """A network of two convolutions, 4 x 32 x 32 to 10 scores; 110 kB."""
    generator = np.random.default_rng(7)

    def weights(name: str, *shape: int) -> onnx.TensorProto:
        values = generator.normal(0, 0.1, shape).astype(np.float32)
        return numpy_helper.from_array(values, name)

    nodes = [
        helper.make_node("Conv", ["input", "w1"], ["c1"], pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2"], ["c2"], pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Relu", ["c2"], ["r2"]),
        helper.make_node("Flatten", ["r2"], ["f"]),
        helper.make_node("Gemm", ["f", "w3"], ["output"]),
    ]
    graph = helper.make_graph(
        nodes,
        "cnn",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", 4, 32, 32])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["n", 10])],
        [weights("w1", 16, 4, 3, 3), weights("w2", 32, 16, 3, 3), weights("w3", 2048, 10)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(model.SerializeToString())


@cache
def onnx_session() -> onnxruntime.InferenceSession:
    """ONNX Runtime's own session of `cnn`."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(cnn(), options, providers=["CPUExecutionProvider"])


def run_cnn(inputs: Tensors) -> dict[str, NDArray[Any]]:
    """The outputs of `cnn` by ONNX Runtime."""
    return {"output": onnx_session().run(["output"], dict(inputs))[0]}


def row(model: str, version: str = VERSION, **columns: object) -> ModelVersion:
    """A row of a model version."""
    given: dict[str, object] = {
        "model": model,
        "version": version,
        "run_id": f"{model}-{version}",
        "dataset": "fields",
        "data_version": version.partition("-")[0],
        "data_digest": "0" * 64,
        "task": "classification",
        "framework": "torch",
        "signature": {},
        "stage": "recorded",
        "metrics": {},
        "created": datetime(2026, 11, 1, tzinfo=UTC),
        "visibility": "workspace",
    }
    return ModelVersion(**{**given, **columns})


class FunctionSession:
    """A loaded version whose outputs a function computes."""

    def __init__(self, served: ServedVersion, function: Function) -> None:
        self.served = served
        self._function = function

    def run(self, inputs: Tensors, outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
        try:
            found = self._function(inputs)
        except ValueError as error:
            raise ExportError(str(error)) from error
        return {name: found[name] for name in outputs}


def session(
    model: str,
    function: Function = run_cnn,
    specs: tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]] = CNN,
    version: str = VERSION,
) -> FunctionSession:
    """A loaded version of a model."""
    signature = Signature(
        view="patch",
        shape=[4, 32, 32],
        features=["b1", "b2", "b3", "b4"],
        architecture="cnn",
    )
    return FunctionSession(
        ServedVersion(
            row(model, version),
            "production",
            "0" * 64,
            signature,
            *specs,
            properties={"classes": ["a", "b"], "data_version": "v1", "unit": "1"},
        ),
        function,
    )


class MemoryRepository:
    """Models that are served from memory."""

    def __init__(self, *sessions: FunctionSession) -> None:
        self.sessions: dict[str, list[FunctionSession]] = {}
        for each in sessions:
            self.sessions.setdefault(each.served.name, []).append(each)
        self.unloaded: set[str] = set()
        self.reasons: dict[str, str] = {}

    def names(self) -> list[str]:
        return sorted(self.sessions)

    def versions(self, name: str) -> list[str]:
        return [each.served.version for each in self._of(name) if name not in self.unloaded]

    def session(self, name: str, version: str | None = None) -> FunctionSession:
        found = self._of(name)
        if name in self.unloaded:
            raise ModelUnavailable(f"model {name} is unloaded; load it to use it")
        known = [
            each for each in found if version in (None, each.served.version, each.served.alias)
        ]
        if not known:
            raise NotFound(f"{name} has no version {version}")
        return known[0]

    def status(self, name: str) -> list[ModelStatus]:
        if name in self.unloaded:
            return [ModelStatus(name, None, False, "is unloaded; load it to use it")]
        return [
            ModelStatus(name, each.served.version, True, self.reasons.get(name))
            for each in self._of(name)
        ]

    def load(self, name: str) -> None:
        self._of(name)
        if name in self.reasons:
            raise ModelUnavailable(self.reasons[name])
        self.unloaded.discard(name)

    def unload(self, name: str) -> None:
        self._of(name)
        self.unloaded.add(name)

    def _of(self, name: str) -> list[FunctionSession]:
        try:
            return self.sessions[name]
        except KeyError:
            raise NotFound(f"no model {name}") from None


class MemoryLog:
    """A log that keeps exchanges in a list, or fails."""

    def __init__(self) -> None:
        self.exchanges: list[Exchange] = []
        self.closed = False
        self.error: Exception | None = None

    def record(self, exchange: Exchange) -> None:
        if self.error is not None:
            raise self.error
        self.exchanges.append(exchange)

    def dropped(self) -> Mapping[str, int]:
        return {"cnn": 3}

    def close(self) -> None:
        self.closed = True
