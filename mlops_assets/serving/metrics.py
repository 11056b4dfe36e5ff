"""Metrics of a server in the format of Prometheus.

Labels have few values: models and versions that are served, statuses, and names of principals.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from mlops_assets.serving.sessions.interface import Repository, RequestLogger
from mlops_assets.serving.workers import Workers

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
MAX_CALLERS = 200  # names of callers; those of more are counted as one
OTHERS = "others"
# seconds: a small network takes 1 ms, a window of a large one seconds
BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


def visible_text(registry: CollectorRegistry, sees: Callable[[str, str | None], bool]) -> bytes:
    """Return metrics as text, without the samples of models that a caller may not see.

    Args:
        registry: has the metrics; their label of a model is `model`, of its version `version`.
        sees: whether the caller may see a version of a model, or any of its versions.
    """
    return generate_latest(_Visible(registry, sees))  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of an inference request.

    Attributes:
        model: that the caller has named.
        version: that has answered; empty if none has.
        caller: name of the principal.
        status: of HTTP.
        seconds: from the complete request to its answer.
    """

    model: str
    version: str
    caller: str
    status: int
    seconds: float


class ServerMetrics:
    """What is counted, and read at each scrape."""

    def __init__(
        self, repository: Repository, logger: RequestLogger | None, workers: Workers
    ) -> None:
        """Count nothing yet.

        Args:
            repository: models that are served.
            logger: of requests, whose drops are counted.
            workers: that answer requests.
        """
        self._repository = repository
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "mlops_requests",
            "Inference requests.",
            ("model", "version", "caller", "status"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "mlops_request_seconds",
            "Seconds from a complete inference request to its answer.",
            ("model", "version"),
            buckets=BUCKETS,
            registry=self._registry,
        )
        Gauge(
            "mlops_requests_in_progress",
            "Inference requests that are answered or wait.",
            registry=self._registry,
        ).set_function(lambda: workers.taken)
        self._registry.register(_Scraped(repository, logger))
        self._callers: set[str] = set()
        self._counters: dict[tuple[str, str, str, int], Counter] = {}
        self._histograms: dict[tuple[str, str], Histogram] = {}

    def count(self, outcome: Outcome) -> None:
        """Count a request; one for a model that is not served has no model."""
        # callers must not be able to multiply labels
        is_served = outcome.version or outcome.model in self._repository.names()
        model = outcome.model if is_served else ""
        key = (model, outcome.version, self._caller(outcome.caller), outcome.status)
        counter = self._counters.get(key)
        if counter is None:
            counter = self._counters[key] = self._requests.labels(*key)
        counter.inc()
        if not outcome.version:
            return
        histogram = self._histograms.get(key[:2])
        if histogram is None:
            histogram = self._histograms[key[:2]] = self._seconds.labels(*key[:2])
        histogram.observe(outcome.seconds)

    def text(self, sees: Callable[[str, str | None], bool]) -> bytes:
        """Return the metrics of the models that a caller may see.

        Args:
            sees: whether the caller may see a version of a model, or any of its versions.
        """
        return visible_text(self._registry, sees)

    def _caller(self, name: str) -> str:
        if name not in self._callers:
            if len(self._callers) >= MAX_CALLERS:
                return OTHERS
            self._callers.add(name)
        return name


class _Scraped(Collector):
    """What is known without counting: the state of the models, and drops of the log."""

    def __init__(self, repository: Repository, logger: RequestLogger | None) -> None:
        self._repository = repository
        self._logger = logger

    def collect(self) -> Iterator[Metric]:
        """Return what is the case at present."""
        loaded = GaugeMetricFamily(
            "mlops_loaded", "Model versions that are loaded.", labels=("model", "version")
        )
        ready = GaugeMetricFamily(
            "mlops_ready", "Whether all of a model is loaded as declared.", labels=("model",)
        )
        for name in self._repository.names():
            states = self._repository.status(name)
            for version in self._repository.versions(name):
                loaded.add_metric((name, version), 1)
            well = all(state.ready and state.reason is None for state in states)
            ready.add_metric((name,), float(well))
        yield loaded
        yield ready
        dropped = CounterMetricFamily(
            "mlops_log_dropped", "Requests that the log has dropped.", labels=("model",)
        )
        for name, count in (self._logger.dropped() if self._logger else {}).items():
            dropped.add_metric((name,), count)
        yield dropped


class _Visible:
    """A registry as one caller may see it."""

    def __init__(
        self, registry: CollectorRegistry, sees: Callable[[str, str | None], bool]
    ) -> None:
        self._registry = registry
        self._sees = sees

    def collect(self) -> Iterator[Metric]:
        """Return metrics without the samples of hidden models."""
        for metric in self._registry.collect():
            metric.samples = [sample for sample in metric.samples if self._shows(sample.labels)]
            yield metric

    def _shows(self, labels: dict[str, str]) -> bool:
        model = labels.get("model")
        return not model or self._sees(model, labels.get("version") or None)
