"""An ONNX model under onnxruntime, and the decisions that its outputs stand for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mlops_assets.errors import ExportError, SettingsError
from mlops_assets.registry.model_documents import samples_at_once

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

# `label`, `scores` or `value`: see `Framework.predict`
Outputs: TypeAlias = dict[str, NDArray[np.number]]
Provider = Literal["cpu", "cuda"]

# execution providers of onnxruntime; operators that CUDA lacks run on the CPU
_PROVIDERS = {
    "cpu": ["CPUExecutionProvider"],
    "cuda": ["CUDAExecutionProvider", "CPUExecutionProvider"],
}
# a GPU is busy only with batches this many times as large
_GPU_BATCHES = 8
_OUT_OF_MEMORY = ("failed to allocate", "out of memory")


def at_once(X: NDArray[np.float32]) -> int:
    """Return the batch size for samples of this shape: many rows, few windows.

    Args:
        X: samples, (n, …).
    """
    return samples_at_once(X.shape[1:])


def open_session(
    model: Path | bytes, name: str, provider: Provider = "cpu", threads: int = 0
) -> InferenceSession:
    """Load an ONNX model into onnxruntime.

    Args:
        model: path of its file, or the content.
        name: of the file, for errors.
        provider: the device it runs on.
        threads: that one call runs on; as many as there are processors if 0.

    Raises:
        ExportError: onnxruntime refuses the file.
        SettingsError: onnxruntime cannot use the device.
    """
    import onnxruntime

    _require_available(provider, onnxruntime.get_available_providers())
    options = onnxruntime.SessionOptions()
    # failures are raised, so they need not be logged
    options.log_severity_level = 4
    options.intra_op_num_threads = threads
    # waiting threads leave the processors to others
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(model, options, providers=_PROVIDERS[provider])
    # the errors of onnxruntime have no common class
    except Exception as error:
        reason = str(error).replace(str(model), name) if isinstance(model, Path) else str(error)
        raise ExportError(f"{name} cannot be loaded by onnxruntime: {reason}") from error
    # onnxruntime falls back to the CPU where the libraries of CUDA are missing
    _require_available(provider, session.get_providers())
    return session


class OnnxModel:
    """An ONNX model file under onnxruntime."""

    def __init__(self, path: Path, provider: Provider = "cpu") -> None:
        """Load the model.

        Args:
            path: the file.
            provider: the device it runs on.

        Raises:
            ExportError: onnxruntime refuses the file.
            SettingsError: onnxruntime cannot use the device.
        """
        self._session = open_session(path, path.name, provider)
        self.outputs = [output.name for output in self._session.get_outputs()]
        self._times = _GPU_BATCHES if provider == "cuda" else 1

    def batch_size(self, shape: Sequence[int]) -> int:
        """Return the batch size on this device for samples of a shape, without the batch axis."""
        return samples_at_once(shape) * self._times

    def predict(self, X: NDArray[np.float32], batch: int | None = None) -> Outputs:
        """Return the outputs by name.

        Args:
            X: samples, float32, (n, *sample_shape), raw; at least one.
            batch: samples that are run together; chosen by their size if not given. Fewer are where
                the device has no memory for so many.

        Raises:
            ExportError: the model does not take such samples or batches.
        """
        batch = batch or self.batch_size(X.shape[1:])
        parts = []
        first = 0
        while first < len(X):
            try:
                parts.append(self._session.run(None, {"input": X[first : first + batch]}))
            # the errors of onnxruntime have no common class
            except Exception as error:
                full = any(text in str(error).lower() for text in _OUT_OF_MEMORY)
                size = min(batch, len(X) - first)
                if full and size > 1:
                    batch = size // 2
                    continue
                raise ExportError(
                    f"the ONNX model does not run on samples {X.shape} in batches of {batch}:"
                    f" {error}"
                ) from error
            first += batch
        if len(parts) == 1:
            return dict(zip(self.outputs, parts[0], strict=True))
        return {
            name: np.concatenate([part[k] for part in parts]) for k, name in enumerate(self.outputs)
        }


def _require_available(provider: Provider, available: Sequence[str]) -> None:
    """Refuse a device that onnxruntime cannot use.

    Raises:
        SettingsError: it is not among its execution providers.
    """
    if _PROVIDERS[provider][0] not in available:
        raise SettingsError(
            f"MLOPS_ONNX_PROVIDER={provider}: onnxruntime has {', '.join(available)} here; install"
            " onnxruntime-gpu instead of onnxruntime, with the CUDA and cuDNN that it needs, or"
            " unset the variable"
        )


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
