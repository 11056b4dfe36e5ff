"""Metrics of a hub, and of the platform as its registry has it, in the format of Prometheus.

Labels have few values: templates of paths, statuses, and names of models that the caller may see.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Generic, TypeVar

from nicegui import Client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics_core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from mlops_assets import __version__
from mlops_assets.errors import MlopsError
from mlops_assets.hub.operations.orchestration import OrchestrationTotals
from mlops_assets.hub.operations.readiness import WELL, ReadinessProbe
from mlops_assets.hub.operations.requests import RequestOutcome
from mlops_assets.registry.schema import SCHEMA_REVISION
from mlops_assets.registry.totals import Totals
from mlops_assets.serving.metrics import visible_text

# seconds: an API takes some milliseconds, a page up to a second, an upload minutes
BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 2.5, 5.0, 10.0, 60.0)
# Prometheus scrapes every 15 s to 60 s, and several may
KEPT_SECONDS = 15.0

T = TypeVar("T")
log = logging.getLogger(__name__)


@dataclass
class Kept(Generic[T]):
    """A value that is read at most once every `KEPT_SECONDS`.

    Attributes:
        read: reads it.
    """

    read: Callable[[], T]
    _value: tuple[float, T] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self) -> T | None:
        """Return the value; None if it cannot be read, so that its metrics are absent."""
        with self._lock:
            if self._value is None or time.monotonic() - self._value[0] > KEPT_SECONDS:
                try:
                    self._value = (time.monotonic(), self.read())
                except MlopsError as error:
                    log.warning("figures for metrics cannot be read: %s", error)
                    self._value = None
            return None if self._value is None else self._value[1]


class HubMetrics:
    """What is counted, and read at each scrape."""

    def __init__(
        self,
        totals: Callable[[], Totals],
        orchestration: Callable[[], OrchestrationTotals] | None,
        readiness: ReadinessProbe,
    ) -> None:
        """Count nothing yet.

        Args:
            totals: reads the figures of the registry.
            orchestration: reads those of Dagster; None for a hub without it.
            readiness: of what the hub relies on.
        """
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "mlops_hub_requests",
            "Requests to the hub.",
            ("method", "route", "status"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "mlops_hub_request_seconds",
            "Seconds until the response to a request was complete.",
            ("route",),
            buckets=BUCKETS,
            registry=self._registry,
        )
        self.registry_errors = Counter(
            "mlops_registry_errors", "Errors of the registry's database.", registry=self._registry
        )
        Gauge(
            "mlops_hub_open_pages", "Pages that are open in browsers.", registry=self._registry
        ).set_function(_open_pages)
        self._registry.register(
            _Scraped(Kept(totals), Kept(orchestration) if orchestration else None, readiness)
        )

    def count(self, outcome: RequestOutcome) -> None:
        """Count a request."""
        self._requests.labels(outcome.method, outcome.route, outcome.status).inc()
        self._seconds.labels(outcome.route).observe(outcome.seconds)

    def text(self, sees: Callable[[str, str | None], bool]) -> bytes:
        """Return the metrics, those of models only of the ones that a caller may see.

        Args:
            sees: whether the caller may see a version of a model, or any of its versions.
        """
        return visible_text(self._registry, sees)


class _Scraped(Collector):
    """What is known without counting."""

    def __init__(
        self,
        totals: Kept[Totals],
        orchestration: Kept[OrchestrationTotals] | None,
        readiness: ReadinessProbe,
    ) -> None:
        self._totals = totals
        self._orchestration = orchestration
        self._readiness = readiness

    def collect(self) -> Iterator[Metric]:
        """Return what is the case at present."""
        yield InfoMetricFamily(
            "mlops_build",
            "Release of this server and schema of its registry.",
            {"version": __version__, "schema": SCHEMA_REVISION},
        )
        up = GaugeMetricFamily(
            "mlops_hub_part_up", "Whether what the hub relies on answers.", labels=("part",)
        )
        for part, state in self._readiness.read().parts.items():
            up.add_metric((part,), float(state == WELL))
        yield up
        totals = self._totals.get()
        if totals is not None:
            yield from _of_registry(totals)
        found = self._orchestration.get() if self._orchestration else None
        if found is not None:
            yield from _of_dagster(found)


def _of_registry(totals: Totals) -> Iterator[Metric]:
    yield _by("mlops_runs", "Runs of training by status.", "status", totals.runs)
    yield GaugeMetricFamily(
        "mlops_data_versions", "Data versions.", value=float(totals.data_versions)
    )
    yield GaugeMetricFamily(
        "mlops_model_versions", "Model versions.", value=float(totals.model_versions)
    )
    yield GaugeMetricFamily(
        "mlops_hub_sessions", "People's sessions that have not expired.", value=totals.sessions
    )
    yield _by("mlops_alarms_open", "Alarms of monitoring that are open.", "model", totals.alarms)
    yield _by("mlops_webhook_messages", "Messages to webhooks.", "state", totals.messages)
    days = {model: _timestamp(day) for model, day in totals.monitored.items()}
    yield _by(
        "mlops_monitored_day_timestamp_seconds",
        "Start of the newest day that was monitored, as Unix time.",
        "model",
        {model: at for model, at in days.items() if at is not None},
    )


def _of_dagster(totals: OrchestrationTotals) -> Iterator[Metric]:
    yield _by("mlops_orchestration_runs", "Runs of Dagster by status.", "status", totals.runs)
    yield _by(
        "mlops_daemon_heartbeat_age_seconds",
        "Seconds since each of Dagster's daemons has last reported.",
        "daemon",
        {name: max(0.0, time.time() - at) for name, at in totals.heartbeats.items()},
    )


def _by(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=(label,))
    for key, value in sorted(values.items()):
        family.add_metric((key,), float(value))
    return family


def _timestamp(day: str) -> float | None:
    try:
        return datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


def _open_pages() -> float:
    return float(sum(each.has_socket_connection for each in list(Client.instances.values())))
