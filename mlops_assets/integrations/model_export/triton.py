"""A model repository of Triton: `<name>/config.pbtxt` and `<name>/<number>/model.onnx`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from mlops_assets.errors import ExportError
from mlops_assets.integrations.model_export.source import ONNX, ExportSource
from mlops_assets.registry.model_documents import samples_at_once
from mlops_assets.stac.mlm.onnx_graph import FREE, Tensor
from mlops_assets.text.templates import template

LABELS = "labels.txt"
# type as NumPy names it → as Triton does
_TYPES = {
    "bool": "TYPE_BOOL",
    **{f"uint{bits}": f"TYPE_UINT{bits}" for bits in (8, 16, 32, 64)},
    **{f"int{bits}": f"TYPE_INT{bits}" for bits in (8, 16, 32, 64)},
    **{f"float{bits}": f"TYPE_FP{bits}" for bits in (16, 32, 64)},
    "bfloat16": "TYPE_BF16",
}


def write(source: ExportSource, folder: Path) -> list[str]:
    """Write the repository; there are no warnings.

    Raises:
        ExportError: an input or output is of a type that Triton does not have.
    """
    model = folder / source.row.model
    source.copy_onnx(model / version_number(source) / ONNX)
    (model / "config.pbtxt").write_text(configuration(source))
    if source.signature.classes:
        names = [str(entry.name).replace("\n", " ") for entry in source.signature.classes]
        (model / LABELS).write_text("\n".join(names) + "\n")
    return []


def version_number(source: ExportSource) -> str:
    """Return the number of a model version, as Triton's are: the second it was published in.

    It grows from version to version, and is the same for whoever exports it.
    """
    return f"{source.row.created:%Y%m%d%H%M%S}"


def configuration(source: ExportSource) -> str:
    """Return the `config.pbtxt` of a model: protobuf's text format of `inference.ModelConfig`."""
    graph = source.graph
    ends = [*graph.inputs, *graph.outputs]
    batched = all(end.shape is not None and end.shape[:1] == (FREE,) for end in ends)
    labelled = bool(source.signature.classes)
    return template("mlops_assets.integrations.model_export", "config.pbtxt.j2").render(
        name=_quoted(source.row.model),
        max_batch_size=samples_at_once(source.signature.shape) if batched else 0,
        inputs=[_end(source, tensor, batched) for tensor in graph.inputs],
        outputs=[
            _end(source, tensor, batched, labelled and tensor.name == "scores")
            for tensor in graph.outputs
        ],
        parameters={_quoted(key): _quoted(text) for key, text in source.provenance.items()},
        batched=batched,
    )


def _end(
    source: ExportSource, tensor: Tensor, batched: bool, labelled: bool = False
) -> dict[str, object]:
    """Return an input or output as the template takes it."""
    kind = _TYPES.get(tensor.data_type)
    if kind is None or tensor.shape is None:
        raise ExportError(
            f"{source.reference} cannot be exported for Triton: {tensor.name} is of type"
            f" {tensor.data_type}, or its number of axes is unknown"
        )
    dims: Sequence[int] = tensor.shape[1:] if batched else tensor.shape
    return {
        "name": _quoted(tensor.name),
        "type": kind,
        # Triton has no tensors without axes, but reshapes what the model gives
        "dims": ", ".join(map(str, dims or (1,))),
        "scalar": not dims,
        "labels": _quoted(LABELS) if labelled and len(dims) == 1 else None,
    }


def _quoted(text: str) -> str:
    """Return a string of protobuf's text format."""
    return json.dumps(text, ensure_ascii=False)
