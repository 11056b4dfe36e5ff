"""`mlops dataset use`: a model is trained on another team's data version, from its bytes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mlops_assets.paths import dataset_collection_key
from mlops_assets_tests.cli.conftest import Mlops


@pytest.mark.slow
def test_a_model_is_trained_on_a_version_of_another_workspace(
    project: Path, mlops: Mlops, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    shutil.copytree(project / "workspace", other)
    monkeypatch.setenv("MLOPS_WORKSPACE", str(other))
    assert mlops("dataset", "commit", "samples").code == 0
    digest = mlops("dataset", "show", "samples", "--json").json["digest"]
    monkeypatch.setenv("MLOPS_WORKSPACE", str(project / "workspace"))
    record = (other / dataset_collection_key("samples", "v1")).as_uri()
    used = mlops("dataset", "use", record, "--dataset", "samples")
    assert used.code == 0, used.err
    assert f"samples@v1 is new: 1 file(s), 960 sample(s), digest {digest}" in used.out
    assert mlops("dataset", "show", "samples", "--json").json["used_from"] == record
    trained = mlops("train", "samples_forest")
    assert trained.code == 0, trained.err
    lineage = mlops("model", "lineage", "samples_forest", "--json").json
    (data,) = lineage["data"]
    assert (data["digest"], data["landing"]) == (digest, record)
    assert mlops("dataset", "verify", "samples").code == 0
    shutil.rmtree(other)
    verified = mlops("dataset", "verify", "samples")
    assert verified.code == 1
    assert f"missing  {other.as_uri()}/objects/" in verified.out
