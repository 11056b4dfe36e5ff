"""The area of applicability on Indian Pines: a class that was not trained on, and the other half.

Models are trained on the upper half of the scene, once without each class. They go through the
product: commit, training, export, applicability.
"""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from benchmarks.options import Options
from benchmarks.peer_environments import install_peer
from benchmarks.tables import print_table
from mlops_assets.cli.demo import load_indian_pines
from mlops_assets.datasets.commit.commit import commit
from mlops_assets.datasets.io.rasters import open_raster
from mlops_assets.datasets.specification.dataset import DatasetSpecification
from mlops_assets.models.applicability.document import read_applicability
from mlops_assets.models.applicability.index import Applicability, nearest, scaled
from mlops_assets.models.applicability.measure import publish_applicability
from mlops_assets.models.evaluation.bootstrap import intervals
from mlops_assets.models.export.export import export
from mlops_assets.models.onnx.session import OnnxModel, decide
from mlops_assets.models.specification import ModelSpecification
from mlops_assets.paths import model_folder
from mlops_assets.principals import local
from mlops_assets.registry import Registry
from mlops_assets.storage import Workspace
from mlops_assets.store import Store
from mlops_assets.training.request import TrainingRequest
from mlops_assets.training.train import train

HALF = 73  # rows above are trained on
BLOCK = 10  # pixels: side of the units of intervals
MIN_PIXELS = 20  # of a class in the upper half, to be trained on
_PEER_SCRIPT = Path(__file__).with_name("applicability_peer.py")


@dataclass(frozen=True)
class Mapped:
    """The scene as a model sees it.

    Attributes:
        di: index of each pixel.
        inside: whether it is inside the area of applicability.
        predicted: its class.
        classes: that were trained on.
    """

    di: NDArray[np.float32]
    inside: NDArray[np.bool_]
    predicted: NDArray[np.int64]
    classes: NDArray[np.int64]


def measure(options: Options) -> None:
    """Print the share outside of classes that were left out, and errors inside and outside.

    It takes about 6 minutes of one core.
    """
    scene, labels = load_indian_pines()
    pixels = scene.reshape(len(scene), -1).T.astype(np.float32)
    upper = np.zeros_like(labels, dtype=bool)
    upper[:HALF] = True
    classes = range(1, int(labels.max()) + 1)
    store = _store(options.folder)
    rows = []
    sums: list[NDArray[np.float64]] = []
    for left_out in (*classes, None):
        trained = np.where(upper & (labels != (left_out or 0)), labels, 0)
        mapped, index = _mapped(store, f"without_{left_out or 'none'}", scene, trained, pixels)
        own = _sums(mapped, labels.ravel(), ~upper.ravel(), left_out)
        sums.append(own)
        rows.append([str(left_out or "none"), *_row(own)])
    rows.append(["all 17 runs", *_row(np.sum(sums, axis=0))])
    header = ["class left out", "its pixels", "of these outside", "others outside"]
    print_table([*header, "error inside", "error outside", "outside − inside"], rows)
    _beside_seapig(options.folder, index, pixels)


def _store(folder: Path) -> Store:
    workspace = Workspace((folder / "workspace").as_uri())
    registry = Registry(f"sqlite:///{folder / 'registry.db'}").acting(local("benchmark"))
    return Store(workspace, registry)


def _mapped(
    store: Store,
    name: str,
    scene: NDArray[np.uint16],
    labels: NDArray[np.uint8],
    pixels: NDArray[np.float32],
) -> tuple[Mapped, Applicability]:
    """Train a forest on labels, and run it and its index over all pixels."""
    counts = np.bincount(labels.ravel(), minlength=17)
    known = np.flatnonzero(counts[1:] >= MIN_PIXELS) + 1
    labels = np.where(np.isin(labels, known), labels, 0)
    _land(store.workspace.root / f"landing/{name}", scene, labels)
    dataset = DatasetSpecification.model_validate(
        {
            "name": name,
            "source": {
                "url": f"landing/{name}",
                "layout": "scenes",
                "scenes": {"unlabelled": 0, "read": "patches", "size": 1},
            },
            "classes": {int(value): f"class {value}" for value in known},
            "split": {
                "method": "spatial_block",
                "block": BLOCK,
                "fractions": {"train": 0.6, "validation": 0.2, "test": 0.2},
            },
        }
    )
    commit(store.workspace, store.registry, dataset)
    parameters = {"estimator": "sklearn.ensemble.RandomForestClassifier", "n_estimators": 50}
    model = ModelSpecification.model_validate(
        {
            "name": f"forest_{name}",
            "dataset": name,
            "task": "classification",
            "inputs": "pixel",
            "trainer": "mlops_assets.training.trainers.sklearn:train",
            "params": parameters,
        }
    )
    request = TrainingRequest(specification=model, data_version="v1", parameters=parameters, seed=0)
    row = train(store, request)
    export(store, model, row)
    publish_applicability(store, row)
    index = read_applicability(store, row)
    assert index is not None
    path = store.workspace.local_path(f"{model_folder(row.model, row.version)}/model.onnx")
    predicted = known[decide(OnnxModel(path).predict(pixels)).astype(np.int64)]
    di = index.di(pixels)
    return Mapped(di, index.inside(di), predicted, known), index


def _land(folder: Path, scene: NDArray[np.uint16], labels: NDArray[np.uint8]) -> None:
    for name, bands in (("images", scene), ("labels", labels[None])):
        path = folder / name / "scene.tif"
        path.parent.mkdir(parents=True)
        height, width = bands.shape[1:]
        profile = {"height": height, "width": width, "count": len(bands)}
        with open_raster(path, "w", driver="GTiff", **profile, dtype=bands.dtype.name) as raster:
            raster.write(bands)


def _sums(
    mapped: Mapped,
    labels: NDArray[np.uint8],
    lower: NDArray[np.bool_],
    left_out: int | None,
) -> NDArray[np.float64]:
    """Return counts of pixels in each block of the scene, (blocks, 6).

    They are: of the class left out, and outside; of other classes in the lower half inside, wrong
    ones of these, outside, and wrong ones of these.
    """
    side = int(len(labels) ** 0.5)
    row, column = np.divmod(np.arange(len(labels)), side)
    block = row // BLOCK * (-(-side // BLOCK)) + column // BLOCK
    strange = labels == (left_out or -1)
    usual = lower & np.isin(labels, mapped.classes)
    wrong = mapped.predicted != labels
    terms = (
        strange,
        strange & ~mapped.inside,
        usual & mapped.inside,
        usual & mapped.inside & wrong,
        usual & ~mapped.inside,
        usual & ~mapped.inside & wrong,
    )
    return np.stack([np.bincount(block, term, block.max() + 1) for term in terms], axis=1)


def _shares(sums: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    strange, strange_outside, inside, wrong_inside, outside, wrong_outside = sums.T
    with np.errstate(invalid="ignore", divide="ignore"):
        errors = wrong_inside / inside, wrong_outside / outside
        return {
            "strange": strange_outside / strange,
            "usual": outside / (inside + outside),
            "inside": errors[0],
            "outside": errors[1],
            "difference": errors[1] - errors[0],
        }


def _row(sums: NDArray[np.float64]) -> list[str]:
    """Return the cells of a table: shares with 95 % intervals over blocks."""
    found = {name: float(value[0]) for name, value in _shares(sums.sum(axis=0)[None]).items()}
    ends = intervals(sums, _shares)
    cells = []
    for name, value in found.items():
        low, high = ends.get(name, (np.nan, np.nan))
        text = f"{value:.1%} ({low:.1%} to {high:.1%})"
        cells.append("–" if np.isnan(value) else text)
    return [f"{sums[:, 0].sum():.0f}", *cells]


def _beside_seapig(folder: Path, index: Applicability, pixels: NDArray[np.float32]) -> None:
    """Print the largest differences of the index, and of seapig's, from that in float64."""
    figures = index.centre, index.scale, index.weights
    points = scaled(pixels, *figures)
    np.savez(folder / "points.npz", references=index.references, points=points)
    program = install_peer("seapig") / "python"
    command = [str(program), "-P", str(_PEER_SCRIPT), str(folder / "points.npz")]
    answer = subprocess.run(
        command, check=True, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": ""}
    )
    theirs = np.load(folder / "distances.npy")
    facts = json.loads(answer.stdout.splitlines()[-1])
    exact = cKDTree(index.references.astype(np.float64)).query(points.astype(np.float64))[0]
    ours, seapigs = (
        f"{np.abs(found - exact).max() / index.mean_distance:.1e}"
        for found in (nearest(points, index.references), theirs)
    )
    print_table(
        ["pixels", "references", "ours beside float64", f"{facts['version']} beside float64"],
        [[f"{len(points):,}", f"{len(index.references):,}", ours, seapigs]],
    )
