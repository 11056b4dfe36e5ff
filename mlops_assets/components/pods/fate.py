"""The state of a step's pod in words: why it waits, and why it ended.

Reads objects of the Kubernetes API; knows nothing about Dagster.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# condition of a pod that is to leave its node, whatever its own fault:
# https://kubernetes.io/docs/concepts/workloads/pods/disruptions/#pod-disruption-conditions
DISRUPTED = "DisruptionTarget"
# reasons of pods that their node gave up, from before there was the condition
LOST_REASONS = ("Evicted", "NodeLost", "NodeShutdown", "Preempting", "Shutdown", "Terminated")
# exit codes of SIGKILL and SIGTERM
KILLED = (137, 143)
# states in which a container does not start until somebody does something about it
_CANNOT_START = (
    *("CreateContainerConfigError", "CreateContainerError", "ErrImagePull", "ImageInspectError"),
    *("ImagePullBackOff", "InvalidImageName", "RunContainerError"),
)
_HINTS = {
    "CreateContainerConfigError": "make the Secret or ConfigMap that it names",
    "ErrImagePull": "check the image, and the Secret with which it is pulled",
    "ImagePullBackOff": "check the image, and the Secret with which it is pulled",
    "InvalidImageName": "check the name of the image",
}


@dataclass(frozen=True)
class PodState:
    """Objects of Kubernetes about one Job.

    Attributes:
        job: the V1Job.
        pods: V1Pods of the Job that still exist.
        events: CoreV1Events of its pods, oldest first; those of removed ones, too.
    """

    job: Any
    pods: Sequence[Any]
    events: Sequence[Any]

    @property
    def name(self) -> str:
        """The name of the Job."""
        return str(self.job.metadata.name)


@dataclass(frozen=True)
class PodEnd:
    """The end of a pod whose step did not end by itself.

    Attributes:
        reason: what happened, and what to do.
        lost: whether the cluster took the pod away, so that another one may succeed.
    """

    reason: str
    lost: bool = False


def why_waiting(state: PodState) -> str | None:
    """Return why a pod does not start yet; None if it runs, or is about to."""
    pod = _newest(state.pods)
    if pod is None or pod.status is None or pod.status.phase != "Pending":
        return None
    for condition in pod.status.conditions or []:
        if condition.type == "PodScheduled" and condition.status == "False":
            return f"waits for a node: {condition.message or condition.reason}; {_wanted(state)}"
    for waiting in _waiting(pod):
        if waiting.reason in _CANNOT_START:
            hint = _HINTS.get(waiting.reason, f"see 'kubectl describe pod {pod.metadata.name}'")
            return f"cannot start: {waiting.reason}: {waiting.message or 'no message'}; {hint}"
    return None


def why_failed(state: PodState) -> PodEnd:
    """Return why a Job failed."""
    pod = _newest(state.pods)
    if _condition(state.job, "Failed") == "DeadlineExceeded":
        return PodEnd(_deadline(state))
    if pod is None:
        return PodEnd(f"the pod of {state.name} was removed, or its node was", lost=True)
    name, status = pod.metadata.name, pod.status
    for condition in status.conditions or []:
        if condition.type == DISRUPTED and condition.status == "True":
            return _lost(name, condition.reason, condition.message)
    if status.reason in LOST_REASONS:
        return _lost(name, status.reason, status.message)
    for ended in _terminated(pod):
        if ended.reason == "OOMKilled":
            limit = _limits(state.job).get("memory", "the node's")
            return PodEnd(
                f"pod {name} was killed as it used more memory than its limit, {limit}; raise"
                " compute.memory, or hold less at once (of a trainer: lower batch_size or workers)"
            )
        if ended.exit_code in KILLED:
            return _lost(name, "Killed", f"exit code {ended.exit_code}")
        if ended.exit_code:
            message = f": {ended.message}" if ended.message else ""
            return PodEnd(
                f"pod {name} exited with code {ended.exit_code} before its step"
                f" ended{message}; see 'kubectl logs {name}'"
            )
    return PodEnd(f"the Job {state.name} failed; see 'kubectl describe pod {name}'")


def _lost(name: str, reason: str | None, message: str | None) -> PodEnd:
    why = ": ".join(part for part in (reason, message) if part) or "no reason is given"
    # of its own limits, which a second pod would exceed as well
    if message and "exceeds the" in message:
        return PodEnd(f"pod {name} was evicted: {message}; raise compute.ephemeral_storage")
    return PodEnd(f"pod {name} was taken off its node: {why}", lost=True)


def _deadline(state: PodState) -> str:
    """Return why a Job passed its deadline; its pods are removed by then, their events are not."""
    seconds = state.job.spec.active_deadline_seconds
    found = {event.reason: event for event in state.events}
    waited = found.get("FailedScheduling")
    if waited is not None and "Scheduled" not in found:
        return (
            f"no node took the pod of {state.name} within the deadline of {seconds} seconds:"
            f" {waited.message}; {_wanted(state)}: ask for less, add such a node, or raise"
            " compute.deadline"
        )
    stuck = why_waiting(state) or next(
        (f"{e.reason}: {e.message}" for e in reversed(state.events) if e.type == "Warning"), None
    )
    because = f" ({stuck})" if stuck else ""
    return (
        f"the pod of {state.name} did not end within its deadline of {seconds} seconds{because};"
        " raise compute.deadline"
    )


def _wanted(state: PodState) -> str:
    """Return in words what nodes a pod can be on."""
    container = state.job.spec.template.spec.containers[0]
    requests = dict((container.resources.requests if container.resources else None) or {})
    wanted = {**requests, **_limits(state.job)}
    asked = ", ".join(f"{name} {amount}" for name, amount in sorted(wanted.items()))
    selector: Mapping[str, str] = state.job.spec.template.spec.node_selector or {}
    nodes = ", ".join(f"{name}={value}" for name, value in sorted(selector.items()))
    on = f" on a node with {nodes}" if nodes else ""
    return f"it asks for {asked or 'no resources'}{on}"


def _limits(job: Any) -> Mapping[str, str]:
    resources = job.spec.template.spec.containers[0].resources
    return (resources.limits if resources else None) or {}


def _condition(job: Any, kind: str) -> str | None:
    """Return the reason of a condition of a Job that is true."""
    for condition in (job.status.conditions if job.status else None) or []:
        if condition.type == kind and condition.status == "True":
            return str(condition.reason)
    return None


def _newest(pods: Iterable[Any]) -> Any | None:
    dated = [pod for pod in pods if pod.metadata.creation_timestamp is not None]
    return max(dated, key=lambda pod: pod.metadata.creation_timestamp, default=None)


def _statuses(pod: Any) -> Iterator[Any]:
    yield from pod.status.init_container_statuses or []
    yield from pod.status.container_statuses or []


def _waiting(pod: Any) -> Iterator[Any]:
    return (each.state.waiting for each in _statuses(pod) if each.state and each.state.waiting)


def _terminated(pod: Any) -> Iterator[Any]:
    return (
        each.state.terminated for each in _statuses(pod) if each.state and each.state.terminated
    )
