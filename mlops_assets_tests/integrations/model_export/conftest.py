from __future__ import annotations

from collections.abc import Callable

import pytest

from mlops_assets.datasets.commit.commit import Commit
from mlops_assets.registry import ModelVersion
from mlops_assets.store import Store
from mlops_assets_tests.conftest import scenes_specification
from mlops_assets_tests.training.example_trainers import (
    HERE,
    lifecycle,
    model_specification,
    windows_source,
)

DECLARED = {
    "license": "CC-BY-4.0",
    "providers": [{"name": "Field Institute", "url": "https://fields.example.org"}],
}


@pytest.fixture
def crops(store: Store, land_table: Callable[..., Commit]) -> ModelVersion:
    """A recorded tree on rows of a table."""
    land_table()
    return lifecycle(store, model_specification(**DECLARED), recorded=True)


@pytest.fixture
def cover(store: Store, land_scenes: Callable[..., Commit]) -> ModelVersion:
    """A recorded network that gives logits for each pixel of 8 x 8 windows at 10 m."""
    land_scenes(scenes_specification(**windows_source()), crs="EPSG:32632")
    declared = {"dataset": "scenes", "trainer": f"{HERE}:network", "task": "semantic-segmentation"}
    return lifecycle(store, model_specification("cover", **declared), recorded=True)
