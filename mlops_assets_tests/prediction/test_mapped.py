"""Models and the layers of their maps."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from mlops_assets.errors import SpecificationError
from mlops_assets.prediction.mapped import MappedModel, Options
from mlops_assets.prediction.scenes.bands import Wanted
from mlops_assets.registry.model_documents import OutputClass, Signature


def test_windows_of_a_model_without_scores_are_refused(tmp_path: Path) -> None:
    samples = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 2, 8, 8])
    labels = helper.make_tensor_value_info("label", TensorProto.INT64, ["batch", 8, 8])
    decide = helper.make_node("ArgMax", ["input"], ["label"], axis=1, keepdims=0)
    graph = helper.make_graph([decide], "labels", [samples], [labels])
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), tmp_path / "model.onnx")
    signature = Signature(
        view="window",
        shape=[2, 8, 8],
        features=["red", "nir"],
        classes=[OutputClass(name="water", value=1), OutputClass(name="land", value=2)],
        architecture="argmax",
    )
    wanted = Wanted("labels@v1", ["red", "nir"], ["red", "nir"], list)
    with pytest.raises(SpecificationError, match="labels@v1 gives no scores of the pixels"):
        MappedModel.of_signature(wanted, signature, tmp_path / "model.onnx", Options(), None)
