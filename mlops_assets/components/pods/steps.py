"""Launch and health of the pods of steps."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from dagster._core.events import DagsterEvent, EngineEventData
from dagster._core.execution.plan.objects import StepRetryData
from dagster._core.executor.step_delegating import CheckStepHealthResult, StepHandlerContext
from dagster_k8s.container_context import K8sContainerContext
from dagster_k8s.executor import K8sStepHandler
from dagster_shared.error import SerializableErrorInfo
from kubernetes.client import ApiException

from mlops_assets.components.graph.pods import requested_pod
from mlops_assets.components.graph.retries import MAX_LOST_PODS
from mlops_assets.components.pods.fate import PodState, why_failed, why_waiting

# after which a pod is replaced; the cluster may be taking its node down
SECONDS_TO_WAIT = 10

log = logging.getLogger(__name__)


class PodSteps(K8sStepHandler):
    """Starts a pod for each step as dagster-k8s does.

    What the tag `mlops/compute` of a run asks for is in the pod; a pod that the cluster took away
    is replaced a few times; and the run's log has the reasons of pods that wait or failed.
    """

    @property
    def name(self) -> str:
        """The name that the log of a run has."""
        return "PodSteps"

    def _get_container_context(
        self, step_handler_context: StepHandlerContext
    ) -> K8sContainerContext:
        return super()._get_container_context(_RequestedPods(step_handler_context))

    def check_step_health(self, step_handler_context: StepHandlerContext) -> CheckStepHealthResult:
        """Return whether a step may still end by itself, or is about to be started again."""
        found = super().check_step_health(step_handler_context)
        state = self._state(step_handler_context, failed=not found.is_healthy)
        if state is None:
            return found
        if found.is_healthy:
            self._report(step_handler_context, why_waiting(state))
            return found
        ended = why_failed(state)
        if not ended.lost:
            return CheckStepHealthResult.unhealthy(ended.reason)
        attempt = self._attempt(step_handler_context)
        if attempt >= MAX_LOST_PODS:
            times = f"{attempt + 1} pods were lost; run it again where pods are not taken away"
            return CheckStepHealthResult.unhealthy(f"{ended.reason}; {times}")
        step = step_handler_context.get_step_context(self._get_step_key(step_handler_context))
        # the executor reads it from the log of the run, as it reads those of steps themselves; so
        # it does for a run that continues in a new pod of its own
        error = SerializableErrorInfo(f"{ended.reason}; the step is started again", [], None)
        retry = StepRetryData(error, SECONDS_TO_WAIT)  # type: ignore[no-untyped-call]
        DagsterEvent.step_retry_event(step, retry)
        return CheckStepHealthResult.healthy()

    def _attempt(self, context: StepHandlerContext) -> int:
        """Return how often the step was started again."""
        state = context.execute_step_args.known_state
        if state is None:
            return 0
        return state.get_retry_state().get_attempt_count(self._get_step_key(context))

    def _state(self, context: StepHandlerContext, *, failed: bool) -> PodState | None:
        """Return what the cluster knows about the Job of a step; None if it does not answer that.

        The service account may read Jobs, but not events, for example. Events are read of failed
        ones only, as there are many.
        """
        name = self._get_k8s_step_job_name(context)
        namespace = self._get_container_context(context).namespace
        client = self._api_client
        try:
            job = client.batch_api.read_namespaced_job(name, namespace)
            pods = client.get_pods_in_job(name, namespace)
            selector = "involvedObject.kind=Pod"
            listed = client.core_api.list_namespaced_event if failed else None
            events = listed(namespace, field_selector=selector).items if listed else []
        except ApiException as error:
            log.warning("the reason of the state of %s is not known: %s", name, error.reason)
            return None
        # pods of a Job have its name and a few letters
        own = [e for e in events if (e.involved_object.name or "").startswith(f"{name}-")]
        own.sort(key=lambda event: str(event.last_timestamp or event.event_time or ""))
        return PodState(job, pods, own)

    def _report(self, context: StepHandlerContext, waiting: str | None) -> None:
        """Put why a pod waits into the log of the run, unless it is there."""
        key = self._get_step_key(context)
        if waiting is None or self._reported.get(key) == waiting:
            return
        self._reported[key] = waiting
        step = context.get_step_context(key)
        DagsterEvent.engine_event(step, f"The pod of {key} {waiting}", EngineEventData())

    @property
    def _reported(self) -> dict[str, str]:
        """The reason of each waiting step that was reported last."""
        found: dict[str, str] = self.__dict__.setdefault("_reasons", {})
        return found


class _RequestedPods(StepHandlerContext):
    """The context of a step whose tags have the pod that the run asks for."""

    def __init__(self, context: StepHandlerContext) -> None:
        # of the same run and step: all of its state
        self.__dict__.update(context.__dict__)

    @property
    def step_tags(self) -> Mapping[str, Mapping[str, str]]:
        run_tags = self.dagster_run.tags
        return {key: requested_pod(tags, run_tags) for key, tags in super().step_tags.items()}
