"""An ONNX model under onnxruntime, and what its outputs decide."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlops_assets.errors import ExportError

# what a network makes of a sample within is many times as large
MAX_AT_ONCE, BYTES_AT_ONCE = (
    1024,
    16 << 20,
)


def at_once(X: NDArray[np.float32]) -> int:
    """Return how many of these samples a model is given at once: many rows, few windows."""
    size = 4 * int(np.prod(X.shape[1:], dtype=np.int64))
    return max(1, min(MAX_AT_ONCE, BYTES_AT_ONCE // max(1, size)))


class OnnxModel:
    """An ONNX model file under onnxruntime."""

    def __init__(self, path: Path) -> None:
        """Load the model on the CPU.

        Raises:
            ExportError: onnxruntime refuses the file.
        """
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # what fails is raised
        # others need the processors too
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(
                path, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            reason = str(error).replace(str(path), path.name)
            raise ExportError(f"{path.name} cannot be loaded by onnxruntime: {reason}") from error
        self.outputs = [output.name for output in self._session.get_outputs()]

    def predict(self, X: NDArray[np.float32], batch: int | None = None) -> dict[str, NDArray[Any]]:
        """Return the outputs by name for X, float32 of shape (n, …); at least one sample.

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


def decide(outputs: dict[str, NDArray[Any]]) -> NDArray[Any]:
    """Return class indices from `label` or the largest of `scores`, or numbers from `value`."""
    if "value" in outputs:
        return outputs["value"].reshape(len(outputs["value"]))
    if "label" in outputs:
        return outputs["label"]
    return np.asarray(outputs["scores"].argmax(axis=1))
