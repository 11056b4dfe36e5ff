"""Reasons why a run that was submitted does not work yet."""

from __future__ import annotations

import dagster as dg
from dagster._core.storage.dagster_run import IN_PROGRESS_RUN_STATUSES
from dagster_shared.error import SerializableErrorInfo

from mlops_assets.components.project.failures import innermost
from mlops_assets.orchestration.submission import daemon_notice
from mlops_assets.text.printable import printable

# of what a cluster reports about a pod
MAX_LINES = 3
# lines of a pod's description that are not about why it waits
_HEADINGS = (
    "Debug information for",
    "For more information about",
    "No logs for container",
    "No warning events",
    "Warning events for pod",
)


def why_queued(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str:
    """Return why a run is still in the queue.

    Args:
        instance: the Dagster instance.
        run: that is queued.
    """
    notice = daemon_notice(instance)
    if notice:
        return notice
    queue = instance.get_concurrency_config().run_queue_config
    busy = instance.get_runs_count(dg.RunsFilter(statuses=IN_PROGRESS_RUN_STATUSES))
    queued = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.QUEUED]))
    # newest first
    ids = [other.run_id for other in queued]
    ahead = len(ids) - ids.index(run.run_id) - 1 if run.run_id in ids else 0
    parts = ["queued"]
    if ahead:
        parts.append(f"{ahead} run{'s' if ahead > 1 else ''} before it")
    if queue is not None and 0 <= queue.max_concurrent_runs <= busy:
        parts.append(f"{busy} in progress of at most {queue.max_concurrent_runs}")
    for limit in queue.tag_concurrency_limits if queue is not None else ():
        key, value = str(limit.get("key")), limit.get("value")
        if key in run.tags and (not isinstance(value, str) or run.tags[key] == value):
            parts.append(f"at most {limit.get('limit')} at once with the tag {key}")
    pools = sorted((run.run_op_concurrency.all_pools or ()) if run.run_op_concurrency else ())
    if pools:
        parts.append(f"needs the pool{'s' if len(pools) > 1 else ''} {', '.join(pools)}")
    return "; ".join(parts)


def why_starting(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str:
    """Return what the launcher reports about the process or pod of a run; empty if nothing."""
    try:
        found = instance.run_launcher.get_run_worker_debug_info(run, include_container_logs=False)
    except Exception as error:  # noqa: BLE001  of any launcher and its cluster
        return _unreadable(error)
    return essential(found or "")


def why_step_waits(instance: dg.DagsterInstance, run: dg.DagsterRun, job: str, logged: str) -> str:
    """Return what Kubernetes reports about the pod of a step.

    This machine may not see the cluster, as the run itself does.

    Args:
        instance: the Dagster instance, with a launcher for Kubernetes.
        run: the run.
        job: name of the Kubernetes Job of the step.
        logged: the reason that the run has logged, if Kubernetes reports none here.
    """
    from mlops_assets.extras import needs

    with needs("cluster", "a step in a pod of Kubernetes"):
        from dagster_k8s import K8sRunLauncher
        from dagster_k8s.client import DagsterKubernetesClient
    try:
        launcher = instance.run_launcher
        if not isinstance(launcher, K8sRunLauncher):
            return logged
        namespace = launcher.get_container_context_for_run(run).namespace
        client = DagsterKubernetesClient.production_client()  # type: ignore[no-untyped-call]
        reports = [
            client.get_pod_debug_info(pod, namespace, include_container_logs=False)
            for pod in client.get_pod_names_in_job(job, namespace=namespace)
        ]
    except Exception:  # noqa: BLE001  of any cluster, or of its configuration
        return logged
    return essential("\n".join(reports)) or logged


def essential(report: str) -> str:
    """Return the lines of a report on a pod that show why it waits, the last ones, as one line."""
    lines = [line.strip() for line in report.splitlines()]
    kept = [line for line in lines if line and not line.startswith(_HEADINGS)]
    return printable("; ".join(kept[-MAX_LINES:]))


def first_line(text: str) -> str:
    """Return the first line of a text; empty if it has none."""
    return next(iter(text.strip().splitlines()), "")


def reason_of(error: SerializableErrorInfo | None) -> str:
    """Return the first line of an error of a step; empty if there is none."""
    if error is None:
        return ""
    return first_line(innermost(error).message.strip().split(": ", 1)[-1])


def _unreadable(error: Exception) -> str:
    reason = first_line(str(error)) or type(error).__name__
    return printable(f"its process or pod cannot be inspected from here: {reason}")
