"""The manifest of a service read by KServe's SDK, in an environment of its own."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from mlops_assets.integrations.deployment.deploy import deploy
from mlops_assets.store import Store
from mlops_assets_tests.integrations.deployment.service import service, versions
from mlops_assets_tests.integrations.deployment.test_cluster import DECLARED
from mlops_assets_tests.services import require_export_peer

pytestmark = pytest.mark.services

# the SDK's own models know each field, and its type
READ = """
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
*_, document = yaml.safe_load_all(open(sys.argv[1]))
predictor = made("V1beta1InferenceService", document).spec.predictor
print(json.dumps([
    predictor.min_replicas, predictor.max_replicas, type(predictor.logger).__name__,
    predictor.logger.url, type(predictor.model.resources).__name__,
    predictor.model.resources.limits,
]))
"""


def test_kserve_has_a_field_for_all_that_is_declared(store: Store, tmp_path: Path) -> None:
    python = require_export_peer("kserve") / "python"
    specification = service(engine="kserve", out=str(tmp_path / "out"), **DECLARED)
    deploy(store, specification, versions(store)[1])
    manifest = tmp_path / "out" / "current" / "inferenceservice.yaml"
    done = subprocess.run(
        [str(python), "-c", READ, str(manifest)], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout.splitlines()[-1]) == [
        3,
        3,
        "V1beta1LoggerSpec",
        "http://monitor.fields:8000/v2/log/cloudevents",
        "V1ResourceRequirements",
        {"memory": "8Gi", "nvidia.com/gpu": "1"},
    ]
