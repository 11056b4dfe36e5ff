"""Logged samples of a model version on a day, as monitoring reads them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlops_assets.models.reference.bands import feature_names
from mlops_assets.registry.model_documents import Signature


@dataclass(frozen=True)
class LoggedSamples:
    """Samples that a model version has predicted on a day, in the order of their time.

    A request may have several samples.

    Attributes:
        model: name of the model.
        version: of the model.
        data_version: that it was trained on, `dataset@version`.
        day: `YYYY-MM-DD`, UTC.
        requests: id of each sample's request, (n,), text.
        rows: number of the sample in its request, (n,).
        times: when its request arrived, UTC, (n,), datetime64[us].
        latency_ms: that its request took, (n,).
        values: inputs, float32, (n, *shape) of the signature, NaN where they were not kept; None if
            none were.
        kept: which samples have their inputs, (n,).
        statistics: of the bands of a sample, see `bands.STATISTICS`, (n, bands, 3); None where a
            sample is one value a feature.
        labels: predicted class index, (n,), -1 for windows; None for regression.
        scores: of the classes, (n, classes), of windows their mean over the pixels; None if the
            model gives none.
        numbers: predicted numbers, (n,); None for classes.
    """

    model: str
    version: str
    data_version: str
    day: str
    requests: NDArray[np.object_]
    rows: NDArray[np.int32]
    times: NDArray[np.datetime64]
    latency_ms: NDArray[np.float32]
    values: NDArray[np.float32] | None
    kept: NDArray[np.bool_]
    statistics: NDArray[np.float32] | None
    labels: NDArray[np.int32] | None
    scores: NDArray[np.float32] | None
    numbers: NDArray[np.float32] | None

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.requests)

    def where(self, wanted: NDArray[np.bool_]) -> LoggedSamples:
        """Return some of the samples.

        Args:
            wanted: which, (n,).
        """

        def some(values: NDArray[Any] | None) -> Any:
            return None if values is None else values[wanted]

        return replace(
            self,
            requests=some(self.requests),
            rows=some(self.rows),
            times=some(self.times),
            latency_ms=some(self.latency_ms),
            values=some(self.values),
            kept=some(self.kept),
            statistics=some(self.statistics),
            labels=some(self.labels),
            scores=some(self.scores),
            numbers=some(self.numbers),
        )

    def features(self, signature: Signature) -> tuple[list[str], NDArray[np.float32]]:
        """Return what drift is measured of, (n, features), with names; missing values are NaN.

        They are the values of rows and pixels, and else the statistics of each band.

        Args:
            signature: of the model.
        """
        if self.statistics is not None:
            names = feature_names(signature.features, True)
            return names, self.statistics.reshape(len(self), -1)
        if self.values is None:
            return list(signature.features), np.full(
                (len(self), len(signature.features)), np.nan, dtype=np.float32
            )
        return list(signature.features), self.values.reshape(len(self), -1)
