"""Changes to exported graphs.

Their metadata is kept, and missing parts are named.
"""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from mlops_assets.datasets.loading.scaling import Scaling, ScalingObject
from mlops_assets.errors import ExportError
from mlops_assets.models.onnx.graph import conform, facts, with_scaling


def graph(operator: str = "Relu", *unbound: str) -> onnx.ModelProto:
    """A model with one operator on (batch, 2)."""
    node = helper.make_node(operator, ["given", *unbound], ["found"])
    entries = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 2])
        for name in ("given", *unbound)
    ]
    output = helper.make_tensor_value_info("found", TensorProto.FLOAT, [None, 2])
    made = helper.make_graph([node], "one", entries, [output])
    imports = [helper.make_opsetid("", 17)]
    return helper.make_model(
        made, producer_name="somebody", producer_version="3", opset_imports=imports, ir_version=9
    )


def test_scaling_keeps_the_metadata_of_a_file() -> None:
    model = conform(graph(), (2,), {"found": "scores"})
    entries: tuple[ScalingObject, ...] = (
        {"type": "min-max", "minimum": 0.0, "maximum": 1.0},
        {"type": "min-max", "minimum": 1.0, "maximum": 2.0},
    )
    assert facts(with_scaling(model, Scaling(entries), (2,))) == facts(model)
    assert facts(model) == {"ir_version": 9, "opset": {"ai.onnx": 17}, "producer": "somebody 3"}


def test_values_that_a_graph_lacks_are_named() -> None:
    with pytest.raises(ExportError, match=r"lacks the values of model/mean; keep them as weights"):
        conform(graph("Sub", "mean"), (2,), {"found": "scores"})


def test_an_operator_that_is_not_of_onnx_is_named() -> None:
    with pytest.raises(ExportError, match="ONNX has no operator Bessel"):
        conform(graph("Bessel"), (2,), {"found": "scores"})


def test_names_of_the_converter_may_be_ours() -> None:
    model = graph()
    model.graph.input[0].name = model.graph.node[0].input[0] = "scores"
    model.graph.output[0].name = model.graph.node[0].output[0] = "input"
    found = conform(model, (2,), {"input": "scores"})
    assert [entry.name for entry in (*found.graph.input, *found.graph.output)] == [
        "input",
        "scores",
    ]
    evaluated = ReferenceEvaluator(found).run(
        None, {"input": np.array([[-1, 2]], dtype=np.float32)}
    )
    assert isinstance(evaluated, list)
    np.testing.assert_array_equal(evaluated[0], [[0, 2]])
