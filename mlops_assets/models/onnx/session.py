"""An ONNX model under onnxruntime, and the decisions that its outputs stand for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mlops_assets.errors import ExportError
from mlops_assets.registry.model_documents import samples_at_once

# `label`, `scores` or `value`: see `Framework.predict`
Outputs: TypeAlias = dict[str, NDArray[np.number]]


def at_once(X: NDArray[np.float32]) -> int:
    """Return the batch size for samples of this shape: many rows, few windows.

    Args:
        X: samples, (n, …).
    """
    return samples_at_once(X.shape[1:])


class OnnxModel:
    """An ONNX model file under onnxruntime."""

    def __init__(self, path: Path) -> None:
        """Load the model on the CPU.

        Raises:
            ExportError: onnxruntime refuses the file.
        """
        import onnxruntime

        options = onnxruntime.SessionOptions()
        # failures are raised, so they need not be logged
        options.log_severity_level = 4
        # waiting threads leave the processors to others
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(
                path, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            reason = str(error).replace(str(path), path.name)
            raise ExportError(f"{path.name} cannot be loaded by onnxruntime: {reason}") from error
        self.outputs = [output.name for output in self._session.get_outputs()]

    def predict(self, X: NDArray[np.float32], batch: int | None = None) -> Outputs:
        """Return the outputs by name.

        Args:
            X: samples, float32, (n, *sample_shape), raw; at least one.
            batch: samples that are run together; chosen by their size if not given.

        Raises:
            ExportError: the model does not take such samples or batches.
        """
        batch = batch or at_once(X)
        try:
            parts = [
                self._session.run(None, {"input": X[i : i + batch]})
                for i in range(0, len(X), batch)
            ]
        except Exception as error:
            raise ExportError(
                f"the ONNX model does not run on samples {X.shape} in batches of {batch}: {error}"
            ) from error
        return {
            name: np.concatenate([part[k] for part in parts]) for k, name in enumerate(self.outputs)
        }


def decide(outputs: Mapping[str, NDArray[np.number]]) -> NDArray[np.number]:
    """Return class indices from `label` or the largest of `scores`, or numbers from `value`.

    Args:
        outputs: of n samples, as `OnnxModel.predict` returns them.

    Returns:
        (n,), or (n, height, width) where scores are of pixels.
    """
    if "value" in outputs:
        return outputs["value"].reshape(len(outputs["value"]))
    if "label" in outputs:
        return outputs["label"]
    return np.asarray(outputs["scores"].argmax(axis=1))
