"""An ONNX file under onnxruntime, as it is served: its tensors, and requests that are run.

Nothing is read or verified here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from mlops_assets.errors import ExportError
from mlops_assets.models.onnx.session import Provider, open_session
from mlops_assets.serving.protocol.datatypes import DTYPES
from mlops_assets.serving.sessions.interface import ServedVersion, Tensors, TensorSpec

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

# onnxruntime's name of a type → that of the Open Inference Protocol
DATATYPES = {
    "tensor(bool)": "BOOL",
    "tensor(uint8)": "UINT8",
    "tensor(uint16)": "UINT16",
    "tensor(uint32)": "UINT32",
    "tensor(uint64)": "UINT64",
    "tensor(int8)": "INT8",
    "tensor(int16)": "INT16",
    "tensor(int32)": "INT32",
    "tensor(int64)": "INT64",
    "tensor(float16)": "FP16",
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
    "tensor(string)": "BYTES",
}


class _Node(Protocol):
    """An input or output of a session of onnxruntime; an axis of any size has a name or None."""

    name: str
    type: str
    shape: Sequence[int | str | None]


class Runner:
    """An ONNX file that is loaded once, whatever aliases and versions have it.

    Attributes:
        sha256: of the file.
        inputs: that it takes.
        outputs: that it gives.
    """

    def __init__(self, content: bytes, sha256: str, provider: Provider, threads: int) -> None:
        """Load a file.

        Args:
            content: of the file, verified.
            sha256: of the content.
            provider: the device it runs on.
            threads: that one request runs on; as many as there are processors if 0.

        Raises:
            ExportError: onnxruntime refuses the file, or it has values that are no tensors.
            SettingsError: onnxruntime cannot use the device.
        """
        self.sha256 = sha256
        self._session: InferenceSession = open_session(content, "model.onnx", provider, threads)
        self.inputs = _specs(self._session.get_inputs())
        self.outputs = _specs(self._session.get_outputs())

    def run(self, inputs: Tensors, outputs: Sequence[str]) -> dict[str, NDArray[np.generic]]:
        """Return outputs of a request, by name; see `Session`."""
        try:
            found = self._session.run(list(outputs), dict(inputs))
        # the errors of onnxruntime have no common class
        except Exception as error:
            raise ExportError(f"the model does not run on these inputs: {error}") from error
        return dict(zip(outputs, found, strict=True))

    def warm_up(self, shape: Sequence[int]) -> None:
        """Run one sample of zeros, as the first request takes longer.

        Args:
            shape: of the sample, without the batch axis.

        Raises:
            ExportError: the model does not run on it.
        """
        inputs = {spec.name: _zeros(spec, tuple(shape)) for spec in self.inputs}
        self.run(inputs, [spec.name for spec in self.outputs])


class ServedSession:
    """A model version with the loaded file that it shares with others; a `Session`.

    Attributes:
        served: the model version.
        runner: of its ONNX file.
    """

    def __init__(self, served: ServedVersion, runner: Runner) -> None:
        """Serve a model version.

        Args:
            served: the model version.
            runner: of its ONNX file.
        """
        self.served = served
        self.runner = runner

    def run(self, inputs: Tensors, outputs: Sequence[str]) -> dict[str, NDArray[np.generic]]:
        """Return outputs of a request, by name; see `Session`."""
        return self.runner.run(inputs, outputs)


def _specs(nodes: Iterable[_Node]) -> tuple[TensorSpec, ...]:
    return tuple(_spec(node) for node in nodes)


def _spec(node: _Node) -> TensorSpec:
    datatype = DATATYPES.get(node.type)
    if datatype is None:
        raise ExportError(
            f"model.onnx has {node.name!r} of type {node.type}, which the Open Inference Protocol"
            " does not have; export the model with tensors only"
        )
    shape = tuple(size if isinstance(size, int) else -1 for size in node.shape)
    return TensorSpec(node.name, datatype, shape)


def _zeros(spec: TensorSpec, sample: tuple[int, ...]) -> NDArray[np.generic]:
    """Return zeros of an input.

    Args:
        spec: of the input.
        sample: shape of the sample; an input of another rank has 1 in its free axes.
    """
    shape = [max(size, 1) for size in spec.shape]
    if len(sample) == len(shape) - 1:
        shape[1:] = sample
    if spec.datatype == "BYTES":
        return np.full(shape, "", dtype=object)
    return np.zeros(shape, dtype=DTYPES[spec.datatype])
