"""What is put in front of an exported model, so that its ONNX file takes raw values whatever it was trained on.

The formulae are `Scaling`'s; which figures there are is decided by the data version.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_assets.datasets.scaling import Scaling
from mlops_assets.errors import ExportError

if TYPE_CHECKING:
    import onnx


def with_scaling(model: onnx.ModelProto, scaling: Scaling, sample_shape: tuple[int, ...]) -> onnx.ModelProto:
    """Return the model with scaling of its `input` in front: in float32, as `Scaling.apply` does it.

    Args:
        model: takes scaled samples as `input`.
        scaling: figures of each feature or band.
        sample_shape: shape of one sample, features first.

    Raises:
        ExportError: the model has other names or operations than ONNX can join.
    """
    import onnx
    from onnx import TensorProto, compose, helper, numpy_helper

    def figures(name: str, values: Any) -> onnx.TensorProto:
        return numpy_helper.from_array(values.reshape(1, -1, *(1 for _ in sample_shape[1:])).astype(np.float32), name)

    graph = helper.make_graph(
        [
            helper.make_node("Sub", ["input", "scaling_offset"], ["scaling_shifted"], name="scaling_sub"),
            helper.make_node("Div", ["scaling_shifted", "scaling_divisor"], ["scaling_scaled"], name="scaling_div"),
        ],
        "scaling",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", *sample_shape])],
        [helper.make_tensor_value_info("scaling_scaled", TensorProto.FLOAT, ["batch", *sample_shape])],
        [figures("scaling_offset", scaling.offset), figures("scaling_divisor", scaling.divisor)],
    )
    front = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    try:
        joined = compose.merge_models(front, model, io_map=[("scaling_scaled", "input")])
        onnx.checker.check_model(joined)
    except (ValueError, TypeError, onnx.checker.ValidationError) as error:
        raise ExportError(f"scaling cannot be put in front of the ONNX model: {error}") from error
    return joined
