"""Other software that runs a model's ONNX file, and what a file lacks for each.

The file is read as data, and nothing of that software is needed. docs/exports.md has the sources.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_assets.models.onnx.parts import DOMAINS, nodes, tensors
from mlops_assets.registry.model_documents import Signature

if TYPE_CHECKING:
    import onnx

# openEO's public back ends run ONNX with onnxruntime 1.16.3, which knows these and no newer ones
OPENEO_OPSET = 19
OPENEO_IR = 9
# without these, users of Deepness must set the class names and the input's scale by hand
DEEPNESS_KEYS = ("model_type", "class_names", "resolution", "standardization_std")


@dataclass(frozen=True)
class Taker:
    """Software that runs ONNX files, and what one file lacks for it.

    Attributes:
        name: of the software.
        missing: why it cannot run the file, or not correctly; empty if it can.
        applies: whether it is for models of this kind at all.
    """

    name: str
    missing: tuple[str, ...]
    applies: bool = True


def checklist(path: Path, signature: Signature) -> list[Taker]:
    """Return what each software lacks to run an ONNX file as it is.

    Args:
        path: the file.
        signature: inputs and outputs of the model.
    """
    import onnx

    model = onnx.load(path, load_external_data=False)
    everywhere = _everywhere(model)
    single = everywhere + _several_inputs(model)
    # of these, an Item describes one input only
    tasks = [] if signature.classes else ["its client runs classification and segmentation only"]
    return [
        Taker("MLflow", tuple(everywhere)),
        Taker("Triton", tuple(everywhere + _open_axes(model))),
        Taker("KServe", tuple(everywhere + _open_axes(model))),
        Taker("EOTDL", tuple(single + tasks)),
        Taker("openEO", tuple(single + _too_new(model))),
        Taker("Deepness", tuple(single + _deepness(model, signature)), signature.view == "window"),
    ]


def described(takers: Sequence[Taker]) -> str:
    """Return a checklist as one sentence a taker."""
    able = [own.name for own in takers if own.applies and not own.missing]
    lines = [f"runs in {', '.join(able) or 'none of the software that was checked'}"]
    lines += [
        f"{own.name}: {'; '.join(own.missing)}" for own in takers if own.applies and own.missing
    ]
    lines += [f"{own.name} is for maps only" for own in takers if not own.applies]
    return ". ".join(lines)


def _everywhere(model: onnx.ModelProto) -> list[str]:
    """Return what every software lacks that runs onnxruntime without further libraries."""
    from onnx import TensorProto

    found = []
    foreign = sorted({node.domain for node in nodes(model.graph)} - set(DOMAINS))
    if foreign:
        found.append(f"it has custom operators of {', '.join(foreign)}")
    outside = [
        tensor.name
        for tensor in tensors(model.graph)
        if tensor.data_location == TensorProto.EXTERNAL or len(tensor.external_data)
    ]
    if outside:
        found.append(f"{len(outside)} of its tensors are in other files, such as {outside[0]}")
    other = [
        entry.name
        for entry in (*_inputs(model), *model.graph.output)
        if not entry.type.HasField("tensor_type")
        or entry.type.tensor_type.elem_type in (TensorProto.UNDEFINED, TensorProto.STRING)
    ]
    if other:
        found.append(f"{', '.join(other)} is not a tensor of numbers")
    return found


def _several_inputs(model: onnx.ModelProto) -> list[str]:
    inputs = _inputs(model)
    if len(inputs) == 1:
        return []
    return [f"it has {len(inputs)} inputs, where one is expected"]


def _open_axes(model: onnx.ModelProto) -> list[str]:
    """Return the inputs whose size is open in more than the batch axis, so none are batched."""
    return [
        f"input {entry.name} leaves the size of axis {axis} open"
        for entry in _inputs(model)
        for axis, dim in enumerate(entry.type.tensor_type.shape.dim)
        if axis and not dim.dim_value
    ]


def _too_new(model: onnx.ModelProto) -> list[str]:
    versions = {entry.domain: entry.version for entry in model.opset_import}
    opset = versions.get("", versions.get("ai.onnx", 0))
    if opset <= OPENEO_OPSET and model.ir_version <= OPENEO_IR:
        return []
    return [
        f"it has opset {opset} and IR version {model.ir_version}, and its public back ends have"
        f" onnxruntime 1.16.3, which knows {OPENEO_OPSET} and {OPENEO_IR}"
    ]


def _deepness(model: onnx.ModelProto, signature: Signature) -> list[str]:
    """Return what the QGIS plugin lacks: square tiles, maps of scores, and its metadata."""
    found = []
    if len(signature.shape) != 3 or signature.shape[1] != signature.shape[2]:
        found.append("its tiles are not square")
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    missing = [key for key in DEEPNESS_KEYS if key not in metadata]
    if missing:
        found.append(f"its metadata lacks {', '.join(missing)}: set them in the plugin")
    if metadata.get("mlops.scores") != "probabilities":
        found.append(
            "its scores are not known to be probabilities, and negative ones count as 0 there: end"
            " the network with a softmax"
        )
    if signature.apply_scale:
        found.append("it takes physical values, and the plugin gives stored ones")
    return found


def _inputs(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    weights = {tensor.name for tensor in model.graph.initializer}
    return [entry for entry in model.graph.input if entry.name not in weights]
