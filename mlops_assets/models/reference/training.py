"""The reference of a model version in memory, and the drift of samples against it."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mlops_assets.models.reference.document import (
    PredictionCounts,
    Referred,
)
from mlops_assets.models.reference.measures import DriftMeasures, FeatureDrift
from mlops_assets.models.reference.separation import separation
from mlops_assets.models.reference.statistics import (
    Bins,
    jensen_shannon,
    joined,
    pooled,
    psi,
    sorted_distances,
)


@dataclass(frozen=True)
class Compared:
    """Samples that are compared with a reference.

    Attributes:
        values: of the reference's features, (n, features); what is not finite is missing.
        predictions: class indices or numbers, (m,); None if there are none.
    """

    values: NDArray[np.float32]
    predictions: NDArray[np.number] | None


@dataclass(frozen=True)
class TrainingReference:
    """Training samples of a model version.

    Attributes:
        referred: how they are distributed.
        values: (samples, features), float32; what is not finite is missing.
    """

    referred: Referred
    values: NDArray[np.float32]

    @property
    def names(self) -> list[str]:
        """Names of the features, or of statistics of bands."""
        return [feature.name for feature in self.referred.features]

    @cached_property
    def sorted_values(self) -> list[NDArray[np.float32]]:
        """The finite values of each feature, ascending, sorted once."""
        return [sorted_finite(column) for column in self.values.T]

    def drift(self, compared: Compared) -> DriftMeasures:
        """Measure the drift of samples.

        Args:
            compared: the samples.

        Returns:
            Its measures, those of features sorted by their population stability index, then by
            their Kolmogorov-Smirnov distance.
        """
        count = len(compared.values)
        features = [
            self.feature_drift(place, compared.values[:, place])
            for place in range(len(self.referred.features) if count else 0)
        ]
        features.sort(key=lambda feature: (-feature.psi, -feature.ks))
        return DriftMeasures(
            samples=count,
            features=features,
            separation=separation(self.values, compared.values),
            prediction_shift=self._prediction_shift(compared.predictions),
        )

    def feature_drift(self, place: int, values: NDArray[np.float32]) -> FeatureDrift:
        """Measure the drift of one feature.

        Args:
            place: of the feature.
            values: (n,).
        """
        feature = self.referred.features[place]
        finite = sorted_finite(values)
        distances = sorted_distances(self.sorted_values[place], finite)
        counts = Bins(np.array(feature.edges)).counts(finite)
        own = np.array(feature.counts)
        missing = len(values) - len(finite)
        lacking = len(self.values) - len(self.sorted_values[place])
        shares = np.append(own, lacking), np.append(counts, missing)
        few = joined(own, counts)
        return FeatureDrift(
            name=feature.name,
            ks=distances.ks,
            # of equal training values there is no deviation, and their own unit is taken
            wasserstein=distances.wasserstein / (feature.deviation or 1.0),
            psi=psi(np.append(few[0], lacking), np.append(few[1], missing)),
            jensen_shannon=jensen_shannon(*shares),
            missing=missing / len(values),
        )

    def _prediction_shift(self, predictions: NDArray[np.number] | None) -> float | None:
        reference = self.referred.predictions
        if reference is None or predictions is None or not len(predictions):
            return None
        counted = counts_of(predictions, reference)
        if counted.sum() == 0 or sum(reference.train) == 0:
            return None
        own = np.array(reference.train)
        if reference.kind == "classes":
            return psi(*pooled(own, counted))
        # the last count is of predictions that are not finite
        few = joined(own[:-1], counted[:-1])
        return psi(np.append(few[0], own[-1]), np.append(few[1], counted[-1]))


def sorted_finite(values: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the finite values, ascending."""
    return np.sort(values[np.isfinite(values)])


def counts_of(predictions: NDArray[np.number], reference: PredictionCounts) -> NDArray[np.int64]:
    """Return predictions by class, or by bin and last those that are not finite.

    Args:
        predictions: (n,).
        reference: classes or bins.
    """
    if reference.kind == "numbers":
        finite = sorted_finite(predictions.astype(np.float64))
        counts = Bins(np.array(reference.edges)).counts(finite)
        return np.append(counts, len(predictions) - len(finite))
    known = predictions[(predictions >= 0) & (predictions < len(reference.train))]
    return np.bincount(known.astype(np.int64), minlength=len(reference.train))


def values_parquet(names: list[str], values: NDArray[np.float32]) -> bytes:
    """Return values, (n, features), as Parquet, a column each feature."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = io.BytesIO()
    columns = [pa.array(column) for column in np.ascontiguousarray(values.T)]
    pq.write_table(pa.Table.from_arrays(columns, names=names), sink, compression="zstd")
    return sink.getvalue()


def values_of(parquet: bytes) -> NDArray[np.float32]:
    """Return the values that `values_parquet` has written, in memory by column."""
    import pyarrow.parquet as pq

    columns = [column.to_numpy() for column in pq.read_table(io.BytesIO(parquet)).columns]
    return np.stack(columns).T if columns else np.empty((0, 0), dtype=np.float32)
