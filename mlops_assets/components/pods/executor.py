"""The executor of a cluster: a pod for each step, by dagster-k8s."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import dagster as dg
from dagster._core.definitions.executor_definition import multiple_process_executor_requirements
from dagster._core.execution.retries import RetryMode
from dagster._core.executor.step_delegating import StepDelegatingExecutor
from dagster_k8s import K8sRunLauncher, k8s_job_executor
from dagster_k8s.container_context import K8sContainerContext
from dagster_k8s.job import UserDefinedDagsterK8sConfig

from mlops_assets.components.pods.steps import PodSteps
from mlops_assets.errors import SettingsError
from mlops_assets.settings import step_account

# of k8s_job_executor's config, what the Launchpad may set: whoever launches a run is not to choose
# the account, the Secrets or the image of its pods
LAUNCHPAD = ("max_concurrent", "per_step_k8s_config", "retries", "tag_concurrency_limits")
# seconds between questions after a pod
HEALTH_SECONDS = 10


def _launchpad_schema() -> dict[str, object]:
    schema = cast("dg.Shape", k8s_job_executor.config_schema.config_type)
    return {name: schema.fields[name] for name in LAUNCHPAD}


@dg.executor(
    name="k8s",
    config_schema=_launchpad_schema(),
    requirements=multiple_process_executor_requirements(),
)
def pod_executor(init_context: dg.InitExecutorContext) -> dg.Executor:
    """Return the executor that starts a pod for each step of a run.

    Raises:
        SettingsError: the Dagster instance launches runs elsewhere than on Kubernetes.
        Exception: `per_step_k8s_config` sets what the launcher does not allow.
    """
    launcher = init_context.instance.run_launcher
    if not isinstance(launcher, K8sRunLauncher):
        raise SettingsError(
            "MLOPS_EXECUTOR=k8s_job needs the K8sRunLauncher in dagster.yaml, as in"
            f" deployments/kubernetes; this instance has {type(launcher).__name__}"
        )
    config = cast("Mapping[str, Any]", init_context.executor_config)
    per_step = config.get("per_step_k8s_config") or {}
    for asked in per_step.values():
        typed = UserDefinedDagsterK8sConfig.from_dict(asked)  # type: ignore[no-untyped-call]
        wanted = K8sContainerContext(run_k8s_config=typed)
        wanted.validate_user_k8s_config_for_run(
            launcher.only_allow_user_defined_k8s_config_fields,
            launcher.only_allow_user_defined_env_vars,
        )
    steps = PodSteps(
        image=None,
        # a step runs the code of a project, and makes no Jobs
        container_context=K8sContainerContext(service_account_name=step_account()),
        load_incluster_config=launcher.load_incluster_config,
        kubeconfig_file=launcher.kubeconfig_file,
        per_step_k8s_config=per_step,
    )
    return StepDelegatingExecutor(
        steps,
        retries=RetryMode.from_config(config["retries"]) or RetryMode.ENABLED,
        check_step_health_interval_seconds=HEALTH_SECONDS,
        max_concurrent=config.get("max_concurrent"),
        tag_concurrency_limits=config.get("tag_concurrency_limits"),
        should_verify_step=True,
    )
