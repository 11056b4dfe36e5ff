"""A monitored day as Dagster's events state it. Nothing is computed here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlops_assets.components.events.presentation import figure_markdown, file_metadata
from mlops_assets.components.naming import check_results
from mlops_assets.datasets.quality import Check
from mlops_assets.names import Reference
from mlops_assets.paths import monitoring_key, monitoring_owner, truth_key
from mlops_assets.serving.specification import Monitor
from mlops_assets.text.markup import plain, table

if TYPE_CHECKING:
    from dagster._core.definitions.metadata import RawMetadataValue

    from mlops_assets.monitoring.alarms import AlarmChange
    from mlops_assets.monitoring.document import MonitoringDocument, Rule, VersionDay
    from mlops_assets.storage import FileStat
    from mlops_assets.store import Store

# data version of a day without a file
NOTHING = "none"
# rule → its check's description
CHECK_DESCRIPTIONS = {
    name: f"{field.description} A warning may mean that it could not be decided."
    for name, field in Monitor.model_fields.items()
    if name.startswith("max_")
}


def log_result(
    store: Store, model: str, day: str, file: FileStat | None, removed: Sequence[str]
) -> dg.MaterializeResult[Any]:
    """Return the result of a compacted day.

    Args:
        store: workspace and registry.
        model: its name.
        day: `YYYY-MM-DD`, UTC.
        file: the requests of the day; None if there are none.
        removed: days whose requests were removed, as they are older than they are kept for.
    """
    from mlops_assets.serving.request_log.day_file import dropped_on
    from mlops_assets.serving.request_log.read import read_day

    samples = [] if file is None else read_day(store, model, day)
    by_version = {own.version: len(own) for own in samples}
    return dg.MaterializeResult(
        data_version=dg.DataVersion(NOTHING if file is None else file.sha256),
        metadata={
            "dagster/row_count": sum(by_version.values()),
            "samples_by_version": dg.MetadataValue.json(by_version),
            "dropped_requests": dropped_on(store, model, day),
            "removed_days": ", ".join(removed) or "none",
            **({} if file is None else file_metadata(store.workspace, [file])),
        },
    )


def truth_result(store: Store, model: str, day: str) -> dg.MaterializeResult[Any]:
    """Return the result of the labels of a day.

    Args:
        store: workspace and registry.
        model: its name.
        day: `YYYY-MM-DD`, UTC.
    """
    from mlops_assets.monitoring.truth.stored import read_truth
    from mlops_assets.serving.request_log.read import read_day

    truth = read_truth(store, model, day)
    files = store.registry.files_at(truth_key(model, day))
    samples = sum(map(len, read_day(store, model, day)))
    labels = 0 if truth is None else len(truth)
    return dg.MaterializeResult(
        data_version=dg.DataVersion(files[0].sha256 if files else NOTHING),
        metadata={
            "labels": labels,
            "samples": samples,
            **({"coverage": labels / samples} if samples else {}),
            **file_metadata(store.workspace, files),
        },
    )


def monitoring_result(
    store: Store,
    document: MonitoringDocument,
    rules: Sequence[str],
    changes: Sequence[AlarmChange],
) -> dg.MaterializeResult[Any]:
    """Return the result of a monitored day, with a check for each rule.

    Args:
        store: workspace and registry.
        document: of the day, as published.
        rules: that have a limit.
        changes: of alarms.
    """
    from mlops_assets.monitoring.report.page import CAPTIONS, figure_name, summary
    from mlops_assets.registry.files.verified_read import read_published

    model, day = document.model, document.day
    files = store.registry.files(monitoring_owner(model, day))
    by_path = {file.path: file for file in files}
    main = [monitoring_key(model, day), monitoring_key(model, day, "report.html")]
    figures: dict[str, RawMetadataValue] = {}
    if document.versions:
        for name, caption in CAPTIONS.items():
            key = monitoring_key(model, day, figure_name(document.versions[0].version, name))
            if key in by_path:
                png = read_published(store.workspace, store.registry, key)
                figures[name] = figure_markdown(png, caption)
    return dg.MaterializeResult(
        data_version=dg.DataVersion(by_path[main[0]].sha256),
        metadata={
            "summary": summary(document),
            "alarms": "; ".join(f"{own.alarm.rule} {own.change}" for own in changes) or "no change",
            **(_numbers(document.versions[0]) if document.versions else {}),
            "versions": dg.MetadataValue.md(_versions_table(document)),
            **figures,
            **file_metadata(store.workspace, [by_path[key] for key in main]),
        },
        check_results=check_results(_checks(document, rules)),
    )


def _numbers(version: VersionDay) -> dict[str, RawMetadataValue]:
    """Return the headline numbers of the version with most requests, which Dagster plots."""
    numbers: dict[str, float | None] = {
        "requests": version.requests,
        "outside": None if version.outside is None else version.outside.share,
        "psi": None if version.drift is None else version.drift.day.psi,
        "separation": None if version.drift is None else version.drift.day.separation,
        "prediction_shift": None if version.drift is None else version.drift.day.prediction_shift,
        "invalid": None if version.quality is None else version.quality.invalid,
        **{f"latency_{name}_ms": value for name, value in version.latency_ms.items()},
        **_metrics(version),
    }
    return {
        "model_version": version.version,
        "data_version": version.data_version,
        "code_version": version.code_version,
        **{name: value for name, value in numbers.items() if value is not None},
    }


def _metrics(version: VersionDay) -> dict[str, float | None]:
    """Return the live metrics and the estimate of a version."""
    found: dict[str, float | None] = {}
    if version.live is not None:
        found |= {f"live_{name}": own.value for name, own in version.live.metrics.items()}
        found["labels"] = version.live.samples
    estimate = version.estimate
    if estimate is not None and estimate.value is not None:
        found[f"estimated_{estimate.metric}"] = estimate.value.value
        found["not_estimable"] = estimate.not_estimable
    return found


def _versions_table(document: MonitoringDocument) -> str:
    rows = [
        [
            plain(f"{document.model}@{own.version}"),
            plain(own.data_version),
            plain(own.code_version[:12]),
            str(own.requests),
            ", ".join(rule.name for rule in own.rules if rule.verdict == "failed") or "none",
        ]
        for own in document.versions
    ]
    return table(["model version", "data version", "code", "requests", "failed rules"], rows)


def _checks(document: MonitoringDocument, rules: Sequence[str]) -> Iterator[Check]:
    """Yield the check of each rule: its worst outcome over the versions.

    What could not be decided is a warning, as everywhere in the graph.
    """
    found = document.outcomes()
    for name in rules:
        rule = found.get(name)
        if rule is None:
            yield Check(name, False, "not known: no request was logged on this day", False)
        else:
            yield _check(rule)


def _check(rule: Rule) -> Check:
    known = {"value": rule.value, "limit": rule.limit}
    values: dict[str, Any] = {name: value for name, value in known.items() if value is not None}
    blocking = rule.verdict == "failed"
    return Check(rule.name, rule.verdict == "passed", rule.text, blocking, values)


def observations_of(document: MonitoringDocument) -> Iterator[dg.AssetObservation]:
    """Yield the events by which records of model versions have how they did on a day.

    Args:
        document: of the day.
    """
    for version in document.versions:
        found: dict[str, float | None] = {
            "requests": version.requests,
            "outside": None if version.outside is None else version.outside.share,
            **_metrics(version),
        }
        yield dg.AssetObservation(
            [document.model, "record"],
            description=f"Monitored on {document.day}",
            partition=Reference.parse(version.data_version).what,
            metadata={
                "model_version": version.version,
                "day": document.day,
                **{name: value for name, value in found.items() if value is not None},
            },
        )
