"""The monitored day: from the request log, labels and maps of a model to its published document.

What is measured is in `version_day`, what is drawn in `report`, and limits are in `rules`.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mlops_assets import __version__
from mlops_assets.datasets.versions.documents import json_bytes
from mlops_assets.errors import Conflict, Forbidden, NotFound, SpecificationError
from mlops_assets.monitoring.document import MonitoringDocument
from mlops_assets.monitoring.documents import last_days, read_documents
from mlops_assets.monitoring.report.page import figure_name, page
from mlops_assets.monitoring.truth.stored import Truth, read_truth
from mlops_assets.monitoring.version_day import (
    LoggedDay,
    MeasuredVersion,
    input_keys,
    measure_version_day,
    metrics_on_test,
)
from mlops_assets.monitoring.visible import hidden_versions
from mlops_assets.names import Reference
from mlops_assets.paths import monitoring_key, monitoring_owner, requests_key, truth_key
from mlops_assets.principals import Role
from mlops_assets.progress import step
from mlops_assets.registry import Map
from mlops_assets.registry.files.publication import publication
from mlops_assets.registry.records.maps import MapFilter
from mlops_assets.registry.session import drop_files, record_files
from mlops_assets.serving.request_log.compact import compact_day
from mlops_assets.serving.request_log.day_file import check_day, dropped_on
from mlops_assets.serving.request_log.read import read_day
from mlops_assets.serving.request_log.samples import LoggedSamples
from mlops_assets.serving.specification import Monitor, ServiceSpecification
from mlops_assets.store import Store

if TYPE_CHECKING:
    from mlops_assets.monitoring.report.figures import MetricDay

# a day is measured again if requests or labels come meanwhile
ATTEMPTS = 3
# of the figure of the metric
HISTORY_DAYS = 30
SOFTWARE = ("numpy", "scipy", "scikit-learn", "onnxruntime")


def monitor_day(store: Store, specification: ServiceSpecification, day: str) -> MonitoringDocument:
    """Measure how the versions of a model did on a day, and publish that with its report.

    The same requests, labels and maps give the same document, byte for byte.

    Args:
        store: workspace and registry.
        specification: the service as declared.
        day: `YYYY-MM-DD`, UTC; today is measured as far as it has come.

    Returns:
        The published document; of a day without requests and maps it has no version. That of a day
        whose requests were removed since, as they are old, is kept as it is.

    Raises:
        NameRefused: it is not a day.
        SpecificationError: it is in the future.
        Conflict: requests or labels of the day change faster than it is measured.
        Forbidden: the principal may not publish, or not see a version that was used on the day.
        IntegrityError: a file that it is made from is not as it was published.
        StorageError: one cannot be read, or the report not be written.
    """
    model = specification.model
    require_past(day)
    store.registry.principal.require(Role.SCIENTIST, f"monitor {model} on {day}")
    with step(f"monitoring {model} on {day}"):
        compact_day(store, model, day)
        if (kept := _document_of_removed(store, model, day)) is not None:
            return kept
        _require_visible(store, model, day)
        keys = [requests_key(model, day), truth_key(model, day)]
        for _ in range(ATTEMPTS):
            before = _checksums(store, keys)
            measured = _measured(store, specification.monitor, model, day)
            if _checksums(store, keys) == before:
                break
        else:
            raise Conflict(
                f"requests or labels of {model} on {day} change while the day is measured; monitor"
                " it again"
            )
        document = _document(store, model, day, measured)
        _publish(store, document, measured, specification.monitor)
    return document


def require_past(day: str) -> None:
    """Make sure that a day has begun, in UTC.

    Args:
        day: `YYYY-MM-DD`.

    Raises:
        NameRefused: it is not a day.
        SpecificationError: it is in the future.
    """
    if check_day(day) > datetime.now(UTC).date().isoformat():
        raise SpecificationError(f"{day} is in the future; monitor today (UTC) or a day before")


def _document_of_removed(store: Store, model: str, day: str) -> MonitoringDocument | None:
    """Return the document of a day whose requests are removed; None if they are not."""
    key = requests_key(model, day)
    if store.registry.files_at(key):
        return None
    document = read_documents(store, model, [day]).get(day)
    return document if document is not None and key in document.inputs else None


def _require_visible(store: Store, model: str, day: str) -> None:
    """Make sure that the principal sees all versions of a day, as its document is of all.

    Raises:
        Forbidden: there is another one.
    """
    hidden = hidden_versions(store, model)
    if not hidden:
        return
    whole = replace(store, registry=store.registry.unrestricted())
    used = {own.version for own in read_day(whole, model, day)}
    used |= {made.version for made in whole.registry.maps(MapFilter(model=model, day=day))}
    if used & hidden:
        raise Forbidden(
            f"{model} had versions in use on {day} that you may not see; ask an operator to"
            " monitor the day"
        )


def _measured(store: Store, monitor: Monitor, model: str, day: str) -> list[MeasuredVersion]:
    """Return the versions that were served or have made maps, that with most requests first."""
    truth = read_truth(store, model, day)
    samples = {own.version: own for own in read_day(store, model, day)}
    maps: dict[str, list[Map]] = {}
    for made in store.registry.maps(MapFilter(model=model, day=day)):
        maps.setdefault(made.version, []).append(made)
    found = [
        measure_version_day(
            store, _logged(store, Reference(model, name), samples.get(name), truth, maps), monitor
        )
        for name in sorted(samples.keys() | maps.keys())
    ]
    return sorted(found, key=lambda own: -own.day.requests)


def _logged(
    store: Store,
    reference: Reference,
    samples: LoggedSamples | None,
    truth: Truth | None,
    maps: Mapping[str, Sequence[Map]],
) -> LoggedDay:
    row = store.registry.model_version(reference)
    return LoggedDay(row, samples, truth, maps.get(row.version, []))


def _document(
    store: Store, model: str, day: str, measured: Sequence[MeasuredVersion]
) -> MonitoringDocument:
    keys = [requests_key(model, day), truth_key(model, day)]
    for own in measured:
        maps = store.registry.maps(MapFilter(model=model, version=own.row.version, day=day))
        keys += input_keys(own.row, maps)
    versions = {name: importlib.metadata.version(name) for name in SOFTWARE}
    return MonitoringDocument(
        model=model,
        day=day,
        software={"mlops_assets": __version__, **versions},
        inputs=_checksums(store, keys),
        dropped=dropped_on(store, model, day),
        versions=[own.day for own in measured],
    )


def _checksums(store: Store, keys: Sequence[str]) -> dict[str, str]:
    """Return path → sha256 of those that are published."""
    return {file.path: file.sha256 for file in store.registry.files_at(*sorted(keys))}


def _publish(
    store: Store,
    document: MonitoringDocument,
    measured: Sequence[MeasuredVersion],
    monitor: Monitor,
) -> None:
    """Publish a document with its figures and page in place of those of the day before."""
    from mlops_assets.monitoring.report.draw import draw_figures

    model, day = document.model, document.day
    history = _history(store, document)
    figures = {own.row.version: draw_figures(own, monitor, history) for own in measured}
    tests = {own.row.version: metrics_on_test(own.row) for own in measured}
    contents = {
        monitoring_key(model, day): json_bytes(document.model_dump(mode="json")),
        monitoring_key(model, day, "report.html"): page(document, figures, tests).encode(),
        **{
            monitoring_key(model, day, figure_name(version, name)): png
            for version, drawn in figures.items()
            for name, png in drawn.items()
        },
    }
    owner = monitoring_owner(model, day)
    former = {file.path for file in store.registry.files(owner)}
    with publication(store.workspace, store.registry) as publishing:
        publishing.put_all(contents)
        with store.registry.transaction("publish files", Role.SCIENTIST) as session:
            # figures of a version that has no request any more
            drop_files(session, sorted(former - contents.keys()))
            record_files(session, owner, publishing.files)


def _history(store: Store, document: MonitoringDocument) -> list[MetricDay]:
    """Return the metric of the last days, each of the version that had most requests then."""
    from mlops_assets.monitoring.report.draw import metric_day

    model, days = document.model, last_days(document.day, HISTORY_DAYS)
    found = {**read_documents(store, model, days), document.day: document}
    tests: dict[str, dict[str, float]] = {}
    history = []
    for day in days:
        version = next(iter(found[day].versions), None) if day in found else None
        if version is not None and version.version not in tests:
            tests[version.version] = _tests_of(store, Reference(model, version.version))
        history.append(metric_day(day, version, {} if version is None else tests[version.version]))
    return history


def _tests_of(store: Store, reference: Reference) -> dict[str, float]:
    """Return the test metrics of a version of a former day; none if it cannot be seen any more."""
    try:
        return metrics_on_test(store.registry.model_version(reference))
    except NotFound:
        return {}
