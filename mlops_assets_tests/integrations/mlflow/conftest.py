from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from mlops_assets.datasets.commit.commit import Commit
from mlops_assets.registry import ModelVersion
from mlops_assets.store import Store
from mlops_assets_tests.training.example_trainers import lifecycle, model_specification

if TYPE_CHECKING:
    from mlflow import MlflowClient


@pytest.fixture
def client(mlflow_server: str) -> MlflowClient:
    """The server as its own client sees it."""
    from mlflow import MlflowClient

    return MlflowClient(mlflow_server)


@pytest.fixture
def model() -> str:
    """A name that no other test has taken on the server."""
    return f"crops_{uuid.uuid4().hex[:12]}"


@pytest.fixture
def recorded(store: Store, land_table: Callable[..., Commit], model: str) -> ModelVersion:
    """A model version that has come to its record."""
    land_table()
    return lifecycle(store, model_specification(model), recorded=True, depth=3)
