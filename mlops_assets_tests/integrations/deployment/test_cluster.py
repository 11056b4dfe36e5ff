"""Manifests of clusters: declared values in the fields of the engines, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlops_assets.errors import ExportError
from mlops_assets.integrations.deployment.cluster import write_kserve, write_seldon
from mlops_assets.integrations.model_export.source import ExportSource
from mlops_assets.store import Store
from mlops_assets_tests.integrations.deployment.service import service, versions

DECLARED: dict[str, Any] = {
    "name": "Land_Service",
    "replicas": 3,
    "resources": {"cpus": 2, "memory": "8Gi", "gpus": 1},
    "secret": "minio",
    "namespace": "fields",
    "log": {"url": "http://monitor.fields:8000/"},
}
# fields of models.mlops.seldon.io, v1alpha1, that are used here, and their types
SELDON = {
    "storageUri": str,
    "requirements": list,
    "memory": str,
    "replicas": int,
    "secretName": str,
}
# how Kubernetes writes quantities
QUANTITY = re.compile(r"(\d+(\.\d*)?|\.\d+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?\d+)?")


@pytest.fixture
def source(store: Store) -> ExportSource:
    return ExportSource.open(store, versions(store)[1])


def test_kserve_has_replicas_resources_logger_and_provenance(
    source: ExportSource, tmp_path: Path
) -> None:
    steps = write_kserve(source, service(engine="kserve", **DECLARED), tmp_path)
    secret, account, found = yaml.safe_load_all((tmp_path / "inferenceservice.yaml").read_text())
    assert (secret["metadata"]["name"], account["kind"]) == ("minio", "ServiceAccount")
    metadata = found["metadata"]
    assert (metadata["name"], metadata["namespace"]) == ("land-service", "fields")
    assert metadata["annotations"]["mlops.onnx_sha256"] == source.sha256
    assert found["spec"]["predictor"] == {
        "model": {
            "modelFormat": {"name": "onnx"},
            "protocolVersion": "v2",
            "storageUri": f"s3://models/served/land/{source.row.version}",
            "resources": {
                "requests": {"cpu": "2", "memory": "8Gi"},
                "limits": {"memory": "8Gi", "nvidia.com/gpu": "1"},
            },
        },
        "minReplicas": 3,
        "maxReplicas": 3,
        "logger": {"mode": "all", "url": "http://monitor.fields:8000/v2/log/cloudevents"},
        "serviceAccountName": "land-service-storage",
    }
    assert "--namespace fields" in steps[-1]
    # no maximum is any number of replicas
    idle = tmp_path / "idle"
    idle.mkdir()
    write_kserve(source, service(engine="kserve", replicas=0), idle)
    (found,) = yaml.safe_load_all((idle / "inferenceservice.yaml").read_text())
    predictor = found["spec"]["predictor"]
    assert (predictor["minReplicas"], predictor["maxReplicas"]) == (0, 1)
    assert "logger" not in predictor


def test_seldon_has_one_model_of_fields_that_its_resource_has(
    source: ExportSource, tmp_path: Path
) -> None:
    write_seldon(source, service(engine="seldon", **DECLARED), tmp_path)
    (found,) = yaml.safe_load_all((tmp_path / "model.yaml").read_text())
    assert (found["apiVersion"], found["kind"]) == ("mlops.seldon.io/v1alpha1", "Model")
    spec = found["spec"]
    assert {name: type(value) for name, value in spec.items()} == SELDON
    assert QUANTITY.fullmatch(spec["memory"])
    # the folder of the model in the repository: Seldon finds config.pbtxt there
    assert spec["storageUri"] == f"s3://models/served/land/{source.row.version}/land"
    assert (tmp_path / "repository" / "land" / "config.pbtxt").is_file()


@pytest.mark.parametrize("write", [write_kserve, write_seldon])
def test_no_text_adds_a_document_or_a_key(write: Any, source: ExportSource, tmp_path: Path) -> None:
    hostile = 'x"\n---\nkind: ClusterRoleBinding\n# {{ $(id) }}\n'
    source.__dict__["provenance"] = {"mlops.workspace": hostile}
    write(source, service(), tmp_path)
    (path,) = tmp_path.glob("*.yaml")
    (found,) = yaml.safe_load_all(path.read_text())
    assert found["metadata"]["annotations"] == {"mlops.workspace": hostile}


@pytest.mark.parametrize("write", [write_kserve, write_seldon])
@pytest.mark.parametrize(
    "changes",
    [
        {"storage": None},
        {"storage": "s3://user:secret@models"},
        {"storage": "file:///models"},
        {"secret": "a: b"},
        {"namespace": "x\nkind: Secret"},
    ],
)
def test_values_that_a_cluster_cannot_use_are_refused(
    write: Any, changes: dict[str, Any], source: ExportSource, tmp_path: Path
) -> None:
    with pytest.raises(ExportError) as refused:
        write(source, service(**changes), tmp_path)
    assert "secret@" not in str(refused.value)
