"""A model version in the formats of other platforms: whole folders with the same ONNX file."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mlops_assets.choices import ModelFormat
from mlops_assets.errors import ExportError, SignatureRefused, StorageError
from mlops_assets.integrations.model_export.export import export_version
from mlops_assets.integrations.model_export.kserve import ObjectStorage
from mlops_assets.models.approval.decisions import deprecate
from mlops_assets.names import Reference
from mlops_assets.paths import model_folder
from mlops_assets.principals import Visibility
from mlops_assets.registry import ModelVersion
from mlops_assets.stac.visibility import set_visibility
from mlops_assets.store import Store
from mlops_assets_tests.conftest import crops_table
from mlops_assets_tests.models.signing.keys import make_key, trust
from mlops_assets_tests.training.example_trainers import lifecycle, model_specification

STORAGE = ObjectStorage("s3://models/crops", "https://minio.example.org:9000", "minio-ca", "minio")
ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("to", ["dir", "mlflow", "triton", "kserve", "eotdl"])
def test_every_format_has_the_published_onnx_file(
    to: ModelFormat, store: Store, crops: ModelVersion, tmp_path: Path
) -> None:
    if to == "mlflow":
        pytest.importorskip("mlflow", reason="needs MLflow's client: mlops-assets[mlflow]")
    storage = STORAGE if to == "kserve" else None
    (tmp_path / "out").mkdir()
    done = export_version(store, crops, to, tmp_path / "out", storage)
    (path,) = (tmp_path / "out").rglob("model.onnx")
    published = store.workspace.stat(f"{model_folder('crops', crops.version)}/model.onnx")
    assert hashlib.sha256(path.read_bytes()).hexdigest() == published.sha256 == done.sha256
    assert str(path.relative_to(tmp_path / "out")) in done.files
    assert [own.name for own in tmp_path.iterdir() if "export" in own.name] == []
    others = [own for own in (tmp_path / "out").rglob("*") if own.is_file() and own != path]
    assert any(crops.version.encode() in own.read_bytes() for own in others)


def test_a_folder_runs_by_its_readme_and_by_its_record(
    store: Store, crops: ModelVersion, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = export_version(store, crops, "dir", out)
    assert done.warnings == []
    (code,) = re.findall(r"```python\n(.*?)```", (out / "README.md").read_text(), re.DOTALL)
    subprocess.run([sys.executable, "-c", code], cwd=out, check=True)
    item = json.loads((out / "item.json").read_text())
    hrefs = [asset["href"] for asset in item["assets"].values()]
    assert {"./model.onnx", "./model-card.md", "./metrics.json"} <= set(hrefs)
    assert all("://" in href or (out / href).is_file() for href in hrefs)
    table = crops_table(30).drop(columns="crop")
    table.to_csv(tmp_path / "in.csv", index=False)
    command = [sys.executable, str(ROOT / "docs" / "run_from_record.py")]
    places = [str(out / "item.json"), str(tmp_path / "in.csv"), str(tmp_path / "out.csv")]
    subprocess.run([*command, *places], check=True)
    assert len(np.loadtxt(tmp_path / "out.csv", dtype=str)) == 30


def test_what_may_not_leave_or_be_replaced_is_refused_and_nothing_is_written(
    store: Store, crops: ModelVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undescribed = lifecycle(store, model_specification("other"), recorded=True)
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine").touch()
    with pytest.raises(StorageError, match="not an empty folder"):
        export_version(store, crops, "dir", out)
    assert [own.name for own in out.iterdir()] == ["mine"]
    (out / "mine").unlink()
    with pytest.raises(StorageError, match="inside the workspace"):
        export_version(store, crops, "dir", store.workspace.root / "models" / "out")
    with pytest.raises(ExportError, match="recorded without: providers") as refused:
        export_version(store, undescribed, "eotdl", out)
    assert "a license" in str(refused.value)
    make_key(tmp_path, "a")
    trust(monkeypatch, tmp_path, {"name": "a", "file": "a.pub"}, required=True)
    with pytest.raises(SignatureRefused, match="has no signature"):
        export_version(store, crops, "triton", out)
    assert list(out.iterdir()) == []


def test_a_private_version_needs_an_explicit_option_and_its_data_stays(
    store: Store, crops: ModelVersion, tmp_path: Path
) -> None:
    set_visibility(store, store.registry.model_version(Reference("crops")), Visibility.PRIVATE)
    row = store.registry.model_version(Reference("crops"))
    with pytest.raises(ExportError, match="--private"):
        export_version(store, row, "triton", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    export_version(store, row, "triton", tmp_path / "out", private=True)
    set_visibility(store, row, Visibility.WORKSPACE)
    set_visibility(store, store.registry.data_version(Reference("fields")), Visibility.PRIVATE)
    deprecate(store, row, "a better one is there")
    row = store.registry.model_version(Reference("crops"))
    done = export_version(store, row, "dir", tmp_path / "folder")
    withheld = "there are no examples, as fields@v1 is private"
    assert done.warnings == [f"crops@{row.version} is deprecated", withheld]
    assert not (tmp_path / "folder" / "example").exists()


@pytest.mark.parametrize(
    ("storage", "message"),
    [
        (ObjectStorage("file:///models"), "is not a URL that KServe reads"),
        (ObjectStorage("s3://models?token=abc", secret="minio"), r"token=\*\*\* is not a URL"),
        (ObjectStorage("s3://models", "minio:9000", secret="minio"), "not the URL of an endpoint"),
        (ObjectStorage("s3://models", "https://minio:9000"), "--secret NAME"),
        (ObjectStorage("s3://models", secret="My_Secret"), "not a name of Kubernetes"),
    ],
)
def test_storage_that_kserve_cannot_use_is_refused(
    storage: ObjectStorage, message: str, store: Store, crops: ModelVersion, tmp_path: Path
) -> None:
    with pytest.raises(ExportError, match=message):
        export_version(store, crops, "kserve", tmp_path / "out", storage)
    assert not (tmp_path / "out").exists()
