"""ONNX files as somebody else might write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, load, numpy_helper, save


def linear_classifier(path: Path) -> None:
    """Write a model that predicts the crops of `crops_table` by the sum of their six months.

    The farm has no weight.
    """
    weights = np.outer([0, 1, 1, 1, 1, 1, 1], [1, 0, -1]).astype(np.float32)
    bias = np.array([-3.9, 0, 2.1], dtype=np.float32)
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["input", "weights", "bias"], ["scores"])],
        "linear",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 7])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 3])],
        [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(bias, "bias")],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), path)


def hungry_classifier(path: Path, numbers: int) -> None:
    """Write that model with a sum of so many zeros, which are made before they are added up."""
    linear_classifier(path)
    model = load(path)
    graph = model.graph
    graph.node[0].output[0] = "plain"
    graph.initializer.append(numpy_helper.from_array(np.array([numbers]), "size"))
    graph.node.append(helper.make_node("ConstantOfShape", ["size"], ["zeros"]))
    graph.node.append(helper.make_node("ReduceSum", ["zeros"], ["zero"], keepdims=0))
    graph.node.append(helper.make_node("Add", ["plain", "zero"], ["scores"]))
    save(model, path)


def scores_of(path: Path, X: NDArray[np.float32]) -> NDArray[Any]:
    """Return what a model gives for samples."""
    return np.asarray(onnxruntime.InferenceSession(path).run(["scores"], {"input": X})[0])
