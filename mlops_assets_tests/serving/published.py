"""Model versions to be served, without any training: each answers with a number of its own."""

from __future__ import annotations

from onnx import TensorProto, helper

from mlops_assets.paths import model_folder
from mlops_assets.registry import ModelVersion
from mlops_assets.registry.files.publication import publication
from mlops_assets.store import Store
from mlops_assets_tests.registry.rows import data_version, model_version, new_run

FEATURES = ["red", "nir"]


def network(number: float, features: int = 2) -> bytes:
    """An ONNX file that adds a number to the sum of its features."""
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", size])
        for name, size in (("input", features), ("value", 1))
    ]
    nodes = [
        helper.make_node("ReduceSum", ["input", "axis"], ["sum"], keepdims=1),
        helper.make_node("Add", ["sum", "number"], ["value"]),
    ]
    constants = [
        helper.make_tensor("axis", TensorProto.INT64, [1], [1]),
        helper.make_tensor("number", TensorProto.FLOAT, [1], [number]),
    ]
    graph = helper.make_graph(nodes, "sum", ends[:1], ends[1:], constants)
    imports = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=9)
    return bytes(model.SerializeToString())


def published(
    store: Store, version: str, number: float, content: bytes | None = None
) -> ModelVersion:
    """The model version `crops@version`, recorded, whose answers have a number added."""
    if not store.registry.data_versions("fields"):
        units = {"units": {"nir": "1"}}
        row_of_data = data_version(digest="0" * 64, specification=units)
        store.registry.publish_data_version(row_of_data, [])
    row = model_version(version, f"run-{version}")
    row.task, row.stage = "regression", "recorded"
    row.signature = {
        "view": "row",
        "shape": [2],
        "features": FEATURES,
        "architecture": "a sum",
    }
    store.registry.start_run(new_run(row.run_id))
    with publication(store.workspace, store.registry) as publishing:
        key = f"{model_folder(row.model, row.version)}/model.onnx"
        publishing.put(key, network(number) if content is None else content)
        store.registry.publish_model_version(row, publishing.files)
    return row


def production(store: Store, version: str, number: float) -> ModelVersion:
    """A model version as of `published`, in production."""
    row = published(store, version, number)
    store.registry.promote(row, [])
    return row
