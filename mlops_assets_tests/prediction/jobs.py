"""Maps of single scenes, for tests."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import patch

from mlops_assets.prediction.job import MapJob
from mlops_assets.prediction.mapped import Options
from mlops_assets.prediction.predict import Prediction, make_map
from mlops_assets.prediction.scenes.found import FoundScene
from mlops_assets.prediction.scenes.reading import Reading
from mlops_assets.registry import ModelVersion, Registry
from mlops_assets.store import Store


def job_of(row: ModelVersion, scene: Path, name: str, options: Options | None = None) -> MapJob:
    """The job of the map of one scene."""
    found = FoundScene(scene.stem, scene.resolve().as_uri())
    return MapJob(name, row.model, row.version, (found,), options or Options())


def map_scene(
    store: Store,
    row: ModelVersion,
    scene: Path,
    name: str,
    options: Options | None = None,
    by_position: bool = False,
) -> Prediction:
    """Map one scene by a model version, which the registry need not have."""
    job = job_of(row, scene, name, options)
    if by_position:
        job = MapJob(
            job.name, job.model, job.version, job.scenes, job.options, Reading(by_position=True)
        )
    with patch.object(Registry, "model_version", return_value=row):
        return make_map(store, job)
