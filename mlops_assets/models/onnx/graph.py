"""Changes to an exported ONNX graph: names and shapes of the platform, scaling, metadata.

Converters of frameworks are the adapters' business. The formulae of scaling are in `Scaling`, and
its figures come from the data version.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mlops_assets.datasets.loading.scaling import Scaling
from mlops_assets.errors import ExportError
from mlops_assets.models.evaluation.calibration import Scores
from mlops_assets.text.json_values import JsonObject

if TYPE_CHECKING:
    import onnx

# by adapter; those of scikit-learn, XGBoost and LightGBM export predict_proba
_EXPORTED_SCORES: dict[str, Scores] = {
    "scikit-learn": "probabilities",
    "xgboost": "probabilities",
    "lightgbm": "probabilities",
    "pytorch": "logits",
    "keras": "logits",
    "flax": "logits",
}
# operations that only give scores another shape or type
_KEEPS_SCORES = {
    *("Identity", "Cast", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose"),
    # in the order of other classes
    "Gather",
}
# that exporters write at most, so that onnxruntime of 2023 runs the file, as openEO's back ends do
TARGET_OPSET = 18
TARGET_ML_OPSET = 3
OPSET = 15  # of a graph in which a converter put only operators of ai.onnx.ml


def conform(
    model: onnx.ModelProto,
    sample_shape: tuple[int, ...],
    outputs: Mapping[str, str],
    flat: bool = False,
) -> onnx.ModelProto:
    """Give a converted model the platform's input and outputs, in place, and check it.

    Args:
        model: with one input, of any name.
        sample_shape: shape of one sample; the input becomes `input`, float32 of (batch,
            *sample_shape).
        outputs: name of the converter → `scores`, `label` or `value`; other outputs are dropped.
            `label` and `value` become (batch,), labels of pixels stay (batch, height, width).
        flat: the converter's model takes rows, to which samples are flattened.

    Raises:
        ExportError: the graph has an operator that ONNX does not know, lacks values, or is not a
            valid graph.
    """
    from onnx import TensorProto, compose, helper

    # its own names must differ from the platform's
    compose.add_prefix(model, "model/", inplace=True)
    graph = model.graph
    if not any(entry.domain == "" for entry in model.opset_import):
        model.opset_import.append(helper.make_opsetid("", OPSET))
    source, *unbound = (entry.name for entry in graph.input)
    if unbound:
        raise ExportError(
            f"the exported graph lacks the values of {', '.join(unbound)}; keep them as weights"
        )
    front = (
        {"op_type": "Flatten", "axis": 1}
        if flat and len(sample_shape) > 1
        else {"op_type": "Identity"}
    )
    graph.node.insert(
        0, helper.make_node(inputs=["input"], outputs=[source], name="samples", **front)
    )
    del graph.input[:]
    graph.input.append(
        helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", *sample_shape])
    )
    found = {output.name: output for output in graph.output}
    del graph.output[:]
    for old, name in outputs.items():
        graph.output.append(_named_output(graph, found[f"model/{old}"], name))
    require_valid(model)
    return model


def _named_output(
    graph: onnx.GraphProto, output: onnx.ValueInfoProto, name: str
) -> onnx.ValueInfoProto:
    """Return the output that replaces one of the converter's.

    Another node passes its values on, as inner nodes may also use them.
    """
    from onnx import helper, numpy_helper

    kind = output.type.tensor_type
    if name == "scores" or len(kind.shape.dim) > 2:
        graph.node.append(helper.make_node("Identity", [output.name], [name], name=f"give_{name}"))
        sizes = [dim.dim_value or dim.dim_param or None for dim in kind.shape.dim[1:]]
        return helper.make_tensor_value_info(name, kind.elem_type, ["batch", *sizes])
    graph.initializer.append(
        numpy_helper.from_array(np.array([-1], dtype=np.int64), f"{name}_shape")
    )
    graph.node.append(
        helper.make_node("Reshape", [output.name, f"{name}_shape"], [name], name=f"give_{name}")
    )
    return helper.make_tensor_value_info(name, kind.elem_type, ["batch"])


def require_valid(model: onnx.ModelProto) -> None:
    """Check that every node of a model is an operator of ONNX.

    Raises:
        ExportError: one is not; the message names it.
    """
    import onnx

    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        unknown = re.search(r"No Op registered for (\w+)", str(error))
        if unknown:
            raise ExportError(
                f"ONNX has no operator {unknown[1]}; build the model without it"
            ) from error
        raise ExportError(
            f"the exported graph is not valid ONNX: {str(error).splitlines()[0]}"
        ) from error


def lower_ir_version(model: onnx.ModelProto) -> None:
    """Declare the oldest version of the file format that the operators of a model allow, in place.

    Exporters declare the newest that they know, and older runtimes then refuse the file.
    """
    from onnx import helper

    needed = helper.find_min_ir_version_for(list(model.opset_import))
    model.ir_version = min(model.ir_version, needed)


def facts(model: onnx.ModelProto) -> JsonObject:
    """Return the metadata of an ONNX file: `ir_version`, `opset` and `producer`."""
    return {
        "ir_version": model.ir_version,
        "opset": {entry.domain or "ai.onnx": entry.version for entry in model.opset_import},
        "producer": f"{model.producer_name} {model.producer_version}".strip(),
    }


def kind_of_scores(model: onnx.ModelProto, framework: str) -> Scores | None:
    """Return whether the output `scores` has probabilities or logits.

    The operation that computes it decides, else the exporter of the framework.

    Args:
        model: with the platform's outputs.
        framework: name of the adapter that has exported it.

    Returns:
        None where there is no such output, or its kind is unknown: a sigmoid for each class, or an
        external file that does not end in a softmax.
    """
    made_by = {output: node for node in model.graph.node for output in node.output}
    if "scores" not in made_by:
        return None
    node = made_by.get("scores")
    while node is not None and node.op_type in _KEEPS_SCORES:
        node = made_by.get(node.input[0])
    operation = node.op_type if node is not None else ""
    if operation in ("Softmax", "LogSoftmax"):
        return "probabilities" if operation == "Softmax" else "logits"
    return None if "Sigmoid" in operation else _EXPORTED_SCORES.get(framework)


def with_scaling(
    model: onnx.ModelProto, scaling: Scaling, sample_shape: tuple[int, ...]
) -> onnx.ModelProto:
    """Return the model with scaling of its `input` in front, in float32 like `Scaling.apply`.

    Args:
        model: takes scaled samples as `input`.
        scaling: figures of each feature or band.
        sample_shape: shape of one sample, features first.

    Raises:
        ExportError: ONNX cannot join the two graphs.
    """
    import onnx
    from onnx import TensorProto, compose, helper, numpy_helper

    def figures(name: str, values: NDArray[np.float32]) -> onnx.TensorProto:
        return numpy_helper.from_array(
            values.reshape(1, -1, *(1 for _ in sample_shape[1:])).astype(np.float32), name
        )

    graph = helper.make_graph(
        [
            helper.make_node(
                "Sub", ["input", "scaling_offset"], ["scaling_shifted"], name="scaling_sub"
            ),
            helper.make_node(
                "Div",
                ["scaling_shifted", "scaling_divisor"],
                ["scaling_scaled"],
                name="scaling_div",
            ),
        ],
        "scaling",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", *sample_shape])],
        [
            helper.make_tensor_value_info(
                "scaling_scaled", TensorProto.FLOAT, ["batch", *sample_shape]
            )
        ],
        [figures("scaling_offset", scaling.offset), figures("scaling_divisor", scaling.divisor)],
    )
    front = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    try:
        joined = compose.merge_models(
            front,
            model,
            io_map=[("scaling_scaled", "input")],
            producer_name=model.producer_name,
            producer_version=model.producer_version,
        )
        onnx.checker.check_model(joined)
    except (ValueError, TypeError, onnx.checker.ValidationError) as error:
        raise ExportError(f"scaling cannot be put in front of the ONNX model: {error}") from error
    return joined
