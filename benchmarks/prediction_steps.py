"""Maps of a synthetic scene in a fresh process, and the bare windows of the same scene.

With `bare`, there is also a map with the area of applicability.

Called as `python -m benchmarks.prediction_steps FOLDER SIDE BANDS CHANNELS [bare]`.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from benchmarks.landings import add_scene
from benchmarks.measured import Steps
from mlops_assets.datasets.io.rasters import open_raster
from mlops_assets.models.applicability.document import (
    ApplicabilityDocument,
    Axis,
    Measured,
    Training,
    references_parquet,
)
from mlops_assets.models.applicability.index import Applicability
from mlops_assets.models.onnx.features import FEATURES_FILE, as_samples, features_graph
from mlops_assets.models.onnx.session import OnnxModel
from mlops_assets.paths import (
    applicability_key,
    applicability_references_key,
    model_folder,
    model_owner,
)
from mlops_assets.prediction.job import MapJob
from mlops_assets.prediction.plan import plan
from mlops_assets.prediction.predict import make_map
from mlops_assets.prediction.scenes.found import FoundScene
from mlops_assets.prediction.windows.overlap import Overlap
from mlops_assets.principals import local
from mlops_assets.registry import ModelVersion, Registry, Run
from mlops_assets.registry.files.publication import publication
from mlops_assets.registry.session import now
from mlops_assets.stac.mlm.onnx_graph import read_graph
from mlops_assets.storage import Workspace, sha256_of
from mlops_assets.store import Store

if TYPE_CHECKING:
    import onnx

WINDOW = 128
CLASSES = 5
REFERENCES = 2000
Windows = NDArray[np.float32]


def network(bands: int, channels: int) -> onnx.ModelProto:
    """Return three convolutions that score each pixel of a window."""
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(0)
    sizes = [(channels, bands, 3), (channels, channels, 3), (CLASSES, channels, 1)]
    nodes, weights, name = [], [], "input"
    for number, (outputs, inputs, kernel) in enumerate(sizes):
        values = random.normal(0, 0.1, (outputs, inputs, kernel, kernel)).astype(np.float32)
        weights.append(numpy_helper.from_array(values, f"weight_{number}"))
        last = number == len(sizes) - 1
        result = "scores" if last else f"sums_{number}"
        pads = [kernel // 2] * 4
        nodes.append(helper.make_node("Conv", [name, f"weight_{number}"], [result], pads=pads))
        if not last:
            name = f"features_{number}"
            nodes.append(helper.make_node("Relu", [result], [name]))
    image = helper.make_tensor_value_info(
        "input", TensorProto.FLOAT, ["batch", bands, WINDOW, WINDOW]
    )
    scores = helper.make_tensor_value_info(
        "scores", TensorProto.FLOAT, ["batch", CLASSES, WINDOW, WINDOW]
    )
    graph = helper.make_graph(nodes, "network", [image], [scores], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)


def publish(store: Store, bands: int, model: onnx.ModelProto) -> ModelVersion:
    """Publish a model version that has an ONNX file alone."""
    origin = {"dataset": "tiles", "data_version": "v1", "data_digest": "0" * 64}
    run = Run(
        run_id="0",
        model="network",
        **origin,
        status="running",
        parameters={},
        seed=0,
        trainer="none",
        code_version="none",
        hardware={},
        metrics={},
        started=now(),
        host="none",
        pid=1,
    )
    store.registry.start_run(run)
    row = ModelVersion(
        model="network",
        version="v1-00000000",
        run_id="0",
        **origin,
        task="semantic-segmentation",
        framework="torch",
        stage="trained",
        metrics={},
        created=now(),
        signature={
            "view": "window",
            "shape": [bands, WINDOW, WINDOW],
            "features": [f"B{band:03d}" for band in range(1, bands + 1)],
            "classes": [{"value": value, "name": f"class {value}"} for value in range(CLASSES)],
            "architecture": "three convolutions",
        },
    )
    with publication(store.workspace, store.registry) as publishing:
        key = f"{model_folder(row.model, row.version)}/model.onnx"
        publishing.put(key, model.SerializeToString())
        store.registry.publish_model_version(row, publishing.files)
    return row


def publish_applicability(store: Store, row: ModelVersion, model: Path, X: Windows) -> None:
    """Publish features of a model version, and 2,000 of them as references of its applicability.

    Args:
        store: workspace and registry.
        row: of the model version.
        model: its ONNX file.
        X: windows.
    """
    path = model.with_name(FEATURES_FILE)
    features_graph(model, path, X[:8])
    samples = as_samples(OnnxModel(path).predict(X)["features"].astype(np.float32))
    samples = np.random.default_rng(0).permutation(samples)[:REFERENCES]
    centre, scale = samples.mean(axis=0), np.maximum(samples.std(axis=0), 1e-6)
    references = ((samples - centre) / scale).astype(np.float32)
    names = tuple(f"feature {number}" for number in range(samples.shape[1]))
    measured = Measured(
        space="features",
        threshold=0.5,
        mean_distance=float(np.linalg.norm(references[1:] - references[:-1], axis=1).mean()),
        references=len(references),
        gap=0.0,
        onnx=sha256_of(model),
        axes=[
            Axis(name=name, centre=float(own), scale=float(spread), weight=1.0)
            for name, own, spread in zip(names, centre, scale, strict=True)
        ],
        weighted=None,
        training=Training(samples=len(samples), read=0, total=0, left_out=0, compared="none"),
        test=None,
        profile=None,
    )
    applicability = Applicability(
        measured.space,
        names,
        centre,
        scale,
        np.ones(len(names)),
        references,
        measured.mean_distance,
        measured.threshold,
        measured.gap,
    )
    with publication(store.workspace, store.registry) as publishing:
        publishing.put(f"{model_folder(row.model, row.version)}/{FEATURES_FILE}", path)
        publishing.put(
            applicability_references_key(row.model, row.version), references_parquet(applicability)
        )
        publishing.put(
            applicability_key(row.model, row.version),
            ApplicabilityDocument(measured=measured).model_dump_json().encode(),
        )
        store.registry.add_files(model_owner(row.model, row.version), publishing.files)


def job_of(row: ModelVersion, scene: Path) -> MapJob:
    """Return the job of the map of one scene."""
    return MapJob(
        scene.stem, row.model, row.version, (FoundScene(scene.stem, scene.resolve().as_uri()),)
    )


def small_scene(path: Path, bands: int) -> Path:
    """Write a scene of one window."""
    profile = {"height": WINDOW, "width": WINDOW, "count": bands, "dtype": "uint16"}
    with open_raster(path, "w", driver="GTiff", **profile) as raster:
        raster.write(np.ones((bands, WINDOW, WINDOW), np.uint16))
    return path


def in_memory(scene: Path, model: OnnxModel, overlap: Overlap) -> NDArray[np.float32]:
    """Return the windows of a scene, in the order of its map."""
    with open_raster(scene) as raster:
        pixels = raster.read().astype(np.float32)
    places = overlap.place(pixels.shape[1])
    return np.stack(
        [
            pixels[:, row.start : row.start + WINDOW, column.start : column.start + WINDOW]
            for row in places
            for column in places
        ]
    )


def main() -> None:
    """Make the scene and the model, and measure."""
    folder, side, bands, channels, *bare = sys.argv[1:]
    root = Path(folder) / "prediction"
    shutil.rmtree(root, ignore_errors=True)
    add_scene(root / "landing", int(side), int(bands), 0.001)
    scene = root / "landing/images/tile.tif"
    store = Store(
        Workspace((root / "workspace").as_uri()),
        Registry(f"sqlite:///{root / 'registry.db'}").acting(local("bench")),
    )
    proto = network(int(bands), int(channels))
    row = publish(store, int(bands), proto)
    # imports are not counted
    make_map(store, job_of(row, small_scene(root / "small.tif", int(bands))))
    steps = Steps()
    facts: dict[str, float] = {}
    if bare:
        (root / "model.onnx").write_bytes(proto.SerializeToString())
        overlap = Overlap.of(WINDOW, read_graph(root / "model.onnx").reach)
        model = OnnxModel(root / "model.onnx")
        X = in_memory(scene, model, overlap)
        model.predict(X[:8])
        with steps.step("bare"):
            for first in range(0, len(X), 16):
                model.predict(X[first : first + 16])
        weights = sum(np.prod(tensor.dims) for tensor in proto.graph.initializer)
        facts = {"windows": len(X), "gflop": 2 * float(weights) * WINDOW**2 / 1e9}
    cost = plan(store, job_of(row, scene))
    facts |= {"planned_s": cost.seconds, "planned_mib": cost.memory / 2**20}
    with steps.step("map"):
        make_map(store, job_of(row, scene))
    if bare:
        publish_applicability(store, row, root / "model.onnx", X[:64])
        make_map(store, job_of(row, root / "small.tif"))
        with steps.step("applicability"):
            make_map(store, job_of(row, scene))
    steps.report(**facts)


if __name__ == "__main__":
    main()
