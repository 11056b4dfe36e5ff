"""The `mlm:` fields of a model version's Item, by the extension authors' stac-model.

Inputs and outputs are those of the ONNX file; what a caller does before and after is stated with
them. Links, assets and fields of other extensions are made in `stac.models`.
"""

from __future__ import annotations

import json
import re
import warnings
from typing import Any

from stac_model.base import ModelHyperParameters
from stac_model.input import ModelInput
from stac_model.output import ModelOutput
from stac_model.schema import MLModelProperties

from mlops_assets.datasets.versions.columns import label_name
from mlops_assets.registry.model_documents import samples_at_once, unused_value
from mlops_assets.stac.asset_fields import described_classes
from mlops_assets.stac.mlm.facts import ModelFacts
from mlops_assets.stac.mlm.onnx_graph import FREE, Tensor

DIMENSIONS = {
    "row": ["batch", "variables"],
    "pixel": ["batch", "bands"],
    "patch": ["batch", "bands", "height", "width"],
    "window": ["batch", "bands", "height", "width"],
    "image": ["batch", "bands", "height", "width"],
}
# name of the adapter → name in the record, package whose version is recorded
FRAMEWORKS = {
    "pytorch": ("PyTorch", "torch"),
    "scikit-learn": ("scikit-learn", "scikit-learn"),
    "keras": ("Keras", "keras"),
    "flax": ("Flax", "flax"),
    "xgboost": ("XGBoost", "xgboost"),
    "lightgbm": ("LightGBM", "lightgbm"),
    "onnx": ("ONNX", "onnx"),
}
_SEMANTIC_VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)([-+][0-9A-Za-z.+-]+)?")
_UNSCALE: dict[str, object] = {
    "format": "gdal_translate",
    "expression": "-unscale -ot Float32",
    "description": "Stored values times scale plus offset of each band of the scene, in float32.",
}
_MIRRORED = {"format": "numpy.pad", "expression": {"mode": "symmetric"}}
_PADDED = {
    "patch": "Around pixels at the edge of a scene, the patch is filled up with mirrored pixels.",
    "window": "Windows at the lower and right edge are filled up with mirrored pixels.",
    "image": "Images are cut around their centre; smaller ones are filled up on all sides.",
}
_SAMPLES = {
    "row": "One row of a table",
    "pixel": "One pixel",
    "patch": "The pixels around one pixel, whose class or number is returned",
    "window": "One window; windows lie side by side, from the upper left corner of a scene",
    "image": "One image",
}
_KINDS = {"probabilities": "Probabilities", "logits": "Logits"}


def mlm_properties(facts: ModelFacts) -> dict[str, object]:
    """Return the `mlm:` fields of the Item of a model version."""
    row, signature = facts.row, facts.signature
    framework, package = FRAMEWORKS.get(row.framework, (row.framework, row.framework))
    version = facts.packages.get(package, "") if package != "onnx" else ""
    hyperparameters = {**facts.run.parameters, "seed": facts.run.seed}
    properties = MLModelProperties(
        name=row.model,
        architecture=signature.architecture,
        tasks=set(_tasks(facts)),
        input=[ModelInput.model_validate(model_input(facts))],
        output=[ModelOutput.model_validate(output) for output in _outputs(facts)],
        framework=framework,
        framework_version=version if _SEMANTIC_VERSION.fullmatch(version) else None,
        memory_size=facts.graph.weight_bytes,
        batch_size_suggestion=samples_at_once(signature.shape),
        accelerator="amd64" if facts.run.hardware.get("machine") == "x86_64" else None,
        accelerator_constrained=False,
        accelerator_summary=_hardware(facts),
        pretrained=True if facts.declared.pretrained else None,
        pretrained_source=facts.declared.pretrained,
        total_parameters=signature.parameters,
        hyperparameters=ModelHyperParameters(
            **{
                re.sub(r"[^0-9a-zA-Z_.-]", "_", name): value
                for name, value in hyperparameters.items()
            }
        ),
    )
    with warnings.catch_warnings():
        # stac-model's own classes do not match their declared serializers
        warnings.simplefilter("ignore")
        dumped: dict[str, Any] = json.loads(properties.model_dump_json(by_alias=True))
    # stac-model knows no titles of classes, and tasks in no order
    named = [(entry.value, entry.name) for entry in signature.classes or []]
    classes = {"classification:classes": described_classes(named)} if named else {}
    tasks = _tasks(facts)
    outputs = [{**output, **classes, "tasks": tasks} for output in dumped["mlm:output"]]
    return {**dumped, "mlm:tasks": tasks, "mlm:output": outputs}


def _tasks(facts: ModelFacts) -> list[str]:
    """Return the tasks of MLM, the model's own first: a class of a whole image is a scene's."""
    whole = facts.signature.view == "image" and facts.row.task == "classification"
    return [facts.row.task, *(["scene-classification"] if whole else [])]


def model_input(facts: ModelFacts, native: bool = False) -> dict[str, object]:
    """Return MLM's Model Input Object: of the ONNX file, or of the native artefact.

    `value_scaling` is the scaling that a caller must apply. The ONNX file scales by itself, so it
    is stated for the native artefact only: a reader would otherwise scale twice.
    """
    signature = facts.signature
    (tensor,) = facts.graph.inputs
    rows = signature.view == "row"
    found: dict[str, object] = {
        "name": tensor.name,
        "bands": [] if rows else signature.features,
        "variables": signature.features if rows else [],
        "input": {
            "shape": [FREE, *signature.shape],
            "dim_order": DIMENSIONS[signature.view],
            "data_type": tensor.data_type,
        },
        **_sampling(facts),
    }
    if native:
        scaled = "The native artefact takes values scaled like this, one entry a band or feature."
        return found | {"description": scaled, "value_scaling": signature.scaling}
    values = "Physical values" if signature.apply_scale else "Raw values"
    inside = ": the ONNX file scales them itself, as mlops:native_input says."
    unknown = "A missing value is NaN." if rows else "A pixel without any data has no result."
    description = (
        f"{_SAMPLES[signature.view]}. {values}{inside if signature.scaling else ', not scaled.'}"
        f" {unknown}"
    )
    return found | {"description": description}


def _sampling(facts: ModelFacts) -> dict[str, object]:
    """Return how samples are cut from a scene or an image."""
    signature = facts.signature
    layout = facts.committed.specification.source
    steps: list[dict[str, object]] = [_UNSCALE] if signature.apply_scale else []
    found: dict[str, object] = {}
    if signature.view in _PADDED:
        found["resize_type"] = "pad"
        steps.append({**_MIRRORED, "description": _PADDED[signature.view]})
    elif layout.layout == "image_folder" and layout.image_folder_layout.size:
        found["resize_type"] = "crop"
        steps.append({**_MIRRORED, "description": _PADDED["image"]})
    return found | ({"pre_processing_function": steps} if steps else {})


def _outputs(facts: ModelFacts) -> list[dict[str, object]]:
    """Return MLM's Model Output Objects, the one that decides first."""
    order = ("value", "label", "scores")
    return [
        _output(facts, tensor)
        for tensor in sorted(facts.graph.outputs, key=lambda tensor: order.index(tensor.name))
    ]


def _output(facts: ModelFacts, tensor: Tensor) -> dict[str, object]:
    signature, committed = facts.signature, facts.committed
    classes = signature.classes or []
    pixels = list(signature.shape[1:]) if signature.view == "window" else []
    channels = [len(classes)] if tensor.name == "scores" else []
    shape = [FREE, *channels, *pixels]
    found: dict[str, object] = {
        "name": tensor.name,
        "tasks": _tasks(facts),
        "result": {
            "shape": shape,
            "dim_order": [
                "batch",
                *(["class"] if channels else []),
                *(["height", "width"] if pixels else []),
            ],
            "data_type": tensor.data_type,
        },
    }
    if tensor.name == "value":
        found["description"] = "The number that is estimated."
        unit = committed.specification.units.get(label_name(committed.specification.source))
        return found | ({"unit": unit} if unit else {})
    index = "its index" if tensor.name == "label" else "the index of its largest score"
    found["post_processing_function"] = {
        "format": "numpy",
        "expression": "label" if tensor.name == "label" else "scores.argmax(axis=1)",
        "description": f"A sample's class is the entry of classification:classes at {index}.",
    }
    if tensor.name == "label":
        found["description"] = "Indices of classes."
    else:
        kind = _KINDS.get(facts.graph.scores or "", "Scores")
        found["description"] = f"{kind} of the classes; one that is not finite decides nothing."
    values = [entry.value for entry in classes]
    if facts.signature.view in ("pixel", "patch", "window") and all(
        isinstance(value, int) for value in values
    ):
        found["nodata"] = unused_value([int(value) for value in values])
    return found


def _hardware(facts: ModelFacts) -> str | None:
    """Return what is known to run the model: what it was compared on, and what trained it."""
    hardware = facts.run.hardware
    gpus = hardware.get("gpus") or []
    trained = ", ".join(gpus) if gpus else hardware.get("machine")
    known = "onnxruntime's CPUExecutionProvider, on which it was compared with the trained model"
    return f"{known}; trained on {trained}" if trained else known
