"""The quality report of a data version: the findings of the other modules as checks and files.

The same version gives the same files, byte for byte. Checks never change a data version.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops_assets.datasets.quality import report
from mlops_assets.datasets.quality.checks import (
    CHECKS,
    FORMAT,
    Check,
    Report,
    outcome,
    written_checks,
)
from mlops_assets.datasets.quality.content.places import places_of
from mlops_assets.datasets.quality.content.sample_values import SampleValues
from mlops_assets.datasets.quality.content.scan import Scan, scan
from mlops_assets.datasets.quality.content.values import band_values
from mlops_assets.datasets.quality.findings.balance import (
    committed_counts,
    counts_from,
    coverage_check,
    labels_check,
    no_counts,
    pixel_counts,
    sample_counts,
)
from mlops_assets.datasets.quality.findings.duplicates import exact_copies, near_copies
from mlops_assets.datasets.quality.findings.integrity import check_readable
from mlops_assets.datasets.quality.findings.leakage import declared_groups, find_leakage
from mlops_assets.datasets.quality.findings.neighbourhoods import suspects_in
from mlops_assets.datasets.quality.findings.separation import separation, separation_check
from mlops_assets.datasets.quality.findings.version_shift import VersionShift, measured_shift
from mlops_assets.datasets.quality.report import Findings
from mlops_assets.datasets.quality.verdict import Measurements, judge
from mlops_assets.datasets.specification.dataset import QualityThresholds
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.datasets.versions.documents import json_bytes
from mlops_assets.errors import IntegrityError, StorageError
from mlops_assets.paths import data_owner, version_folder
from mlops_assets.progress import step
from mlops_assets.registry import Registry
from mlops_assets.registry.files.publication import complete_publications, publication
from mlops_assets.registry.files.verified_read import read_published
from mlops_assets.storage import FileStat
from mlops_assets.text.json_values import JsonObject

# that another process may take to assess the same version
MAX_ASSESSING_SECONDS = 24 * 3600.0


@dataclass(frozen=True)
class QualityAssessment:
    """The findings on one data version, and the files they were written to.

    Attributes:
        statistics: mean, std, min and max of each feature on training samples; empty if files are
            damaged.
        counts: samples (of windows: pixels) by class and split.
        checks: the outcome of each of `CHECKS`; where files are damaged, none passes.
        files: `statistics.json`, `quality.json` and the figures.
        figures: PNGs by title.
    """

    statistics: dict[str, Any]
    counts: pd.DataFrame
    checks: list[Check]
    files: list[FileStat]
    figures: dict[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class _Report:
    """The measurements: `quality.json`, `statistics.json` and the figures by name."""

    document: JsonObject
    statistics: dict[str, Any]
    figures: dict[str, bytes]


def assess(
    registry: Registry, committed: CommittedDataset, thresholds: QualityThresholds | None = None
) -> QualityAssessment:
    """Assess a data version and publish what is found.

    The same version and thresholds give the same files. Of several processes that assess a version
    at once, one measures.

    Files are re-hashed every time. Measurements are reused from the report of this version, if it
    is as it was published and in the same format; they are judged again every time.

    Args:
        registry: where files are recorded.
        committed: the data version.
        thresholds: to judge by; by default as declared when the version was committed.

    Raises:
        Conflict: another process has been assessing this version for `MAX_ASSESSING_SECONDS`.
    """
    thresholds = thresholds or committed.specification.quality
    readable = check_readable(committed)
    if not readable.passed:
        rest = [
            outcome(name, False, "not assessed, as files are damaged")
            for name in CHECKS
            if name != "readable"
        ]
        return QualityAssessment({}, class_counts(committed, {}), [readable, *rest], [])
    # also where nothing is to be published below
    complete_publications(committed.workspace, registry)
    report = _published(registry, committed, thresholds)
    if report is None:
        # two models that train on a new version assess it at the same time
        lock = f"assess-{committed.row.dataset}-{committed.row.version}"
        with (
            step(f"assessing {committed.reference}"),
            registry.lock(lock, timeout=MAX_ASSESSING_SECONDS),
        ):
            report = _published(registry, committed, thresholds)
            if report is None:
                report = _measured(registry, committed, readable, thresholds)
    return _judged(registry, committed, report, readable, thresholds)


def _published(
    registry: Registry, committed: CommittedDataset, thresholds: QualityThresholds
) -> _Report | None:
    """Return the published report of this data version.

    It is None if it is of another format, is missing or was changed.

    `min_distance` is drawn in a figure, so that another value requires new measurements.
    """
    folder = version_folder(committed.row.dataset, committed.row.version)

    def read(name: str) -> bytes:
        return read_published(committed.workspace, registry, f"{folder}/{name}")

    try:
        found = Report.model_validate_json(read("quality.json"))
        if (found.format, found.digest) != (FORMAT, committed.row.digest):
            return None
        if found.thresholds is None or found.thresholds["min_distance"] != thresholds.min_distance:
            return None
        statistics = json.loads(read("statistics.json"))
        figures = {name: read(f"figures/{name}.png") for name in found.figures}
    except (StorageError, IntegrityError):
        return None
    return _Report(found.model_dump(mode="json"), statistics, figures)


def _measured(
    registry: Registry, committed: CommittedDataset, readable: Check, thresholds: QualityThresholds
) -> _Report:
    """Measure everything and publish it.

    The report has only those checks that no threshold decides.
    """
    samples = committed.samples
    kind = committed.document.input.kind
    splits: NDArray[np.object_] = samples["split"].to_numpy(dtype=object)
    places = places_of(samples, committed.manifest, committed.document.input)
    source = SampleValues(committed)
    found = scan(source)
    counts = class_counts(committed, found.pixels)
    compared, digests = _contents(committed, source, found)
    labels = samples["label"].iloc[compared] if kind != "window" and committed.classes else None
    exact = exact_copies(compared, digests, splits[compared], labels)
    near = near_copies(found.descriptors, found.digests, splits[found.positions])
    values = band_values(
        found.statistics, found.drawn.values, found.ceiling, committed.document.features
    )
    groups = declared_groups(samples, committed.manifest, committed.specification.split.method)
    leakage = find_leakage(splits, groups, places, committed.specification.split.method)
    apart = separation(places, splits, thresholds)
    suspects = suspects_in(committed, found, places, groups)
    checks = [
        readable,
        labels_check(samples["label"], committed.classes, counts),
        coverage_check(counts),
        separation_check(apart),
    ]
    statistics = {
        "split": "train",
        "samples": found.statistics.samples,
        "features": committed.document.features,
        **found.statistics.document(),
        **({"class_pixels": counts["train"].to_dict()} if kind == "window" else {}),
    }
    findings = Findings(counts, values, exact, near, leakage, apart, suspects)
    figures = report.figures(committed, findings, places, splits)
    document = report.document(committed, source, found, findings, checks)
    document |= {
        "format": FORMAT,
        "figures": list(figures),
        "thresholds": thresholds.model_dump(mode="json"),
    }
    measured = _Report(document, statistics, figures)
    _publish(registry, committed, _contents_of(measured))
    return measured


def _judged(
    registry: Registry,
    committed: CommittedDataset,
    found: _Report,
    readable: Check,
    thresholds: QualityThresholds,
) -> QualityAssessment:
    """Derive the checks from the measurements, and publish the report unless it is published."""
    document = dict(found.document)
    shift = VersionShift.model_validate(document["shift"]) if "shift" in document else None
    if shift is None or shift.not_compared:
        # it is compared by files that are published by now
        document["shift"] = report.rounded(measured_shift(registry, committed).model_dump())
    measured = Measurements.model_validate(document)
    written = written_checks(Report.model_validate(document))
    checks = [readable, *judge(measured, written, committed.classes, thresholds)]
    document["thresholds"] = thresholds.model_dump(mode="json")
    document["checks"] = report.check_entries(checks)
    if document != found.document:
        _publish(registry, committed, {"quality.json": json_bytes(document)})
    folder = version_folder(committed.row.dataset, committed.row.version)
    paths = [f"{folder}/{name}" for name in _contents_of(found)]
    files = {file.path: file for file in registry.files_at(*paths)}
    counts = counts_from(measured.class_counts.classes, committed.classes)
    return QualityAssessment(
        found.statistics, counts, checks, [files[path] for path in paths], found.figures
    )


def _contents_of(found: _Report) -> dict[str, bytes]:
    """Return the files of a report by their names, statistics first."""
    return {
        "statistics.json": json_bytes(found.statistics),
        "quality.json": json_bytes(found.document),
        **{f"figures/{name}.png": content for name, content in found.figures.items()},
    }


def _publish(
    registry: Registry, committed: CommittedDataset, contents: Mapping[str, bytes]
) -> None:
    folder = version_folder(committed.row.dataset, committed.row.version)
    with publication(committed.workspace, registry) as publishing:
        publishing.put_all({f"{folder}/{name}": content for name, content in contents.items()})
        registry.add_files(
            data_owner(committed.row.dataset, committed.row.version), publishing.files
        )


def _contents(
    committed: CommittedDataset, source: SampleValues, found: Scan
) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """Return positions of samples and digests of what is in them.

    All samples have one, if need be from the checksums of images.
    """
    if source.is_whole or source.kind != "image":
        return found.positions, found.digests
    positions = np.flatnonzero(committed.samples["split"].notna())
    checksums = committed.manifest.drop_duplicates("path").set_index("path")["sha256"]
    texts = committed.samples["path"].iloc[positions].map(checksums)
    return positions, np.array([int(text[:16], 16) for text in texts], dtype=np.uint64)


def class_counts(committed: CommittedDataset, pixels: dict[str, NDArray[np.int64]]) -> pd.DataFrame:
    """Return one row a class and one column a split, with counts; empty where labels are numbers.

    Args:
        committed: the data version.
        pixels: of windows, pixels of each class in each split that were read; those of all windows
            are taken where they were counted when the version was committed.
    """
    if committed.classes is None:
        return no_counts()
    if committed.document.input.kind == "window":
        counted = committed_counts(committed.document.summary)
        return pixel_counts(pixels, committed.classes) if counted is None else counted
    return sample_counts(committed.samples, committed.classes)
