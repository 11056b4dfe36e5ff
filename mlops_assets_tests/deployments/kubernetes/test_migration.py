"""The migration Job of the chart, run as it stands on a database of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import create_engine, inspect, make_url

from mlops_assets_tests.deployments.kubernetes.chart import ROOT, containers, pods, rendered


@pytest.mark.slow
def test_a_new_database_gets_its_tables_without_a_token_of_kubernetes(
    new_database: Callable[..., str], tmp_path: Path
) -> None:
    registry, dagster = new_database(), new_database()
    url = make_url(dagster)
    found = rendered({"dagster": {"database": {"name": url.database}}})
    pod = dict(pods(found))["fields-migration"]
    config = found.named("ConfigMap", "fields-migration-dagster")
    (tmp_path / "dagster.yaml").write_text(config["data"]["dagster.yaml"])
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "MLOPS_WORKSPACE").write_text((tmp_path / "workspace").as_uri())
    (secret / "MLOPS_REGISTRY").write_text(registry)
    programs = Path(sys.executable).parent
    for each in containers(pod):
        environment = {env["name"]: env.get("value", url.username) for env in each["env"]}
        environment |= {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "HOME": str(tmp_path),
            "DAGSTER_HOME": str(tmp_path),
            "MLOPS_CONFIG": str(secret),
            "MLOPS_CACHE": str(tmp_path / "cache"),
            # our server has a Unix socket, which is not the name of a host
            "DAGSTER_PG_HOST": "",
            "PGHOST": str(url.query["host"]),
        }
        command = [*each.get("command", ["mlops"]), *each.get("args", [])]
        done = subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=240
        )
        assert done.returncode == 0, done.stderr
    assert "event_logs" in tables(dagster)
    assert {"data_versions", "model_versions"} <= tables(registry)


def tables(database: str) -> set[str]:
    engine = create_engine(database)
    found = set(inspect(engine).get_table_names())
    engine.dispose()
    return found
