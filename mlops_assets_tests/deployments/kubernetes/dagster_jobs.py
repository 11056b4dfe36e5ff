"""The chart's Dagster instance, and the Jobs that its launcher sends to Kubernetes."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import dagster as dg
import pytest
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.instance.ref import InstanceRef
from dagster._core.launcher.base import LaunchRunContext
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin
from dagster._core.storage.dagster_run import DagsterRun
from dagster_k8s import K8sRunLauncher
from dagster_k8s.container_context import K8sContainerContext
from dagster_k8s.job import construct_dagster_k8s_job, get_user_defined_k8s_config
from kubernetes.client import ApiClient, V1Job

from mlops_assets_tests.deployments.kubernetes.chart import (
    Manifest,
    Rendered,
    containers,
    pods,
)

CONFIG = "dagster-k8s/config"
RUN_ID = "1c2f78af-df1f-45d8-9f11-a1cac2d98327"


def instance_ref(found: Rendered, folder: Path, monkeypatch: pytest.MonkeyPatch) -> InstanceRef:
    """Return the instance as the daemon has it: the file of the ConfigMap, and its environment."""
    (config_map,) = [
        each
        for each in found.of_kind("ConfigMap")
        if "dagster.yaml" in each["data"] and "annotations" not in each["metadata"]
    ]
    (folder / "dagster.yaml").write_text(config_map["data"]["dagster.yaml"])
    (daemon,) = [pod for name, pod in pods(found) if name.endswith("-daemon")]
    for each in containers(daemon)[0]["env"]:
        monkeypatch.setenv(each["name"], each.get("value", "secret"))
    return InstanceRef.from_dir(str(folder))


def launcher_of(ref: InstanceRef, monkeypatch: pytest.MonkeyPatch) -> K8sRunLauncher:
    """Return the launcher of an instance, which reaches no cluster."""
    monkeypatch.setattr("dagster_k8s.launcher.load_kubernetes_config", lambda **_given: None)
    launcher = ref.run_launcher
    assert isinstance(launcher, K8sRunLauncher)
    return launcher


def run_job(launcher: K8sRunLauncher, tags: Mapping[str, Any] | None = None) -> Manifest:
    """Return the Job that the launcher sends for a run.

    Args:
        launcher: of the instance.
        tags: the value of the tag `dagster-k8s/config`, which whoever launches the run writes.
    """
    api = MagicMock()
    launcher._api_client = api
    instance = MagicMock(spec=dg.DagsterInstance)
    instance.get_ref.return_value = None
    launcher._instance_weakref = None  # an instance is registered once
    launcher.register_instance(instance)
    launcher.launch_run(LaunchRunContext(_run(tags), workspace=None))
    job = api.create_namespaced_job_with_retries.call_args.kwargs["body"]
    return _manifest(job, api.create_namespaced_job_with_retries.call_args.kwargs["namespace"])


def step_job(
    launcher: K8sRunLauncher,
    op_tags: Mapping[str, Any],
    executor: K8sContainerContext | None = None,
) -> Manifest:
    """Return the Job of a step, merged as `k8s_job_executor` merges it.

    Args:
        launcher: of the instance.
        op_tags: of the step's asset.
        executor: what it adds itself.
    """
    context = K8sContainerContext.create_for_run(_run(None), launcher, include_run_tags=False)
    config = get_user_defined_k8s_config(
        {
            name: value if isinstance(value, str) else json.dumps(value)
            for name, value in op_tags.items()
        }
    )
    context = context.merge(executor or K8sContainerContext())
    context = context.merge(K8sContainerContext(run_k8s_config=config))
    job = construct_dagster_k8s_job(
        context.get_k8s_job_config(None, launcher),
        ["dagster", "api", "execute_step"],
        "dagster-step-1",
        component="step_worker",
        user_defined_k8s_config=context.run_k8s_config,
    )
    assert context.namespace is not None
    return _manifest(job, context.namespace)


def _run(tags: Mapping[str, Any] | None) -> DagsterRun:
    pointer = ModuleCodePointer("mlops_assets.definitions", "defs")
    repository = RepositoryPythonOrigin(sys.executable, pointer, None, ["dagster"], None)
    return DagsterRun(
        "lifecycle",
        RUN_ID,
        tags={CONFIG: json.dumps(tags)} if tags else {},
        job_code_origin=JobPythonOrigin("lifecycle", repository),
    )


def _manifest(job: V1Job, namespace: str) -> Manifest:
    manifest: Manifest = ApiClient().sanitize_for_serialization(job)
    manifest["metadata"]["namespace"] = namespace
    return manifest
