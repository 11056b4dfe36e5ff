"""The words of the state of a pod, from objects as a cluster of Kubernetes 1.31 has them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from kubernetes.client import (
    CoreV1Event,
    V1Container,
    V1ContainerState,
    V1ContainerStateTerminated,
    V1ContainerStateWaiting,
    V1ContainerStatus,
    V1Job,
    V1JobCondition,
    V1JobSpec,
    V1JobStatus,
    V1ObjectMeta,
    V1ObjectReference,
    V1Pod,
    V1PodCondition,
    V1PodSpec,
    V1PodStatus,
    V1PodTemplateSpec,
    V1ResourceRequirements,
)

from mlops_assets.components.pods.fate import PodState, why_failed, why_waiting

NO_GPU = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."


def state(pods: list[V1Pod], events: tuple[CoreV1Event, ...] = (), reason: str = "") -> PodState:
    """A Job that asks for a GPU of a type, within an hour."""
    resources = V1ResourceRequirements(
        requests={"cpu": "2", "memory": "8Gi"}, limits={"memory": "8Gi", "nvidia.com/gpu": "1"}
    )
    pod = V1PodSpec(
        containers=[V1Container(name="dagster", resources=resources)],
        node_selector={"nvidia.com/gpu.product": "H100"},
    )
    spec = V1JobSpec(active_deadline_seconds=3600, template=V1PodTemplateSpec(spec=pod))
    conditions = [V1JobCondition(type="Failed", status="True", reason=reason)] if reason else None
    status = V1JobStatus(failed=1 if reason else None, conditions=conditions)
    return PodState(
        V1Job(metadata=V1ObjectMeta(name="job"), spec=spec, status=status), pods, events
    )


def pod(phase: str = "Failed", container: V1ContainerState | None = None, **status: Any) -> V1Pod:
    """A pod of the Job."""
    statuses = container and [
        V1ContainerStatus(
            name="dagster", state=container, image="i", image_id="", ready=False, restart_count=0
        )
    ]
    metadata = V1ObjectMeta(name="job-x", creation_timestamp=datetime.now(UTC))
    return V1Pod(
        metadata=metadata,
        status=V1PodStatus(phase=phase, container_statuses=statuses, **status),
    )


def ended(exit_code: int, reason: str = "Error") -> V1ContainerState:
    return V1ContainerState(
        terminated=V1ContainerStateTerminated(exit_code=exit_code, reason=reason)
    )


def event(reason: str, message: str) -> CoreV1Event:
    about = V1ObjectReference(kind="Pod", name="job-x")
    metadata = V1ObjectMeta(name="e")
    return CoreV1Event(
        involved_object=about, metadata=metadata, reason=reason, message=message, type="Warning"
    )


def condition(kind: str, reason: str, message: str, status: str = "True") -> list[V1PodCondition]:
    return [V1PodCondition(type=kind, status=status, reason=reason, message=message)]


@pytest.mark.parametrize(
    ("found", "lost", "words"),
    [
        (
            state([pod(conditions=condition("DisruptionTarget", "PreemptionByScheduler", "by b"))]),
            True,
            ["job-x", "PreemptionByScheduler: by b"],
        ),
        (state([pod(reason="NodeShutdown", message="node is shut down")]), True, ["NodeShutdown"]),
        (state([pod(container=ended(137))]), True, ["exit code 137"]),
        (state([pod(container=ended(143))]), True, ["exit code 143"]),
        (state([], reason="BackoffLimitExceeded"), True, ["was removed"]),
        # what a second pod would do again
        (
            state([pod(container=ended(137, "OOMKilled"))]),
            False,
            ["more memory", "8Gi", "raise compute.memory"],
        ),
        (
            state(
                [
                    pod(
                        reason="Evicted",
                        message="Pod ephemeral local storage usage exceeds the total limit of"
                        " containers 5Gi.",
                    )
                ]
            ),
            False,
            ["exceeds the total limit", "raise compute.ephemeral_storage"],
        ),
        (state([pod(container=ended(1))]), False, ["exited with code 1", "kubectl logs job-x"]),
        (
            state([], (event("FailedScheduling", NO_GPU),), "DeadlineExceeded"),
            False,
            [
                "no node took the pod of job within the deadline of 3600 seconds",
                "3 Insufficient nvidia.com/gpu",
                "nvidia.com/gpu 1",
                "nvidia.com/gpu.product=H100",
                "add such a node",
            ],
        ),
        (
            state(
                [],
                (event("FailedScheduling", NO_GPU), event("Scheduled", "to node b")),
                "DeadlineExceeded",
            ),
            False,
            ["did not end within its deadline of 3600 seconds", "raise compute.deadline"],
        ),
    ],
)
def test_a_failed_job_is_explained(found: PodState, lost: bool, words: list[str]) -> None:
    end = why_failed(found)
    assert end.lost is lost
    assert [word for word in words if word not in end.reason] == []


def test_a_pod_that_waits_is_explained() -> None:
    unschedulable = condition("PodScheduled", "Unschedulable", NO_GPU, "False")
    waits = why_waiting(state([pod("Pending", conditions=unschedulable)])) or ""
    assert "waits for a node: 0/3 nodes" in waits and "nvidia.com/gpu.product=H100" in waits
    stuck = V1ContainerState(
        waiting=V1ContainerStateWaiting(
            reason="CreateContainerConfigError", message='secret "mlops-workspace" not found'
        )
    )
    message = why_waiting(state([pod("Pending", stuck)])) or ""
    assert 'secret "mlops-workspace" not found; make the Secret' in message
    creating = V1ContainerState(waiting=V1ContainerStateWaiting(reason="ContainerCreating"))
    assert why_waiting(state([pod("Pending", creating)])) is None
    assert why_waiting(state([pod("Running", stuck)])) is None
