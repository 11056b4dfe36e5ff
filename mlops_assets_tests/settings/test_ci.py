"""The environment of a command in the workspace of a branch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest

from mlops_assets.errors import SettingsError
from mlops_assets.settings import Settings, environment_in

OF_PRODUCTION = {
    "MLOPS_CACHE": "cache",
    "MLOPS_CATALOGUES": "catalogues.yaml",
    "MLOPS_LAUNCH": "instance",
    "MLOPS_MLFLOW": "http://mlflow:5000",
    "MLOPS_WEBHOOKS": "webhooks.yaml",
}


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """The environment as it was, for the variables that are put there."""
    with patch.dict(os.environ):
        yield


def test_a_branch_shares_neither_registry_nor_receivers_with_production(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "MLOPS_WORKSPACE").write_text("s3://production")
    (secret / "MLOPS_REGISTRY").write_text("postgresql+psycopg://db/production")
    (secret / "AWS_REGION").write_text("eu-central-1")
    monkeypatch.setenv("MLOPS_CONFIG", str(secret))
    for name, value in OF_PRODUCTION.items():
        monkeypatch.setenv(name, value)
    production = Settings.from_environment(directory=tmp_path)
    assert production.mlflow and production.launch == "instance"

    branch = tmp_path / "branches" / "a b"
    environment = environment_in(production, branch.as_uri(), None)
    (tmp_path / ".env").write_text("MLOPS_MLFLOW=http://mlflow:5000\n")
    with patch.dict(os.environ, environment, clear=True):
        found = Settings.from_environment(directory=tmp_path)
    plain = Settings.from_environment(
        {"MLOPS_WORKSPACE": branch.as_uri(), "MLOPS_REGISTRY": ""}, tmp_path
    )
    assert (found.workspace, found.registry) == (branch.as_uri(), plain.registry)
    assert found.registry.startswith("sqlite:///")
    assert (found.cache, found.launch) == (branch / "cache", "here")
    assert (found.mlflow, found.webhooks, found.catalogues) == (None, None, None)
    assert environment["AWS_REGION"] == "eu-central-1"


def test_an_empty_registry_of_a_bucket_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="needs MLOPS_REGISTRY"):
        Settings.from_environment({"MLOPS_WORKSPACE": "s3://b", "MLOPS_REGISTRY": ""}, tmp_path)
