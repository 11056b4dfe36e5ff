"""`mlops demo`: the main job on the shipped example, from landed data to a classified scene.

It uses the project's jobs and sensors, as any project does; only landing Indian Pines is its own.
"""

from __future__ import annotations

import time
import warnings
from pathlib import Path

import dagster as dg
import numpy as np
from numpy.typing import NDArray

from mlops_assets.cli.model.commands import describe
from mlops_assets.cli.terminal.interruption import interruptible
from mlops_assets.cli.terminal.output import advise, console, metric_columns, open_store, show
from mlops_assets.datasets.io.rasters import open_raster
from mlops_assets.errors import MlopsError, NotFound
from mlops_assets.models.verify import verify_model
from mlops_assets.names import Reference
from mlops_assets.orchestration.project import Project, open_project
from mlops_assets.paths import CATALOG_ROOT, model_folder
from mlops_assets.settings import DEFAULT_MODULE, Settings
from mlops_assets.store import Store
from mlops_assets.training.process.start import preload
from resources import StoreResource

DATASET = "indian_pines"
MODELS = ("indian_pines_svm", "indian_pines_cnn")


def demo() -> None:
    """Run the example project end to end; a second run does only the missing steps."""
    started = time.monotonic()
    settings = Settings.from_environment()
    with open_project(settings, DEFAULT_MODULE, advise) as project:
        for model in MODELS:
            preload(project.model(model))
        store = open_store()
        folder = store.workspace.root / "landing" / DATASET
        _heading("1. Land the first half of the survey (every second row of labels) and commit it")
        if not store.registry.data_versions(DATASET):
            land_rows(folder, rows=slice(0, None, 2))
            _launch(project, "committing", f"{DATASET}_landing")
        _print_version(store, "v1")
        _train_all(project, store, "v1")
        _heading("3. Land the rest; the sensor notices it and requests a commit")
        if len(store.registry.data_versions(DATASET)) < 2:
            land_rows(folder, rows=slice(None))
            _wait_for_sensor(project, f"{DATASET}_new_data")
            _launch(project, "committing", f"{DATASET}_landing")
        _print_version(store, "v2")
        _train_all(project, store, "v2")
        _heading(
            "5. Compare the models and the data versions, on the test split, measured with the ONNX"
            " models"
        )
        found = [row for model in MODELS for row in store.registry.model_versions(model)]
        aliases = store.registry.all_aliases()
        rows = [describe(row, aliases.get((row.model, row.version), [])) for row in found]
        metrics = metric_columns(row.metrics for row in found)
        show(rows, False, ["model", "version", *metrics], "")
        _heading("6. Promote each model whose gates pass")
        promoted = [model for model in MODELS if _promote(project, store, model)]
        _heading("7. Verify the chain: every byte from the metric back to the landed files")
        for model in promoted:
            _verify(store, model)
        if "indian_pines_cnn" in promoted:
            _heading("8. Classify the whole scene with the model in production")
            _predict(store, folder / "images" / "indian_pines.tif")
    _farewell(settings, store, time.monotonic() - started)


def _heading(text: str) -> None:
    console.print(f"\n{text}", style="bold")


def _launch(project: Project, doing: str, job: str, partition: str | None = None) -> None:
    from mlops_assets.orchestration.submission import Submission

    started = time.monotonic()
    console.print(f"   {doing} …")
    with interruptible(lambda: "finished steps are kept; to continue, run 'mlops demo' again"):
        project.launch(Submission(job, partition))
    console.print(f"   … done in {time.monotonic() - started:.1f} s")


def land_rows(folder: Path, rows: slice) -> None:
    """Write the scene and the labels of some rows as GeoTIFFs into the landing.

    They have no georeferencing.

    Args:
        folder: of the landing.
        rows: of the survey that are labelled.
    """
    scene, labels = load_indian_pines()
    surveyed = np.zeros_like(labels)
    surveyed[rows] = labels[rows]
    for name, bands in (("images", scene), ("labels", surveyed[None])):
        target = folder / name / "indian_pines.tif"
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(".part")  # hidden, so that no commit takes half a file
        with open_raster(
            part,
            "w",
            driver="GTiff",
            height=145,
            width=145,
            count=len(bands),
            dtype=bands.dtype.name,
            compress="deflate",
        ) as raster:
            raster.write(bands)
        part.rename(target)


def load_indian_pines() -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
    """Return the scene (200, 145, 145) and its labels (145, 145) as tensorly ships them.

    An unknown label is 0.

    Raises:
        NotFound: tensorly is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from tensorly.datasets.data_imports import load_indian_pines as load
    except ImportError as error:
        raise NotFound("the example data comes with tensorly; install the extra 'demo'") from error
    bundle = load()
    scene = np.asarray(bundle.tensor).astype(np.uint16).transpose(2, 0, 1)
    return np.ascontiguousarray(scene), np.asarray(bundle.ticks[0]).astype(np.uint8)


def _print_version(store: Store, version: str) -> None:
    row = store.registry.data_version(Reference(DATASET, version))
    counts = ", ".join(f"{count} {name}" for name, count in row.counts.items())
    console.print(
        f"   {DATASET}@{version}: {row.samples} labelled pixels ({counts}), digest"
        f" {row.digest[:12]}…"
    )


def _wait_for_sensor(project: Project, name: str) -> None:
    """Evaluate a sensor as the daemon does, until it requests a run."""
    sensor = project.definitions.resolve_sensor_def(name)
    cursor: str | None = None
    while True:
        context = dg.build_sensor_context(
            instance=project.instance, cursor=cursor, resources={"store": StoreResource()}
        )
        answer = sensor.evaluate_tick(context)
        cursor = answer.cursor
        if answer.run_requests:
            console.print(f"   sensor {name}: run requested")
            return
        console.print(f"   sensor {name}: {answer.skip_message}")
        time.sleep(2)


def _train_all(project: Project, store: Store, version: str) -> None:
    _heading(
        f"{'2' if version == 'v1' else '4'}. Train, export to ONNX, prove equal, evaluate and"
        f" record on {version}"
    )
    for model in MODELS:
        done = [
            row
            for row in store.registry.model_versions(model, data_version=version)
            if row.stage == "recorded"
        ]
        if done:
            console.print(f"   {model}@{done[-1].version} exists already")
            continue
        try:
            _launch(project, f"training {model}", f"{model}_lifecycle", version)
        except MlopsError as error:
            # failed gates are an outcome of the demo, as long as there is a record
            trained = store.registry.model_versions(model, data_version=version)
            if not trained or trained[-1].stage != "recorded":
                raise
            console.print(f"   {error}", style="yellow")


def _promote(project: Project, store: Store, model: str) -> bool:
    from mlops_assets.orchestration.jobs import production

    row = store.registry.model_versions(model, data_version="v2")[-1]
    if store.registry.aliases(model).get("production") == row.version:
        console.print(f"   {model}@production is {row.version} already")
        return True
    config = {"version": row.version, "user": store.user}
    try:
        project.run_here(production(model, config))
    except MlopsError as error:
        console.print(f"   {error}", style="yellow")
        return False
    console.print(f"   {model}@production is {row.version}")
    return True


def _verify(store: Store, model: str) -> None:
    row = store.registry.model_version(Reference(model, "production"))
    run = store.registry.run(row.run_id)
    found = verify_model(store, row)
    if not found.passed:
        raise NotFound("\n".join(found.problems))
    console.print(
        f"   accuracy {row.metrics['accuracy']:.4f} ← {model}@{row.version} ← run {run.run_id[:8]} "
        f"← code {run.code_version} ← {DATASET}@{row.data_version} "
        f"← {found.files} files, {found.size / 1e6:.1f} MB, all as published"
    )


def _predict(store: Store, scene: Path) -> None:
    from mlops_assets.prediction.job import MapJob
    from mlops_assets.prediction.predict import make_map
    from mlops_assets.prediction.scenes.found import FoundScene

    row = store.registry.model_version(Reference("indian_pines_cnn", "production"))
    found = make_map(
        store,
        MapJob(
            "indian_pines",
            row.model,
            row.version,
            (FoundScene(scene.stem, scene.resolve().as_uri()),),
        ),
    )
    _, labels = load_indian_pines()
    known = labels > 0
    agreement = float((found.classes[known] == labels[known]).mean())
    console.print(
        f"   {found.classes.size} pixels; {agreement:.1%} of all labelled ones agree (training"
        " pixels among them)"
    )
    if found.map.outside is not None:
        console.print(
            f"   {found.map.outside:.1%} of the map lie outside the model's area of applicability,"
            " grey in the picture"
        )
    console.print(f"   {store.workspace.root / found.picture.path}")


def _farewell(settings: Settings, store: Store, seconds: float) -> None:
    row = store.registry.model_versions("indian_pines_cnn", data_version="v2")[-1]
    _heading(f"Done in {seconds:.0f} s. Results:")
    folder = store.workspace.root / model_folder(row.model, row.version)
    for what, where in {
        "model card, per class": folder / "model-card.md",
        "confusion matrix": folder / "figures" / "confusion_matrix.png",
        "STAC catalogue": store.workspace.root / CATALOG_ROOT,
        "Dagster's history": settings.dagster_home,
        "in a browser": "'make up' shows all of it",
        "more": "mlops dataset list · mlops run list · mlops model list · mlops model verify",
    }.items():
        console.print(f"   {what}: {where}")
