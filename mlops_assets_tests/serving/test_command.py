"""The command `mlops serve`, as a process of its own, and the declarations that it reads."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from mlops_assets.cli import app
from mlops_assets.errors import MlopsError, NotFound, SettingsError, SpecificationError
from mlops_assets.serving.declared import declared_services
from mlops_assets.serving.request_log.compact import compact_day
from mlops_assets.serving.request_log.read import read_day
from mlops_assets.store import Store
from mlops_assets_tests.interpreter import Process
from mlops_assets_tests.servers.processes import HOST, free_port
from mlops_assets_tests.serving.published import production, published

SERVICE = """
type: mlops_assets.components.ModelService
attributes:
  name: fields
  model: crops
  alias: {alias}
  engine: {engine}
  group: services
  log: {{sample: 0.5, days: 30}}
---
type: mlops_assets.components.TrainedModel
attributes: {{name: crops}}
"""
BODY = {"inputs": [{"name": "input", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}]}


def declare(folder: Path, text: str, name: str = "fields") -> Path:
    file = folder / "farms" / "defs" / name / "defs.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(text)
    (folder / "pyproject.toml").write_text('[tool.dg.project]\nroot_module = "farms"\n')
    return folder / "farms" / "defs"


def failure(*arguments: str) -> MlopsError:
    """The error that the command ends with, before it listens."""
    found = CliRunner().invoke(app, ["serve", *arguments]).exception
    assert isinstance(found, MlopsError), found
    return found


def test_a_server_imports_only_what_it_needs() -> None:
    """Each of these takes 10 to 60 MiB of its memory, and time of its start."""
    folder = "mlops_assets.serving"
    code = (
        f"import sys, mlops_assets.cli.serve, {folder}.app, {folder}.images, {folder}.declared\n"
        f"import {folder}.sessions.repository, mlops_assets.monitoring.truth.routes, onnxruntime\n"
        "needless = {'dagster', 'pandas', 'pyarrow', 'rasterio', 'httpx', 'joserfc', 'scipy'}\n"
        "print(needless & sys.modules.keys())\n"
        f"import {folder}.routes.request_log\n"
        "print((needless - {'pyarrow'} | {'pyarrow.parquet'}) & sys.modules.keys())"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["set()", "set()"]


def test_a_server_serves_what_is_declared_follows_its_alias_and_logs(
    store: Store, tmp_path: Path
) -> None:
    production(store, "v1-a", 1)
    second = published(store, "v1-b", 2)
    store.registry.promote(second, [], alias="candidate")
    text = SERVICE.format(alias="candidate", engine="embedded").replace("0.5", "1")
    declare(tmp_path, text)
    port = free_port()
    url = f"http://{HOST}:{port}"
    with Process(["mlops", "serve", "--port", str(port)]) as server:
        server.wait_for_output("Uvicorn running on")
        assert f"{url}/v2/models/crops is crops@v1-b" in server.out
        answer = httpx.post(f"{url}/v2/models/crops/infer", json=BODY).json()
        assert (answer["model_version"], answer["outputs"][0]["data"]) == ("v1-b", [5.0])
        store.registry.promote(published(store, "v1-c", 7), [], alias="candidate")
        while answer["model_version"] != "v1-c":
            time.sleep(0.1)
            answer = httpx.post(f"{url}/v2/models/crops/infer", json=BODY).json()
        assert answer["outputs"][0]["data"] == [10.0]
        server.send_signal(signal.SIGTERM)
        server.wait(60)
    today = datetime.now(UTC).date().isoformat()
    compact_day(store, "crops", today)
    logged = {each.version: each for each in read_day(store, "crops", today)}
    assert set(logged) == {"v1-b", "v1-c"}
    assert answer["id"] in logged["v1-c"].requests


def test_without_a_declaration_all_models_in_production_are_served(
    store: Store, tmp_path: Path
) -> None:
    assert "no model has the alias production" in str(failure())
    assert isinstance(failure("corps"), NotFound)
    # a service whose model was not trained yet
    text = SERVICE.format(alias="production", engine="embedded")
    declare(tmp_path, text.replace("crops", "barley"))
    assert "no model has the alias production" in str(failure())
    published(store, "v1-a", 1)
    assert "no model has the alias production" in str(failure())


def test_beyond_this_machine_there_must_be_tokens(store: Store) -> None:
    production(store, "v1-a", 1)
    found = failure("--host", "0.0.0.0")
    assert isinstance(found, SettingsError) and "mlops token create" in str(found)
    for arguments in (["--host", "0.0.0.0", "--no-sign-in"], ["--max-body", "much"]):
        assert CliRunner().invoke(app, ["serve", *arguments]).exit_code == 2


def test_a_port_that_is_in_use_is_named_before_models_are_loaded(store: Store) -> None:
    production(store, "v1-a", 1)
    with socket.create_server((HOST, 0)) as other:
        port = other.getsockname()[1]
        found = failure("--port", str(port))
    assert isinstance(found, SettingsError)
    assert f"port {port}: Address already in use" in str(found)


def test_services_are_read_without_dagster(tmp_path: Path) -> None:
    folder = declare(tmp_path, SERVICE.format(alias="production", engine="docker"))
    declare(tmp_path, SERVICE.format(alias="production", engine="kserve"), ".hidden")
    (service,) = declared_services(folder)
    assert (service.model, service.engine, service.log.sample) == ("crops", "docker", 0.5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("crops", "'{{ env.MODEL }}'"), "only Dagster can resolve"),
        (("docker", "mlserver"), "engine"),
        (("attributes:", "attributes: ["), "not valid YAML"),
        (("attributes:", "parameters:"), "needs attributes"),
    ],
)
def test_declarations_that_cannot_be_read_are_named(
    tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    text = SERVICE.format(alias="production", engine="docker")
    folder = declare(tmp_path, text.replace(*change, 1))
    with pytest.raises(SpecificationError, match=message) as found:
        declared_services(folder)
    assert "defs.yaml" in str(found.value)
