"""A small project for tests: an area, and a model on pixels, over ./workspace."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
from rasterio import Affine

from mlops_assets.components import PredictionArea
from mlops_assets.components.areas.predict_job import predict_job
from mlops_assets.components.project.load import project_resources
from mlops_assets.datasets.commit.commit import commit
from mlops_assets.datasets.io.rasters import open_raster
from mlops_assets.models.promotion import promote
from mlops_assets.prediction.areas.specification import AreaSpecification
from mlops_assets.principals import local
from mlops_assets.registry import ModelVersion, Registry
from mlops_assets.storage import Workspace
from mlops_assets.store import Store
from mlops_assets_tests.conftest import scenes_specification, write_scene
from mlops_assets_tests.training.example_trainers import lifecycle, model_specification

MODEL = model_specification("land", dataset="scenes", inputs="pixel")
LEFT, TOP = 500_000, 4_700_000


def open_workspace(root: Path) -> Store:
    """The workspace of a folder."""
    return Store(
        Workspace(root.as_uri()),
        Registry(f"sqlite:///{root / 'registry.db'}").acting(local("tester")),
    )


def trained_workspace(root: Path) -> Path:
    """A workspace with a version of `land` in production."""
    store = open_workspace(root)
    write_scene(root / "landing/scenes", crs="EPSG:32632")
    commit(store.workspace, store.registry, scenes_specification())
    promoted(store, lifecycle(store, MODEL, recorded=True))
    store.registry.close()
    return root


def promoted(store: Store, row: ModelVersion) -> ModelVersion:
    """A model version that was promoted to production."""
    promote(store, row, [])
    return row


def land(folder: Path, name: str, day: str | None, east: float = 0, **options: Any) -> Path:
    """Land a scene of 32 × 32 pixels, with an Item beside it if it has a day."""
    folder.mkdir(parents=True, exist_ok=True)
    seed = options.get("seed", 0)
    image = np.random.default_rng(seed).integers(50, 250, (4, 32, 32)).astype(np.uint16)
    profile = {
        **{"driver": "GTiff", "height": 32, "width": 32, "count": 4, "dtype": "uint16"},
        "crs": "EPSG:32632",
        "transform": Affine(10, 0, LEFT + east, 0, -10, TOP),
    }
    with open_raster(folder / f"{name}.tif", "w", **profile) as raster:
        raster.write(image)
    if day is not None:
        item: dict[str, Any] = {
            "type": "Feature",
            "stac_version": "1.0.0",
            "id": name,
            "geometry": None,
            "properties": {"datetime": f"{day}T10:20:30Z"},
            "assets": {"data": {"href": f"./{name}.tif"}},
            "links": [],
        }
        (folder / f"{name}.json").write_text(json.dumps(item))
    return folder / f"{name}.tif"


def area(**changes: Any) -> AreaSpecification:
    """An area over the landing `valley`; `changes` replace attributes."""
    declared: dict[str, Any] = {
        "name": "valley",
        "model": "land",
        "source": {"url": "landing/valley"},
        "start": "2026-01-01",
    }
    return AreaSpecification.model_validate(declared | changes)


def definitions(**changes: Any) -> dg.Definitions:
    """A project with an area and the job of single maps."""
    context: Any = None
    return dg.Definitions.merge(
        PredictionArea(area(**changes)).build_defs(context),
        dg.Definitions(
            jobs=[predict_job()], resources=project_resources(), executor=dg.in_process_executor
        ),
    )


def valley_job() -> dg.JobDefinition:
    """The job of the area, so that it can be executed again from failure."""
    return definitions().resolve_job_def("valley_prediction")
