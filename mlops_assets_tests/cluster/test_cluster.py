"""Runs on a cluster: launcher, run Job, step Jobs, done; no more than what the fake can show."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import dagster as dg
import pytest

from mlops_assets.components.naming import COMPUTE
from mlops_assets.paths import model_folder, model_owner
from mlops_assets.registry import Run
from mlops_assets.training.process.supervisor import train_supervised
from mlops_assets_tests.cluster.conftest import IMAGE, MODULE, PASSWORD, Deployment
from mlops_assets_tests.cluster.definitions import network
from mlops_assets_tests.cluster.kubernetes import MISSING, NO_NODE
from mlops_assets_tests.servers.buckets import SECRET
from mlops_assets_tests.training.example_trainers import training_request

pytestmark = [pytest.mark.services, pytest.mark.slow, pytest.mark.timeout(900)]
JOB = "training"


def launched(deployment: Deployment, config: Mapping[str, Any] | None = None, **tags: str) -> str:
    """Launch the job as a user of Dagster does, and return the id of the run."""
    known = {run.run_id for run in deployment.instance.get_runs()}
    options = ["--config-json", json.dumps(config)] if config else []
    asked = json.dumps({"dagster/partition": "v1", **tags})
    place = ["-w", "workspace.yaml", "--location", MODULE, "-j", JOB, "--tags", asked]
    deployment.command("dagster", "job", "launch", *place, *options)
    (run_id,) = {run.run_id for run in deployment.instance.get_runs()} - known
    return run_id


def trained(deployment: Deployment, run_id: str) -> Run:
    (run,) = deployment.store.registry.runs(orchestration_run=run_id)
    return run


def native(deployment: Deployment, run: Run) -> dict[str, str]:
    """Name → checksum of the native files of the model version of a run."""
    version = str(run.model_version)
    folder = f"{model_folder(run.model, version)}/native/"
    files = deployment.store.registry.files(model_owner(run.model, version))
    return {
        file.path.removeprefix(folder): file.sha256
        for file in files
        if file.path.startswith(folder)
    }


def pod_of(job: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The pod of a Job, and its container."""
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    return pod, container


def jobs_of(deployment: Deployment, run_id: str, step: str) -> list[Mapping[str, Any]]:
    """The Jobs of a step of a run, oldest first."""
    return [
        job
        for job in deployment.cluster.jobs("step_worker")
        if job["metadata"]["labels"]["dagster/run-id"] == run_id
        and {"name": "DAGSTER_RUN_STEP_KEY", "value": step} in pod_of(job)[1]["env"]
    ]


def test_a_training_runs_in_pods_as_declared(deployment: Deployment) -> None:
    run_id = launched(deployment)
    run = deployment.end_of(run_id)
    assert run.is_success, deployment.logs()
    (run_job,) = (
        job
        for job in deployment.cluster.jobs("run_worker")
        if job["metadata"]["labels"]["dagster/run-id"] == run_id
    )
    (training,) = jobs_of(deployment, run_id, "crop_forest__trained_model")
    (export,) = jobs_of(deployment, run_id, "crop_forest__onnx_model")
    spec, (pod, container) = training["spec"], pod_of(training)
    assert (spec["activeDeadlineSeconds"], spec["backoffLimit"]) == (3600, 0)
    limits = container["resources"]["limits"]
    assert (limits["memory"], limits["nvidia.com/gpu"]) == ("8Gi", "1")
    assert pod["nodeSelector"] == {
        "nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB",
        "pool": "training",
    }
    assert [taint["key"] for taint in pod["tolerations"]] == ["spot", "nvidia.com/gpu"]
    assert {"name": "shared-memory", "mountPath": "/dev/shm"} in container["volumeMounts"]
    assert spec["template"]["metadata"]["labels"]["mlops-assets/model"] == "crop_forest"
    # what wants no GPU keeps none from others
    assert "nvidia.com/gpu" not in json.dumps(export)
    # only what starts pods of steps has rights on Kubernetes
    accounts = {"run_worker": "fields-run", "step_worker": "fields-code"}
    for job in (run_job, training, export):
        pod, container = pod_of(job)
        account = accounts[job["metadata"]["labels"]["app.kubernetes.io/component"]]
        assert (container["image"], pod["serviceAccountName"]) == (IMAGE, account)
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        secrets = [v["secret"]["secretName"] for v in pod["volumes"] if "secret" in v]
        assert secrets == ["mlops-workspace", "mlops-delegation"]
    # no Secret's value is in a manifest
    for secret in (SECRET, PASSWORD, "d" * 64):
        assert secret not in json.dumps([run_job, training, export])
    assert trained(deployment, run_id).status == "succeeded"


def test_a_lost_pod_is_replaced_and_its_training_continues(deployment: Deployment) -> None:
    params = {"config": {"wait_at": 4}}
    asked = {COMPUTE: json.dumps({"gpus": 0, "gpu_type": None, "memory": "2Gi"})}
    config = {"ops": {"crop_forest__trained_model": params}}
    run_id = launched(deployment, config, **asked)
    registry = deployment.store.registry

    def kept() -> set[int]:
        runs = registry.runs(orchestration_run=run_id)
        return {point.step for run in runs for point in registry.checkpoints(run.run_id)}

    deployment.until(lambda: 3 in kept())
    (job,) = jobs_of(deployment, run_id, "crop_forest__trained_model")
    # the run asks for other compute than declared
    limits = pod_of(job)[1]["resources"]["limits"]
    assert limits["memory"] == "2Gi" and "nvidia.com/gpu" not in limits
    assert "nvidia.com/gpu.product" not in pod_of(job)[0]["nodeSelector"]
    deployment.cluster.lose(job["metadata"]["name"])
    assert deployment.end_of(run_id).is_success, deployment.logs()
    resumed = trained(deployment, run_id)
    assert (resumed.attempts, resumed.status) == (2, "succeeded")
    assert len(jobs_of(deployment, run_id, "crop_forest__trained_model")) == 2
    # the weights are those of a training that was not interrupted
    asked_here = training_request(network(), "v1", {}, network().seed, orchestration_run="whole")
    train_supervised(deployment.store, asked_here)
    assert native(deployment, resumed) == native(deployment, trained(deployment, "whole")) != {}
    retried = deployment.instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_UP_FOR_RETRY)
    (event,) = [entry.dagster_event for entry in retried]
    assert event is not None
    reason = str(event.event_specific_data)
    assert "was taken off its node: Killed: exit code 137" in reason


def test_a_command_submits_its_training_and_follows_it(deployment: Deployment) -> None:
    before = deployment.cluster.jobs("run_worker")
    printed = deployment.command("mlops", "train", "crop_forest", "--module", MODULE)
    (run_job,) = deployment.cluster.jobs("run_worker")[len(before) :]
    run_id = run_job["metadata"]["labels"]["dagster/run-id"]
    assert deployment.end_of(run_id).is_success
    run = trained(deployment, run_id)
    assert run.model_version and run.model_version in printed
    assert len(jobs_of(deployment, run_id, "crop_forest__record")) == 1


def test_a_step_without_a_node_for_its_gpu_waits_and_fails_with_the_reason(
    deployment: Deployment,
) -> None:
    asked = json.dumps({"gpu_type": MISSING, "deadline": 86400})
    run_id = launched(deployment, None, **{COMPUTE: asked})
    step = "crop_forest__trained_model"

    def logged(kind: dg.DagsterEventType) -> str:
        entries = deployment.instance.all_logs(run_id, of_type=kind)
        return " ".join(str(entry.dagster_event) for entry in entries if entry.step_key == step)

    deployment.until(lambda: NO_NODE in logged(dg.DagsterEventType.ENGINE_EVENT))
    waits = logged(dg.DagsterEventType.ENGINE_EVENT)
    assert "waits for a node" in waits and f"gpu.product={MISSING}" in waits
    (job,) = jobs_of(deployment, run_id, step)
    deployment.cluster.pass_deadline(dict(job))
    assert deployment.end_of(run_id).status == dg.DagsterRunStatus.FAILURE
    # a second pod would wait in vain, too
    assert len(jobs_of(deployment, run_id, step)) == 1
    failed = logged(dg.DagsterEventType.STEP_FAILURE)
    assert "no node took the pod" in failed and "within the deadline of 86400 seconds" in failed
    assert NO_NODE in failed and "add such a node" in failed
    assert deployment.store.registry.runs(orchestration_run=run_id) == []
