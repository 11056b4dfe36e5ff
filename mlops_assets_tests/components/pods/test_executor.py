"""What a run may choose of its pods."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest
from dagster_k8s import K8sRunLauncher

from mlops_assets.components.pods.executor import pod_executor
from mlops_assets.errors import SettingsError


@pytest.fixture
def launcher(tmp_path: Path) -> K8sRunLauncher:
    """A launcher that lets users choose the resources of containers, and nothing else."""
    context = {"name": "c", "context": {"cluster": "c", "user": "u"}}
    cluster = {"name": "c", "cluster": {"server": "http://127.0.0.1:9"}}
    document = {
        "current-context": "c",
        "contexts": [context],
        "clusters": [cluster],
        "users": [{"name": "u", "user": {}}],
    }
    (tmp_path / "kubeconfig").write_text(json.dumps(document))
    return K8sRunLauncher(
        service_account_name="run",
        instance_config_map="dagster",
        dagster_home="/home",
        job_namespace="eo",
        load_incluster_config=False,
        kubeconfig_file=str(tmp_path / "kubeconfig"),
        only_allow_user_defined_k8s_config_fields={"container_config": {"resources": True}},
    )


def executor(launcher: object, **config: Any) -> dg.Executor:
    make: Any = pod_executor.executor_creation_fn
    instance = SimpleNamespace(run_launcher=launcher)
    config = {"retries": {"enabled": {}}, **config}
    made: dg.Executor = make(SimpleNamespace(instance=instance, executor_config=config))
    return made


def test_a_run_chooses_resources_and_neither_accounts_nor_volumes(
    launcher: K8sRunLauncher,
) -> None:
    resources = {"container_config": {"resources": {"limits": {"memory": "1Gi"}}}}
    assert executor(launcher, per_step_k8s_config={"step": resources}).retries.enabled
    for refused in (
        {"pod_spec_config": {"service_account_name": "admin"}},
        {"pod_spec_config": {"volumes": [{"name": "s", "secret": {"secret_name": "key"}}]}},
        {"container_config": {"image": "other"}},
    ):
        with pytest.raises(Exception, match="violated the allowed list"):
            executor(launcher, per_step_k8s_config={"step": refused})
    schema: Any = pod_executor.config_schema.config_type
    assert not {"service_account_name", "env_secrets", "job_image"} & set(schema.fields)


def test_an_instance_without_kubernetes_is_refused() -> None:
    with pytest.raises(SettingsError, match="needs the K8sRunLauncher"):
        executor(object())
