"""Framework adapters: what a trainer returns decides which one saves, reloads and exports it.

The adapters themselves import their frameworks, so they are loaded only when a model of theirs turns up.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mlops_assets.errors import TrainerError


class Framework(Protocol):
    """One framework. Nothing is ever pickled or unpickled."""

    name: str

    def save(self, model: Any, folder: Path) -> None:
        """Write a model's native form into an empty folder.

        Raises:
            ExportError: it has parts that cannot be written safely.
        """
        ...

    def load(self, folder: Path) -> Any:
        """Read a model back.

        Raises:
            ExportError: the folder holds something else, or types that are not trusted.
        """
        ...

    def predict(self, model: Any, X: NDArray[np.float32], task: str) -> dict[str, NDArray[Any]]:
        """Return the model's outputs under the names they have in ONNX: `label` (n,) class indices, `scores`
        (n, classes, …) with the largest at the predicted class, or `value` (n,) for regression.
        """
        ...

    def export(self, model: Any, sample_shape: tuple[int, ...], task: str, path: Path) -> None:
        """Write the model as one ONNX file: input `input`, float32 of (batch, *sample_shape), outputs as in `predict`.

        Raises:
            ExportError: it has an operation that ONNX cannot express; the message names it.
        """
        ...

    def describe(self, model: Any) -> dict[str, Any]:
        """Return `architecture` (a name) and `parameters` (a count, or None)."""
        ...


_ADAPTERS = {
    "torch": "mlops_assets.training.frameworks.pytorch:PyTorch",
    "sklearn": "mlops_assets.training.frameworks.scikit_learn:ScikitLearn",
}


def framework_named(name: str) -> Framework:
    """Return the adapter with this `name`.

    Raises:
        TrainerError: there is none.
    """
    for target in _ADAPTERS.values():
        adapter = _load(target)
        if adapter.name == name:
            return adapter
    raise TrainerError(f"no framework adapter is called {name!r}")


def framework_of(model: Any, trainer: str) -> Framework:
    """Return the adapter for what a trainer returned, by the packages its class descends from.

    Raises:
        TrainerError: it returned nothing, or something no adapter knows.
    """
    if model is None:
        raise TrainerError(f"trainer {trainer} returned nothing; it must return the trained model")
    roots = [base.__module__.split(".")[0] for base in type(model).__mro__]
    for package, target in _ADAPTERS.items():
        if package in roots:
            return _load(target)
    raise TrainerError(
        f"trainer {trainer} returned a {type(model).__module__}.{type(model).__qualname__}; "
        "return a torch.nn.Module or a scikit-learn estimator"
    )


def _load(target: str) -> Framework:
    module, _, name = target.partition(":")
    adapter: Framework = getattr(importlib.import_module(module), name)()
    return adapter
