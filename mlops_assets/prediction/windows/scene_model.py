"""A model as it is run on samples of a scene: its outputs, and how unlike training samples are.

Nothing here reads scenes, or knows where in them samples lie.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mlops_assets.models.onnx.features import FEATURES, as_samples
from mlops_assets.models.onnx.session import OnnxModel, Outputs

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

DI = "di"  # the output of the dissimilarity index
Index: TypeAlias = Callable[[NDArray[np.float32]], NDArray[np.float32]]


@cache
def _threads() -> ThreadpoolController:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


@dataclass(frozen=True)
class SceneModel:
    """A loaded model.

    Attributes:
        session: gives `scores`, `label` or `value` of each sample, or pixel of a window; and
            `features` if these are what the index takes.
        shape: of a sample: (bands,) or (bands, height, width).
        classes: number of scores of a pixel; 0 of numbers.
        missing: what takes the place of NaN and infinity in each band, (bands,).
        index: returns the dissimilarity index (n,) of samples (n, d): of features, else of values
            of the bands. None for maps without it.
    """

    session: OnnxModel
    shape: tuple[int, ...]
    classes: int
    missing: NDArray[np.float32]
    index: Index | None = None

    @property
    def size(self) -> int:
        """Side of a sample in pixels."""
        return self.shape[1] if len(self.shape) > 1 else 1

    def without_nan(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return values, (bands, height, width), in which NaN and infinity are replaced, in place.

        Pixels around it would be lost otherwise, as far as a network looks.
        """
        lost = ~np.isfinite(values)
        if lost.any():
            np.copyto(values, self.missing[:, None, None], where=lost)
        return values

    def predict(self, X: NDArray[np.float32]) -> Outputs:
        """Return the outputs of samples, (n, *shape), by name.

        Returns:
            `scores` (n, classes, …), `label` or `value` (n, …); and `di`, float32 of (n,), or of
            windows (n, height, width), where an index is asked for.
        """
        outputs = self.session.predict(X)
        if self.index is not None:
            outputs[DI] = self._dissimilarity(self.index, X, outputs)
        outputs.pop(FEATURES, None)
        return outputs

    def _dissimilarity(
        self, index: Index, X: NDArray[np.float32], outputs: Outputs
    ) -> NDArray[np.float32]:
        is_map = "scores" in outputs and outputs["scores"].ndim == 4
        described = outputs.get(FEATURES, X).astype(np.float32, copy=False)
        if described.ndim == 4 and not is_map:
            # of a patch the pixel in its middle, which is predicted
            middle = self.size // 2
            described = described[:, :, middle, middle]
        # waiting threads of BLAS keep processors busy, which onnxruntime's do not
        with _threads().limit(limits=1, user_api="blas"):
            found = index(as_samples(described))
        if not is_map:
            return found
        cells = found.reshape(len(X), *described.shape[2:])
        cell = self.size // cells.shape[1]
        return cells.repeat(cell, axis=1).repeat(cell, axis=2)
