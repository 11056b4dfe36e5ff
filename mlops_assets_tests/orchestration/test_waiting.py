"""Reasons why a run does not work yet: of the queue, and of a cluster."""

from __future__ import annotations

import time
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test, instance_for_test
from dagster._daemon.types import DaemonHeartbeat

from mlops_assets.orchestration.following.waiting import essential, why_queued, why_step_waits
from mlops_assets_tests.orchestration import queued_run

QUEUE = {
    "concurrency": {
        "runs": {
            "max_concurrent_runs": 1,
            "tag_concurrency_limits": [{"key": "team", "value": "a", "limit": 1}],
        }
    }
}
# as dagster-k8s writes it of a pod that no node has a GPU for
PENDING = """Debug information for pod dagster-run-1-abc:

Pod status: Pending

No logs for container 'dagster'.

Warning events for pod:
FailedScheduling: 0/3 nodes are available: 3 Insufficient nvidia.com/gpu. (x4)
For more information about the failure, try running `kubectl describe pod x` in your cluster."""


def test_the_queue_gives_the_limits_that_hold_a_run_back() -> None:
    with instance_for_test(QUEUE) as instance:
        create_run_for_test(instance, status=dg.DagsterRunStatus.STARTED)
        queued_run(instance)
        run = queued_run(instance, team="a")
        assert "daemon does not run" in why_queued(instance, run)
        instance.add_daemon_heartbeat(
            DaemonHeartbeat(time.time(), "QUEUED_RUN_COORDINATOR", None, [])
        )
        assert why_queued(instance, run) == (
            "queued; 1 run before it; 1 in progress of at most 1; at most 1 at once with the tag"
            " team"
        )


def test_a_machine_without_the_cluster_has_the_reason_that_the_run_has_logged(
    tmp_path: Path,
) -> None:
    launcher = {
        "module": "dagster_k8s",
        "class": "K8sRunLauncher",
        "config": {
            "service_account_name": "run",
            "instance_config_map": "dagster",
            "dagster_home": "/home",
            "job_image": "image",
            "load_incluster_config": False,
            "kubeconfig_file": str(tmp_path / "kubeconfig"),
        },
    }
    with instance_for_test({"run_launcher": launcher}) as instance:
        run = create_run_for_test(instance, status=dg.DagsterRunStatus.STARTED)
        assert why_step_waits(instance, run, "dagster-step-1", "no GPU") == "no GPU"


@pytest.mark.parametrize(
    ("report", "reason"),
    [
        (
            PENDING,
            "Pod status: Pending; FailedScheduling: 0/3 nodes are available: 3 Insufficient"
            " nvidia.com/gpu. (x4)",
        ),
        ("", ""),
    ],
)
def test_a_report_on_a_pod_is_cut_to_what_it_waits_for(report: str, reason: str) -> None:
    assert essential(report) == reason
