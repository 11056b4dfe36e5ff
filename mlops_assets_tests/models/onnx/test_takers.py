"""What an ONNX file lacks for other software, and the metadata that QGIS's plugin reads."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from mlops_assets.datasets.commit.commit import Commit
from mlops_assets.models.export.export import export
from mlops_assets.models.onnx.takers import checklist, described
from mlops_assets.registry.model_documents import Signature
from mlops_assets.store import Store
from mlops_assets.training.train import train
from mlops_assets_tests.conftest import scenes_specification
from mlops_assets_tests.training.example_trainers import (
    HERE,
    model_specification,
    training_request,
    windows_source,
)

ROWS = Signature(
    view="row", shape=[6], features=list("abcdef"), architecture="Linear", classes=None
)
EVERYWHERE = {"MLflow", "Triton", "KServe", "EOTDL", "openEO"}


def adding(
    path: Path, count: int = 1, axes: tuple[str | int, ...] = (6,), domain: str = ""
) -> Path:
    """An ONNX file that adds its inputs, each of (batch, *axes)."""
    names = [f"input_{k}" for k in range(count)]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *axes])
        for name in [*names, "value"]
    ]
    graph = helper.make_graph(
        [helper.make_node("Sum", names, ["value"], domain=domain)], "sum", ends[:-1], ends[-1:]
    )
    imports = [helper.make_opsetid("", 17), *([helper.make_opsetid(domain, 1)] if domain else [])]
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=8), path)
    return path


def lacking(path: Path, signature: Signature = ROWS) -> dict[str, str]:
    """The software that lacks something, and what."""
    found = [own for own in checklist(path, signature) if own.applies and own.missing]
    return {own.name: "; ".join(own.missing) for own in found}


def test_custom_operators_and_external_data_run_nowhere(tmp_path: Path) -> None:
    custom = lacking(adding(tmp_path / "custom.onnx", domain="com.example"))
    assert custom.keys() >= EVERYWHERE
    assert "custom operators of com.example" in custom["Triton"]
    weight = onnx.numpy_helper.from_array(np.zeros((1, 6), np.float32), "weight")
    model = onnx.load(adding(tmp_path / "a.onnx"))
    model.graph.initializer.append(weight)
    path = tmp_path / "b.onnx"
    onnx.save(model, path, save_as_external_data=True, size_threshold=0)
    outside = lacking(path)
    assert outside.keys() >= EVERYWHERE and "such as weight" in outside["MLflow"]


def test_several_inputs_open_axes_and_regression_are_named_for_those_who_mind(
    tmp_path: Path,
) -> None:
    two = lacking(adding(tmp_path / "two.onnx", count=2))
    assert "2 inputs" in two["openEO"] and "MLflow" not in two and "Triton" not in two
    wide = lacking(adding(tmp_path / "wide.onnx", axes=("width",)))
    assert "input input_0 leaves the size of axis 1 open" in wide["KServe"]
    assert lacking(adding(tmp_path / "a.onnx")).keys() == {"EOTDL"}
    text = described(checklist(adding(tmp_path / "a.onnx"), ROWS))
    assert text.startswith("runs in MLflow, Triton, KServe, openEO. EOTDL: its client runs")
    assert text.endswith("Deepness is for maps only")


def test_a_network_for_maps_carries_what_deepness_reads(
    store: Store, land_scenes: Callable[..., Commit]
) -> None:
    land_scenes(scenes_specification(**windows_source()), crs="EPSG:32632")
    specification = model_specification(
        "cover", dataset="scenes", trainer=f"{HERE}:network", task="semantic-segmentation"
    )
    row = train(store, training_request(specification))
    export(store, specification, row)
    path = store.workspace.root / "models" / "cover" / row.version / "model.onnx"
    found = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    read = {key: json.loads(value) for key, value in found.items() if "mlops." not in key}
    # three pixels are seen, so one on either side of a tile of eight: 19 %
    assert read == {
        "model_type": "Segmentor",
        "class_names": {"0": "water", "1": "land"},
        "tiles_size": 8,
        "tile_size": 8,
        "tiles_overlap": 19,
        "resolution": 1000.0,
        "seg_thresh": 0.0,
        "standardization_mean": [0.0] * 4,
        "standardization_std": pytest.approx([1 / 255] * 4),
    }
    signature = Signature.of(row)
    missing = lacking(path, signature)
    assert missing.keys() == {"Deepness"}
    assert "end the network with a softmax" in missing["Deepness"]
    # a file of before has none of it
    old = onnx.load(path)
    del old.metadata_props[:]
    onnx.save(old, store.workspace.root / "old.onnx")
    assert (
        "metadata lacks model_type, class_names, resolution"
        in lacking(store.workspace.root / "old.onnx", signature)["Deepness"]
    )
