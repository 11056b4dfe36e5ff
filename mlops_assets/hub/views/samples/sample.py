"""One sample: its place, label, values, and the file that it is from."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops_assets.datasets.quality.content.places import earth_centred
from mlops_assets.errors import NotFound, TrainingDataUnreadable
from mlops_assets.hub.views.samples.band_choice import Composite
from mlops_assets.hub.views.samples.opened import OpenVersion, open_version
from mlops_assets.hub.views.samples.pixels import Region, Sample, read_region, read_row
from mlops_assets.hub.views.samples.spread import spread_of
from mlops_assets.hub.views.samples.suspicion import Suspicion, suspicions_of
from mlops_assets.names import Reference
from mlops_assets.stac.asset_fields import bands
from mlops_assets.store import Store

LEFT_OUT = "left_out"  # of samples in no split, as counts call it
NEIGHBOURS = 6


@dataclass(frozen=True)
class SampleRow:
    """One sample in a list.

    Attributes:
        index: position in the samples of the version.
        path: file below the landing; of stacked files the first.
        row, column: of a table's row the row; centre of a patch; upper left pixel of a window; None
            of a whole image.
        split: `train`, `validation`, `test` or `left_out`.
        reason: why it is left out.
        label: name of the class, or the number; None of a window.
        value: the class in the data.
        group: what it stays together with.
        longitude, latitude: degrees (WGS 84) of its centre.
        time: ISO 8601, UTC.
        suspicion: why its label may be wrong; None if the report does not name it.
    """

    index: int
    path: str
    row: int | None
    column: int | None
    split: str
    reason: str | None
    label: str | float | None
    value: str | None
    group: str | None
    longitude: float | None
    latitude: float | None
    time: str | None
    suspicion: Suspicion | None = None

    @property
    def place(self) -> str:
        """Row and column, for people; empty of a whole image."""
        if self.row is None:
            return ""
        return f"row {self.row}" + ("" if self.column is None else f", column {self.column}")


@dataclass(frozen=True)
class BandValue:
    """The value of one band of a sample.

    Attributes:
        name: of the band or feature.
        value: of the centre pixel of a patch, the mean of a window or image, or of the row; None
            where there is no data.
        unit: as declared.
        wavelength: µm, as declared.
        low, median, high: 1st, 50th and 99th percentile of training, if the version was assessed.
    """

    name: str
    value: float | None
    unit: str | None
    wavelength: float | None
    low: float | None
    median: float | None
    high: float | None


@dataclass(frozen=True)
class SampleFile:
    """A file that a sample is read from.

    Attributes:
        path: below the landing.
        sha256: of its bytes.
        size: bytes.
        crs: coordinate reference system.
        dtype: type of its values.
    """

    path: str
    sha256: str
    size: int
    crs: str | None
    dtype: str | None


@dataclass(frozen=True)
class Neighbour:
    """A sample nearby.

    Attributes:
        sample: the sample.
        distance: from the sample that it is a neighbour of.
        unit: `px` within a scene, `m` on the ground.
    """

    sample: SampleRow
    distance: float
    unit: str


@dataclass(frozen=True)
class SampleDetail:
    """All that is known of one sample.

    Attributes:
        dataset: name of the dataset.
        version: the data version.
        kind: `row`, `patch`, `window` or `image`.
        samples: number of samples of the version.
        sample: the sample.
        files: what it is read from.
        composites: pictures that its bands allow.
        values: of all bands; empty if it cannot be read.
        problem: why it cannot be read.
        neighbours: the nearest other samples, nearest first.
    """

    dataset: str
    version: str
    kind: str
    samples: int
    sample: SampleRow
    files: list[SampleFile]
    composites: list[Composite]
    values: list[BandValue] = field(default_factory=list)
    problem: str | None = None
    neighbours: list[Neighbour] = field(default_factory=list)


def find_sample(version: OpenVersion, index: int) -> Sample:
    """Return a sample by its position.

    Raises:
        NotFound: there is no such sample.
    """
    samples = version.committed.samples
    if not 0 <= index < len(samples):
        raise NotFound(
            f"{version.committed.reference} has no sample {index}; it has {len(samples)}, counted"
            " from 0"
        )
    return Sample(version, index, samples.iloc[index])


def sample_rows(version: OpenVersion, positions: NDArray[np.int64]) -> list[SampleRow]:
    """Return samples as a list has them.

    Args:
        version: the data version.
        positions: of the samples.
    """
    samples = version.committed.samples.iloc[positions]
    kind = version.committed.document.input.kind
    suspicions = suspicions_of(version).named
    numbers = version.committed.classes is None
    return [
        SampleRow(
            index=index,
            path=str(one["path"]),
            row=None if kind == "image" else int(one["row"]),
            column=int(one["column"]) if kind in ("patch", "window") else None,
            split=_text(one["split"]) or LEFT_OUT,
            reason=_text(one["reason"]),
            label=_number(one["label"]) if numbers else _class_name(version, one["label"]),
            value=None if numbers else _text(one["label"]),
            group=_text(one["group"]),
            longitude=_number(one["longitude"]),
            latitude=_number(one["latitude"]),
            time=None if pd.isna(one["time"]) else pd.Timestamp(one["time"]).isoformat(),
            suspicion=suspicions.get(index),
        )
        for index, one in zip(positions.tolist(), samples.to_dict("records"), strict=True)
    ]


def sample_detail(store: Store, reference: Reference, index: int) -> SampleDetail:
    """Return all that is known of one sample; of one that cannot be read, why.

    Args:
        store: of the caller.
        reference: to the data version.
        index: position of the sample.

    Raises:
        NotFound: no such version or sample.
    """
    version = open_version(store, reference)
    sample = find_sample(version, index)
    committed = version.committed
    problem = None
    values: list[BandValue] = []
    try:
        values = _band_values(sample)
    except TrainingDataUnreadable as error:
        problem = str(error)
    return SampleDetail(
        dataset=committed.row.dataset,
        version=committed.row.version,
        kind=sample.kind,
        samples=len(committed.samples),
        sample=sample_rows(version, np.array([index]))[0],
        files=_files(sample),
        composites=version.composites,
        values=values,
        problem=problem,
        neighbours=_neighbours(sample),
    )


def _class_name(version: OpenVersion, value: object) -> str | None:
    text = _text(value)
    return None if text is None else version.names.get(text, text)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, float) and np.isfinite(value) else None


def _band_values(sample: Sample) -> list[BandValue]:
    committed = sample.committed
    found = read_row(sample) if sample.kind == "row" else _spectrum(sample)
    spread = spread_of(sample.version)
    nothing = np.full(len(found), np.nan)
    low, median, high = (
        (nothing, nothing, nothing) if spread is None else (spread.low, spread.median, spread.high)
    )
    return [
        BandValue(
            name=str(band["name"]),
            value=_number(float(found[i])),
            unit=_text(band.get("unit")),
            wavelength=_number(band.get("eo:center_wavelength")),
            low=_number(float(low[i])),
            median=_number(float(median[i])),
            high=_number(float(high[i])),
        )
        for i, band in enumerate(bands(committed))
    ]


def _spectrum(sample: Sample) -> NDArray[np.float64]:
    """Return the centre pixel of a patch, or the mean of the pixels with data, of each band."""
    every = range(len(sample.committed.document.features))
    sides = sample.committed.document.input.sides
    row, column = sample.place
    if sample.kind == "patch":
        return read_region(sample, Region(row, column, 1, 1), every)[:, 0, 0].astype(np.float64)
    means = []
    for band in every:  # one by one, as a large image of many bands would not fit memory
        pixels = read_region(sample, Region(row, column, sides[0], sides[1]), [band])
        known = pixels[np.isfinite(pixels)]
        means.append(float(known.mean(dtype=np.float64)) if len(known) else np.nan)
    return np.array(means)


def _files(sample: Sample) -> list[SampleFile]:
    committed, path = sample.committed, sample.path
    if committed.layout in ("table", "image_folder"):
        paths = [path]
    else:
        paths = committed.scene_images(path)
    if committed.layout in ("scenes", "stac") and sample.kind != "image":
        paths = [*paths, committed.scene_labels(path)]
    rows = committed.manifest.set_index("path").loc[paths]
    return [
        SampleFile(
            path=str(name),
            sha256=str(row["sha256"]),
            size=int(row["size"]),
            crs=_text(row["crs"]),
            dtype=_text(row["dtype"]),
        )
        for name, row in zip(paths, rows.to_dict("records"), strict=True)
    ]


def _neighbours(sample: Sample) -> list[Neighbour]:
    """Return the samples nearest by: on the ground where places are known, else in the scene."""
    samples = sample.committed.samples
    own = sample.row
    if np.isfinite([own["longitude"], own["latitude"]]).all():
        places = samples[["longitude", "latitude"]].to_numpy(dtype=np.float64)
        points = earth_centred(*places.T)
        apart = np.linalg.norm(points - points[sample.index], axis=1)
        positions, unit = np.arange(len(samples)), "m"
    elif sample.kind in ("patch", "window"):
        positions = sample.version.positions_of(sample.path)
        centres = samples.iloc[positions][["row", "column"]].to_numpy(dtype=np.float64)
        apart = np.linalg.norm(centres - np.array(sample.place), axis=1)
        unit = "px"
    else:
        return []
    usable = np.isfinite(apart) & (positions != sample.index)
    positions, apart = positions[usable], apart[usable]
    nearest = np.argsort(apart, kind="stable")[:NEIGHBOURS]
    rows = sample_rows(sample.version, positions[nearest])
    return [
        Neighbour(row, float(distance), unit)
        for row, distance in zip(rows, apart[nearest].tolist(), strict=True)
    ]
