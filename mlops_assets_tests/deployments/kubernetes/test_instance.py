"""The chart's Dagster instance: valid, with what each pod has, and closed to those who launch."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
import yaml
from dagster._core.instance.ref import InstanceRef
from dagster._core.run_coordinator import QueuedRunCoordinator
from dagster_aws.s3.compute_log_manager import S3ComputeLogManager
from dagster_k8s import K8sRunLauncher
from dagster_k8s.container_context import K8sContainerContext
from dagster_postgres.utils import pg_url_from_config

from mlops_assets.components.pods.executor import pod_executor
from mlops_assets.components.pods.steps import PodSteps
from mlops_assets_tests.deployments.kubernetes.chart import (
    CHART,
    VALUES,
    containers,
    pods,
    rendered,
)
from mlops_assets_tests.deployments.kubernetes.dagster_jobs import (
    RUN_ID,
    instance_ref,
    launcher_of,
    run_job,
    step_job,
)


@pytest.fixture
def launcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> K8sRunLauncher:
    found = rendered(VALUES["datalab"])
    return launcher_of(instance_ref(found, tmp_path, monkeypatch), monkeypatch)


def test_the_file_alone_is_what_others_use_without_the_chart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance_ref(rendered({}), tmp_path, monkeypatch)  # sets the variables
    (tmp_path / "dagster.yaml").write_text((CHART / "files" / "dagster.yaml").read_text())
    ref = InstanceRef.from_dir(str(tmp_path))
    assert isinstance(ref.run_coordinator, QueuedRunCoordinator)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    assert isinstance(ref.compute_log_manager, S3ComputeLogManager)
    assert ref.settings["telemetry"] == {"enabled": False}


def test_the_database_has_the_driver_that_is_installed_and_the_password_is_in_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = yaml.safe_load((CHART / "files" / "dagster.yaml").read_text())
    fields = config["storage"]["postgres"]["postgres_db"]
    monkeypatch.setenv("DAGSTER_PG_PASSWORD", "p@ss/word")
    values = {
        name: value if isinstance(value, str) else os.environ.get(value["env"], name)
        for name, value in fields.items()
    }
    url = pg_url_from_config({"postgres_db": values})
    assert url == "postgresql+psycopg2://username:p%40ss/word@hostname:port/db_name"


@pytest.mark.parametrize("values", VALUES.values(), ids=list(VALUES))
def test_whoever_loads_the_instance_has_each_variable_that_it_names(
    values: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = rendered(values)
    named = set(re.findall(r"env: (DAGSTER_\w+)", (CHART / "files" / "dagster.yaml").read_text()))
    launcher = launcher_of(instance_ref(found, tmp_path, monkeypatch), monkeypatch)
    run = run_job(launcher)["spec"]["template"]
    for name, pod in [*pods(found), ("run", run)]:
        for each in containers(pod):
            has = {env["name"] for env in each["env"]}
            # an inference server knows nothing of Dagster
            assert "-serving-" in name or named <= has, name


def test_a_run_is_a_job_with_the_release_its_account_and_its_grace(
    launcher: K8sRunLauncher,
) -> None:
    job = run_job(launcher)
    assert job["metadata"]["name"] == f"dagster-run-{RUN_ID}"
    assert job["metadata"]["namespace"] == "eo"
    pod = job["spec"]["template"]
    assert pod["metadata"]["labels"]["mlops-assets/release"] == "fields"
    assert pod["metadata"]["labels"]["app.kubernetes.io/component"] == "run_worker"
    assert pod["spec"]["serviceAccountName"] == "fields-run"
    assert pod["spec"]["terminationGracePeriodSeconds"] == 120


def test_runs_and_steps_have_what_the_values_give_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = instance_ref(rendered(VALUES["gpu"]), tmp_path, monkeypatch)
    launcher = launcher_of(ref, monkeypatch)
    for job in (run_job(launcher), step_job(launcher, {})):
        pod = job["spec"]["template"]
        assert pod["spec"]["imagePullSecrets"] == [{"name": "pull"}]
        assert pod["spec"]["tolerations"] == [{"key": "ml", "operator": "Exists"}]
        assert pod["spec"]["nodeSelector"] == {"pool": "ml"}
        assert pod["spec"]["priorityClassName"] == "training"
        assert "safe-to-evict" in str(pod["metadata"]["annotations"])


def test_steps_and_what_declares_them_name_the_image_with_gpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = rendered(VALUES["gpu"])
    launcher = launcher_of(instance_ref(found, tmp_path, monkeypatch), monkeypatch)
    code_server = dict(pods(found))["fields-code"]
    for pod in (code_server, run_job(launcher)["spec"]["template"]):
        (container,) = containers(pod)
        environment = {env["name"]: env.get("value") for env in container["env"]}
        assert environment["MLOPS_GPU_IMAGE"] == f"mlops-assets/gpu@sha256:{'a' * 64}"
        assert environment["MLOPS_GPU_LABEL"] == "example.org/gpu"
        assert container["image"].startswith("mlops-assets/code:")


def test_steps_have_an_account_without_rights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = rendered({})
    launcher = launcher_of(instance_ref(found, tmp_path, monkeypatch), monkeypatch)
    (container,) = containers(run_job(launcher)["spec"]["template"])
    (account,) = [env["value"] for env in container["env"] if env["name"] == "MLOPS_STEP_ACCOUNT"]
    found.named("ServiceAccount", account)
    subjects = {each["subjects"][0]["name"] for each in found.of_kind("RoleBinding")}
    assert account not in subjects
    # as the process of the run makes the executor
    monkeypatch.setenv("MLOPS_STEP_ACCOUNT", account)
    monkeypatch.setattr("kubernetes.config.load_incluster_config", lambda: None)
    made: list[K8sContainerContext] = []

    class Steps(PodSteps):
        def __init__(self, **arguments: Any) -> None:
            made.append(arguments["container_context"])
            super().__init__(**arguments)

    monkeypatch.setattr("mlops_assets.components.pods.executor.PodSteps", Steps)
    context = MagicMock(executor_config={"retries": {"enabled": {}}})
    context.instance.run_launcher = launcher
    assert pod_executor.executor_creation_fn is not None
    pod_executor.executor_creation_fn(context)
    spec = step_job(launcher, {}, made[0])["spec"]["template"]["spec"]
    assert spec["serviceAccountName"] == account


def test_whoever_launches_may_choose_nodes_and_resources(launcher: K8sRunLauncher) -> None:
    tags = {
        "container_config": {"resources": {"limits": {"memory": "64Gi"}, "requests": {"cpu": 16}}},
        "pod_spec_config": {"node_selector": {"pool": "large"}},
    }
    spec = run_job(launcher, tags)["spec"]["template"]["spec"]
    resources = spec["containers"][0]["resources"]
    assert resources["limits"]["memory"] == "64Gi" and resources["requests"]["cpu"] == "16"
    # a limit of the chart would be less than what is requested here
    assert "cpu" not in resources["limits"]
    assert spec["nodeSelector"] == {"pool": "large"}


@pytest.mark.parametrize(
    "tags",
    [
        {"pod_spec_config": {"service_account_name": "fields-daemon"}},
        {"pod_spec_config": {"host_network": True}},
        {"pod_spec_config": {"volumes": [{"name": "x", "host_path": {"path": "/"}}]}},
        {"pod_spec_config": {"containers": [{"name": "x", "image": "x"}]}},
        {"container_config": {"image": "evil"}},
        {"container_config": {"command": ["sh"]}},
        {"container_config": {"security_context": {"privileged": True}}},
        {"container_config": {"env": [{"name": "PYTHONPATH", "value": "/tmp"}]}},
        {"pod_template_spec_metadata": {"labels": {"app.kubernetes.io/component": "hub"}}},
        {"job_metadata": {"namespace": "kube-system"}},
    ],
)
def test_whoever_launches_may_change_neither_rights_nor_what_runs(
    launcher: K8sRunLauncher, tags: dict[str, Any]
) -> None:
    with pytest.raises(Exception, match="violated the allowed list"):
        run_job(launcher, tags)
