"""Exports read and run by the software they are for, in environments of their own."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import numpy as np
import pytest

from mlops_assets.integrations.model_export.export import export_version
from mlops_assets.integrations.model_export.kserve import ObjectStorage
from mlops_assets.models.onnx.session import OnnxModel
from mlops_assets.registry import ModelVersion
from mlops_assets.store import Store
from mlops_assets_tests.conftest import crops_table
from mlops_assets_tests.servers.processes import HOST, serving
from mlops_assets_tests.services import require_eotdl, require_export_peer

pytestmark = pytest.mark.services

TRITON = """
import json, sys
from google.protobuf import json_format, text_format
from tritonclient.grpc import model_config_pb2
found = text_format.Parse(open(sys.argv[1]).read(), model_config_pb2.ModelConfig())
print(json.dumps(json_format.MessageToDict(found, preserving_proto_field_name=True)))
"""
# the SDK's own models know each field of a service, which of them are required, and their types
KSERVE = """
import json, sys, yaml
import kserve
from kubernetes import client
def made(kind, value):
    model = getattr(kserve, kind, None) or getattr(client, kind, None)
    if model is None:
        return value
    fields = {key: name for name, key in model.attribute_map.items()}
    return model(**{
        fields[key]: made(model.openapi_types[fields[key]], inner) for key, inner in value.items()
    })
documents = list(yaml.safe_load_all(open(sys.argv[1])))
service = made("V1beta1InferenceService", documents[-1])
model = service.spec.predictor.model
print(json.dumps([
    [document["kind"] for document in documents], type(model).__name__, model.protocol_version,
    model.model_format.name, model.storage_uri, service.spec.predictor.service_account_name,
]))
"""
EOTDL = """
import json, sys, pathlib
import frontmatter, geopandas
from eotdl.files.ingest import prep_ingest_stac
from eotdl.files.metadata import Metadata
folder = pathlib.Path(sys.argv[1])
readme = frontmatter.load(folder / "README.md")
metadata = Metadata(**readme.metadata, description=readme.content)
table = geopandas.read_parquet(prep_ingest_stac(folder))
(row,) = table.to_dict("records")
print(json.dumps([metadata.name, metadata.authors, row["mlm:framework"], row["mlm:name"],
                  sorted(name for name, asset in row["assets"].items() if asset)]))
"""


def run(programs: Path, code: str, argument: Path) -> Any:
    """What a program in the environment of a peer has printed last, as JSON."""
    python = programs / "python"
    # the folder of the environments has names of packages
    done = subprocess.run(
        [str(python), "-c", code, str(argument)], capture_output=True, text=True, cwd="/"
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_mlflow_serves_the_model_with_the_same_outputs(
    store: Store, crops: ModelVersion, tmp_path: Path
) -> None:
    pytest.importorskip("mlflow", reason="needs MLflow's client: mlops-assets[mlflow]")
    folder = tmp_path / "model"
    export_version(store, crops, "mlflow", folder)
    command = [
        str(require_export_peer("mlflow") / "mlflow"),
        "models",
        "serve",
        "--model-uri",
        str(folder),
    ]
    command += ["--env-manager", "local", "--workers", "1", "--host", HOST, "--port"]
    X = crops_table(20)[crops.signature["features"]].to_numpy(np.float32)
    body = json.dumps({"inputs": {"input": X.tolist()}}).encode()
    path = f"{require_export_peer('mlflow')}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "MLFLOW_DISABLE_TELEMETRY": "true"}
    with serving(lambda port: [*command, str(port)], tmp_path / "log", environment, 200) as port:
        request = Request(
            f"http://{HOST}:{port}/invocations", body, {"Content-Type": "application/json"}
        )
        with urlopen(request, timeout=60) as response:
            served = json.load(response)["predictions"]
    for name, values in OnnxModel(folder / "model.onnx").predict(X).items():
        np.testing.assert_allclose(np.array(served[name]), values, rtol=1e-6)


def test_triton_reads_its_configuration(
    store: Store, crops: ModelVersion, cover: ModelVersion, tmp_path: Path
) -> None:
    for row in (crops, cover):
        export_version(store, row, "triton", tmp_path / row.model)
    rows = run(require_export_peer("triton"), TRITON, tmp_path / "crops" / "crops" / "config.pbtxt")
    assert (rows["name"], rows["backend"], rows["max_batch_size"]) == ("crops", "onnxruntime", 1024)
    assert rows["input"] == [{"name": "input", "data_type": "TYPE_FP32", "dims": ["7"]}]
    assert rows["output"] == [
        {"name": "label", "data_type": "TYPE_INT64", "dims": ["1"], "reshape": {}},
        {"name": "scores", "data_type": "TYPE_FP32", "dims": ["3"], "label_filename": "labels.txt"},
    ]
    version = rows["parameters"]["mlops.model_version"]["string_value"]
    assert version == crops.version
    labels = (tmp_path / "crops" / "crops" / "labels.txt").read_text().split()
    assert labels == [entry["name"] for entry in crops.signature["classes"]]
    windows = run(
        require_export_peer("triton"), TRITON, tmp_path / "cover" / "cover" / "config.pbtxt"
    )
    assert windows["input"][0]["dims"] == ["4", "8", "8"]
    assert windows["output"] == [
        {"name": "scores", "data_type": "TYPE_FP32", "dims": ["2", "8", "8"]}
    ]


def test_kserve_takes_the_service(store: Store, crops: ModelVersion, tmp_path: Path) -> None:
    storage = ObjectStorage(
        "s3://models/crops/", "https://minio.example.org:9000", "minio-ca", "minio", "fields"
    )
    export_version(store, crops, "kserve", tmp_path / "out", storage)
    assert run(
        require_export_peer("kserve"), KSERVE, tmp_path / "out" / "inferenceservice.yaml"
    ) == [
        ["Secret", "ServiceAccount", "InferenceService"],
        "V1beta1ModelSpec",
        "v2",
        "onnx",
        "s3://models/crops",
        "crops-storage",
    ]


def test_the_client_of_eotdl_reads_the_folder(
    store: Store, crops: ModelVersion, tmp_path: Path
) -> None:
    export_version(store, crops, "eotdl", tmp_path / "out")
    name = f"crops-{crops.version}"
    expected = [name, ["Field Institute"], "ONNX", "crops", ["model"]]
    assert run(require_eotdl(), EOTDL, tmp_path / "out") == expected
