"""The dissimilarity index of logged samples, as maps have it, and their share outside."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mlops_assets.models.applicability.document import read_document
from mlops_assets.models.onnx.features import FEATURES, as_samples
from mlops_assets.models.onnx.session import OnnxModel
from mlops_assets.monitoring.document import Outside
from mlops_assets.prediction.mapped import MapIndex
from mlops_assets.registry import ModelVersion
from mlops_assets.registry.model_documents import Signature, samples_at_once
from mlops_assets.serving.request_log.samples import LoggedSamples
from mlops_assets.settings import onnx_provider
from mlops_assets.store import Store


class SampleIndex:
    """The dissimilarity index of samples of a model version.

    A patch is described by the pixel in its middle, which its label is of; a window by the median
    of its pixels, so that it lies outside where most of it does.
    """

    def __init__(self, index: MapIndex, signature: Signature) -> None:
        """Load what describes samples.

        Args:
            index: of the model version.
            signature: of the model version.

        Raises:
            ExportError: the file of features cannot be loaded.
        """
        self.applicability = index.applicability
        self._is_window = signature.view == "window"
        file = index.features_file
        self._features = None if file is None else OnnxModel(file, onnx_provider())

    def of(self, X: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the index of samples.

        Args:
            X: (n, *shape) of the signature, raw.

        Returns:
            (n,); NaN where values that matter are not finite.

        Raises:
            ExportError: the model does not run on them.
        """
        found = np.full(len(X), np.nan, dtype=np.float32)
        size = samples_at_once(X.shape[1:])
        for start in range(0, len(X), size):
            part = X[start : start + size]
            complete = np.flatnonzero(np.isfinite(part).reshape(len(part), -1).all(axis=1))
            if self._features is None:
                found[start : start + size] = self._index(part)
            elif len(complete):
                # a network spreads a missing value over all that it sees
                outputs = self._features.predict(part[complete])
                described = outputs[FEATURES].astype(np.float32, copy=False)
                found[start + complete] = self._index(described)
        return found

    def _index(self, described: NDArray[np.float32]) -> NDArray[np.float32]:
        if described.ndim == 4 and not self._is_window:
            rows, columns = described.shape[2:]
            described = described[:, :, rows // 2, columns // 2]
        found = self.applicability.di(as_samples(described))
        if described.ndim == 2:
            return found
        return np.asarray(np.median(found.reshape(len(described), -1), axis=1), dtype=np.float32)


def dissimilarity(
    store: Store, row: ModelVersion, samples: LoggedSamples
) -> NDArray[np.float32] | None:
    """Return the dissimilarity index of logged samples; None if the version has none.

    Args:
        store: workspace and registry.
        row: the model version that has predicted them.
        samples: logged.

    Returns:
        (n,); NaN where inputs were not kept, or values that matter are not finite.

    Raises:
        ExportError: the model does not run on them.
        IntegrityError: a file of the index is not as it was published.
    """
    index = MapIndex.of(store, row)
    if index is None:
        return None
    found = np.full(len(samples), np.nan, dtype=np.float32)
    if samples.values is None or not samples.kept.any():
        return found
    kept = np.flatnonzero(samples.kept)
    model = SampleIndex(index, Signature.of(row))
    size = samples_at_once(samples.values.shape[1:])
    for start in range(0, len(kept), size):
        part = kept[start : start + size]
        found[part] = model.of(samples.values[part])
    return found


def outside_of(
    store: Store,
    row: ModelVersion,
    samples: LoggedSamples,
    di: NDArray[np.float32] | None = None,
) -> Outside:
    """Return the share of logged samples outside the area of applicability.

    Args:
        store: workspace and registry.
        row: the model version that has predicted them.
        samples: logged.
        di: their index, as `dissimilarity` returns it; computed if not given.

    Raises:
        ExportError: the model does not run on them.
        IntegrityError: a file of the index is not as it was published.
    """
    index = MapIndex.of(store, row)
    document = read_document(store, row)
    if index is None or document is None or document.measured is None:
        if document is None:
            unknown = f"it was not measured; materialise {row.model}/applicability"
        elif document.measured is None:
            unknown = document.unknown or "it could not be measured"
        else:
            unknown = f"its ONNX file was exported again; materialise {row.model}/applicability"
        return Outside(unknown=unknown)
    test = None if document.measured.test is None else document.measured.test.outside
    if di is None:
        di = dissimilarity(store, row, samples)
    known = np.isfinite(di) if di is not None else np.zeros(len(samples), dtype=bool)
    if di is None or not known.any():
        unknown = "no sample has its inputs in the log, with all values"
        return Outside(test=test, unknown=unknown)
    outside = ~index.applicability.inside(di[known])
    return Outside(share=float(outside.mean()), samples=int(known.sum()), test=test)
