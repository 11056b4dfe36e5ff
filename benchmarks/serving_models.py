"""The models that servers are compared with: ONNX files, and a workspace that has them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper  # noqa: TID253

from mlops_assets.paths import model_folder
from mlops_assets.registry import DataVersion, ModelVersion, Run
from mlops_assets.registry.files.publication import publication
from mlops_assets.store import Store

BANDS, SIDE, CLASSES = 4, 32, 10
SHAPE = (BANDS, SIDE, SIDE)
# name → channels and strides of the convolutions: 110 kB, and 0.9 GFLOP a sample
MODELS = {
    "small": ((16, 2), (32, 2)),
    "large": ((96, 1), (128, 1), (128, 1), (96, 1), (32, 4)),
}


def network(convolutions: tuple[tuple[int, int], ...], seed: int = 0) -> bytes:
    """Return the ONNX file of a network of convolutions of 3 x 3 pixels, and a linear layer.

    Args:
        convolutions: channels and stride of each.
        seed: of the weights.
    """
    rng = np.random.default_rng(seed)
    weights, nodes = [], []
    last, channels, side = "input", BANDS, SIDE
    for number, (width, stride) in enumerate(convolutions):
        values = rng.normal(0, 1 / np.sqrt(9 * channels), (width, channels, 3, 3))
        weights.append(numpy_helper.from_array(values.astype(np.float32), f"w{number}"))
        options: dict[str, Any] = {"pads": [1] * 4, "strides": [stride] * 2}
        nodes.append(helper.make_node("Conv", [last, f"w{number}"], [f"c{number}"], **options))
        nodes.append(helper.make_node("Relu", [f"c{number}"], [f"r{number}"]))
        last, channels, side = f"r{number}", width, -(-side // stride)
    values = rng.normal(0, 0.05, (channels * side * side, CLASSES))
    weights.append(numpy_helper.from_array(values.astype(np.float32), "head"))
    nodes.append(helper.make_node("Flatten", [last], ["flat"]))
    nodes.append(helper.make_node("MatMul", ["flat", "head"], ["scores"]))
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *sizes])
        for name, sizes in (("input", SHAPE), ("scores", (CLASSES,)))
    ]
    graph = helper.make_graph(nodes, "network", ends[:1], ends[1:], weights)
    imports = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=9)
    return bytes(model.SerializeToString())


def gflop(convolutions: tuple[tuple[int, int], ...]) -> float:
    """Return 10⁹ operations of a sample's convolutions, a multiply and an add counted each."""
    total, channels, side = 0, BANDS, SIDE
    for width, stride in convolutions:
        side = -(-side // stride)
        total += 2 * 9 * channels * width * side * side
        channels = width
    return total / 1e9


def publish(store: Store, model: str, version: str, content: bytes) -> ModelVersion:
    """Publish a recorded model version of an ONNX file, which nothing has trained.

    Args:
        store: workspace and registry.
        model: name of the model.
        version: of the model.
        content: of the ONNX file.
    """
    now, digest = datetime.now(UTC), "0" * 64
    if not store.registry.data_versions("chips"):
        data = DataVersion(
            dataset="chips",
            version="v1",
            number=1,
            digest=digest,
            created=now,
            created_by="benchmark",
            files=1,
            samples=1,
            size=1,
            specification={},
            counts={"train": 1},
        )
        store.registry.publish_data_version(data, [])
    run = f"{model}-{version}"
    trained_on = {"dataset": "chips", "data_version": "v1", "data_digest": digest}
    store.registry.start_run(
        Run(
            run_id=run,
            model=model,
            status="running",
            parameters={},
            seed=0,
            trainer="none",
            code_version="none",
            hardware={},
            metrics={},
            started=now,
            host="none",
            pid=1,
            **trained_on,
        )
    )
    row = ModelVersion(
        model=model,
        version=version,
        run_id=run,
        task="scene-classification",
        framework="none",
        signature={
            "view": "patch",
            "shape": list(SHAPE),
            "features": [f"B{band}" for band in range(1, BANDS + 1)],
            "classes": [{"value": value, "name": f"class {value}"} for value in range(CLASSES)],
            "architecture": "convolutions",
        },
        stage="recorded",
        metrics={},
        created=now,
        **trained_on,
    )
    with publication(store.workspace, store.registry) as publishing:
        publishing.put(f"{model_folder(model, version)}/model.onnx", content)
        store.registry.publish_model_version(row, publishing.files)
    return row


def write_models(store: Store, folder: Path) -> None:
    """Publish the models, in production, and write their ONNX files to a folder."""
    for name, convolutions in MODELS.items():
        content = network(convolutions)
        (folder / f"{name}.onnx").write_bytes(content)
        store.registry.promote(publish(store, name, "v1-00000000", content), [])
