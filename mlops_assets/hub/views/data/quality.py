"""The quality report of a data version: checks, class shares, values of bands."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from pydantic import BaseModel, JsonValue

from mlops_assets.errors import NotFound
from mlops_assets.hub.views.data.checks import (
    CheckOutcome,
    QualityState,
    check_outcomes,
    report_in,
)
from mlops_assets.hub.views.data.published import PublishedFile, file_of
from mlops_assets.names import Reference
from mlops_assets.processing.declared_datasets import DeclaredDatasets
from mlops_assets.registry import DataVersion
from mlops_assets.store import Store

MAX_BANDS = 500


@dataclass(frozen=True)
class QualityView:
    """The quality report of a data version.

    Attributes:
        reference: `dataset@version`.
        state: of the checks together.
        checks: their outcomes, by the thresholds that are declared now.
        thresholds: by which they were judged when the version was assessed.
        read: split → samples that were read.
        left_out: reason → samples in no split.
        figures: names of the figures.
        bands: number of bands or features.
        suspects: labels that are probably wrong; None if that cannot be estimated.
        notes: remarks of the commit.
    """

    reference: str
    state: QualityState
    checks: list[CheckOutcome]
    thresholds: dict[str, JsonValue]
    read: dict[str, int]
    left_out: dict[str, int]
    figures: list[str]
    bands: int
    suspects: int | None
    notes: list[str]


class Histogram(BaseModel, frozen=True):
    """Number of values in bins of equal width between the two edges."""

    edges: list[float | None]
    counts: list[int]


class BandStatistics(BaseModel, frozen=True):
    """The values of one band or feature in training.

    Attributes:
        name: of the band.
        missing: share of values that are not finite.
        nodata: share of values that are nodata, or hidden.
        saturated: share of saturated values.
        percentiles: percentage → value.
        histogram: of the values between the percentiles 0.5 and 99.5.
    """

    name: str
    missing: float | None = None
    nodata: float | None = None
    saturated: float | None = None
    percentiles: dict[str, float | None] = {}
    histogram: Histogram | None = None


class _Values(BaseModel, frozen=True):
    bands: list[BandStatistics] = []
    drawn: int = 0
    split: str = "train"


class _Noise(BaseModel, frozen=True):
    suspects: int


class _Measured(BaseModel, frozen=True):
    """What is shown of a report; reports of earlier releases lack some."""

    values: _Values = _Values()
    read: dict[str, int] = {}
    left_out: dict[str, int] = {}
    label_noise: _Noise | None = None
    notes: list[str] = []


@dataclass(frozen=True)
class BandsView:
    """Values of the bands or features of a data version in one split.

    Attributes:
        reference: `dataset@version`.
        split: that was read.
        samples: number of samples that were read.
        total: number of bands.
        first: number of the first of these bands, from 1.
        bands: their values.
    """

    reference: str
    split: str
    samples: int
    total: int
    first: int
    bands: list[BandStatistics]


def quality(store: Store, declared: DeclaredDatasets, reference: Reference) -> QualityView:
    """Return the quality report of a data version.

    Raises:
        NotFound: there is no such version, or it was not assessed.
        IntegrityError: the report is not as it was published.
    """
    row = store.registry.data_version(reference)
    file = _report_of(store, row)
    checks = check_outcomes(store, row, file, declared.thresholds(row.dataset))
    report, measured = report_in(file), _measured(file)
    return QualityView(
        reference=f"{row.dataset}@{row.version}",
        state=QualityState.of(checks),
        checks=checks,
        thresholds=report.thresholds or {},
        read=measured.read,
        left_out=measured.left_out,
        figures=[name for name in report.figures if _figure_of(store, row, name)],
        bands=len(measured.values.bands),
        suspects=None if measured.label_noise is None else measured.label_noise.suspects,
        notes=measured.notes,
    )


def bands(store: Store, reference: Reference, first: int = 1, limit: int = MAX_BANDS) -> BandsView:
    """Return the values of some bands or features of a data version, of training samples.

    Args:
        store: has the report.
        reference: to the data version.
        first: number of the first band, from 1.
        limit: bands at most.

    Raises:
        NotFound: there is no such version, or it was not assessed.
        IntegrityError: the report is not as it was published.
    """
    row = store.registry.data_version(reference)
    values = _measured(_report_of(store, row)).values
    chosen = values.bands[first - 1 : first - 1 + limit]
    return BandsView(
        f"{row.dataset}@{row.version}",
        values.split,
        values.drawn,
        len(values.bands),
        first,
        chosen,
    )


def report_bytes(store: Store, reference: Reference) -> bytes:
    """Return the whole report, `quality.json`, as it was published.

    Raises:
        NotFound: there is no such version, or it was not assessed.
        IntegrityError: the report is not as it was published.
    """
    return _report_of(store, store.registry.data_version(reference)).content()


def figure_bytes(store: Store, reference: Reference, name: str) -> bytes:
    """Return a figure of the report of a data version, as PNG.

    Args:
        store: has it.
        reference: to the data version.
        name: of the figure, without its suffix.

    Raises:
        NotFound: there is no such version or figure.
        IntegrityError: it is not as it was published.
    """
    found = _figure_of(store, store.registry.data_version(reference), name)
    if found is None:
        raise NotFound(f"{reference} has no figure {name!r}")
    return found.content()


@lru_cache(maxsize=16)
def _measured(file: PublishedFile) -> _Measured:
    return _Measured.model_validate(report_in(file).model_extra or {})


def _report_of(store: Store, row: DataVersion) -> PublishedFile:
    """Return the report of a data version; NotFound if it was not assessed."""
    found = file_of(store, row, "quality.json")
    if found is None:
        reference = f"{row.dataset}@{row.version}"
        raise NotFound(f"{reference} was not assessed; run 'mlops dataset assess {reference}'")
    return found


def _figure_of(store: Store, row: DataVersion, name: str) -> PublishedFile | None:
    return file_of(store, row, f"figures/{name}.png")
