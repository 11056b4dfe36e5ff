"""Types by which the app, the models that it serves, and the request log know each other.

Nothing is loaded or logged here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mlops_assets.registry import ModelVersion
from mlops_assets.registry.model_documents import Signature

Tensors = Mapping[str, NDArray[np.generic]]


@dataclass(frozen=True)
class TensorSpec:
    """An input or output of a model.

    Attributes:
        name: in the ONNX file.
        datatype: as the Open Inference Protocol names it, such as `FP32`.
        shape: -1 for an axis of any size.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class ServedVersion:
    """A loaded model version.

    Attributes:
        row: of the registry.
        alias: by which it is served.
        sha256: of its ONNX file.
        signature: of the model.
        inputs: that it takes.
        outputs: that it gives.
        properties: for people and clients: classes, units, data version, record.
    """

    row: ModelVersion
    alias: str
    sha256: str
    signature: Signature
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    properties: Mapping[str, object]

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.row.model

    @property
    def version(self) -> str:
        """The model version."""
        return self.row.version


class Session(Protocol):
    """A loaded model version that can be run, from several threads at once."""

    served: ServedVersion

    def run(self, inputs: Tensors, outputs: Sequence[str]) -> dict[str, NDArray[np.generic]]:
        """Return outputs of a request, by name.

        Args:
            inputs: of the dtypes and shapes of `served.inputs`.
            outputs: names of those that are wanted, in this order.

        Raises:
            ExportError: the model does not run on them.
        """
        ...


@dataclass(frozen=True)
class ModelStatus:
    """The state of a served model.

    Attributes:
        name: of the model.
        version: that is loaded; None if none is.
        ready: whether requests are answered.
        reason: why it is not ready, or why a newer version is not loaded; None if all is well.
    """

    name: str
    version: str | None
    ready: bool
    reason: str | None = None


class Repository(Protocol):
    """The models of a server."""

    def names(self) -> list[str]:
        """Return the names of all models, loaded or not, sorted."""
        ...

    def versions(self, name: str) -> list[str]:
        """Return the loaded versions of a model.

        Raises:
            NotFound: the server has no such model.
        """
        ...

    def session(self, name: str, version: str | None = None) -> Session:
        """Return a loaded version, which its holder can use whatever replaces it.

        Args:
            name: of the model.
            version: of the model, or an alias; the first alias that was declared if None.

        Raises:
            NotFound: the server has no such model or version.
            ModelUnavailable: it is unloaded, or could not be loaded.
        """
        ...

    def status(self, name: str) -> list[ModelStatus]:
        """Return the state of a model's versions.

        Raises:
            NotFound: the server has no such model.
        """
        ...

    def load(self, name: str) -> None:
        """Load what the aliases of a model are now.

        Raises:
            NotFound: the server has no such model.
            ModelUnavailable: it cannot be loaded; what was loaded stays.
        """
        ...

    def unload(self, name: str) -> None:
        """Stop serving a model until it is loaded again.

        Raises:
            NotFound: the server has no such model.
        """
        ...


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request that was answered.

    Attributes:
        id: of the request, as answered.
        served: the model version.
        caller: name of the principal.
        started: when it arrived, seconds since the epoch.
        seconds: that it took.
        inputs: tensors of the request.
        outputs: of the model, all that were computed.
    """

    id: str
    served: ServedVersion
    caller: str
    started: float
    seconds: float
    inputs: Tensors
    outputs: Tensors


class RequestLogger(Protocol):
    """Keeps exchanges without ever delaying an answer."""

    def record(self, exchange: Exchange) -> None:
        """Keep an exchange, or drop and count it."""
        ...

    def dropped(self) -> Mapping[str, int]:
        """Return model → exchanges that were dropped since the start."""
        ...

    def close(self) -> None:
        """Write what is left."""
        ...
