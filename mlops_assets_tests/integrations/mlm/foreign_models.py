"""ONNX files and Items as others publish them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save

from mlops_assets.storage import sha256_of

BANDS = ["B004", "B003", "B002", "B001"]
MEANS = [175.0, 170.0, 165.0, 160.0]


def land_or_water(path: Path, inputs: int = 1) -> None:
    """Write a model of patches of 3 x 3 pixels and four bands: NHWC, scaled, softmax, land first.

    It decides by the first of its bands, of the pixel in the middle.
    """
    nodes = [
        helper.make_node("Gather", ["patch", "one"], ["row"], axis=1),
        helper.make_node("Gather", ["row", "one"], ["pixel"], axis=1),
        helper.make_node("MatMul", ["pixel", "weights"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    weights = np.array([[3, -3], [0, 0], [0, 0], [0, 0]], dtype=np.float32)
    shape: list[str | int | None] = ["n", 3, 3, 4]
    graph = helper.make_graph(
        nodes,
        "patches",
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name in ["patch", "more"][:inputs]
        ],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", 2])],
        [
            numpy_helper.from_array(np.array(1, dtype=np.int64), "one"),
            numpy_helper.from_array(weights, "weights"),
        ],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9, producer_name="elsewhere"
    )
    save(model, path)


def foreign_properties() -> dict[str, Any]:
    """What its record says, by MLM v1.4."""
    return {
        "datetime": None,
        "description": "Tells land from water.",
        "mlm:name": "land-or-water",
        "mlm:architecture": "one layer",
        "mlm:tasks": ["classification"],
        "mlm:hyperparameters": {"epochs": 3, "seed": 5},
        "mlm:input": [
            {
                "name": "Four bands of a patch",
                "bands": BANDS,
                "input": {
                    "shape": [-1, 3, 3, 4],
                    "dim_order": ["batch", "height", "width", "channel"],
                    "data_type": "float32",
                },
                "value_scaling": [
                    {"type": "z-score", "mean": mean, "stddev": 50.0} for mean in MEANS
                ],
                "resize_type": None,
            }
        ],
        "mlm:output": [
            {
                "name": "probabilities",
                "tasks": ["classification"],
                "result": {
                    "shape": [-1, 2],
                    "dim_order": ["batch", "class"],
                    "data_type": "float32",
                },
                "classification:classes": [
                    {"value": 0, "name": "Land"},
                    {"value": 1, "name": "Water"},
                ],
            }
        ],
    }


def write_item(folder: Path, **properties: Any) -> Path:
    """Write the model and its Item into a folder; properties replace those of the Item."""
    onnx = folder / "weights.onnx"
    land_or_water(onnx)
    asset = {
        "href": "./weights.onnx",
        "roles": ["mlm:model"],
        "mlm:artifact_type": "onnx",
        "file:checksum": f"1220{sha256_of(onnx)}",
        "file:size": onnx.stat().st_size,
    }
    pickled = {"href": "./weights.pth", "roles": ["mlm:model"], "mlm:artifact_type": "torch.save"}
    document = {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": ["https://stac-extensions.github.io/mlm/v1.4.0/schema.json"],
        "id": "land-or-water",
        "geometry": None,
        "properties": foreign_properties() | properties,
        "assets": {"torch": pickled, "onnx": asset},
        "links": [],
    }
    path = folder / "item.json"
    path.write_text(json.dumps(document))
    return path
