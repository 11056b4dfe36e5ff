"""Framework adapters: what a trainer returns decides which one saves, reloads and exports it.

The adapters themselves import their frameworks, so they are loaded only when a model of theirs
turns up.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from mlops_assets.errors import TrainerError
from mlops_assets.extras import needs
from mlops_assets.models.frameworks.architectures import THIS_PROCESS, Trust

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class ModelDescription:
    """A short description of a trained model.

    Attributes:
        architecture: a name, such as that of its class.
        parameters: number of trained parameters; None where a framework has no common count.
    """

    architecture: str
    parameters: int | None


class Framework(Protocol):
    """One framework. Nothing is ever pickled or unpickled."""

    name: str

    def save(self, model: Any, folder: Path) -> None:
        """Write a model's native form into an empty folder; equal models give equal bytes.

        Raises:
            ExportError: it has parts that cannot be written safely.
        """
        ...

    def load(self, folder: Path, trust: Trust = THIS_PROCESS) -> Any:
        """Read a model back.

        Of the classes that it names, only those of the framework and what `trust` has.

        Raises:
            ExportError: the folder holds something else, or types that are not trusted.
        """
        ...

    def predict(self, model: Any, X: NDArray[np.float32], task: str) -> dict[str, NDArray[Any]]:
        """Return the model's outputs under the names they have in ONNX.

        `label` (n,) class indices, `scores` (n, classes, …) with the largest at the predicted
        class, or `value` (n,) for regression.
        """
        ...

    def export(self, model: Any, sample_shape: tuple[int, ...], task: str, path: Path) -> None:
        """Write the model as one ONNX file.

        Input `input`, float32 of (batch, *sample_shape), outputs as in `predict`.

        Raises:
            ExportError: it has an operation that ONNX cannot express; the message names it.
        """
        ...

    def describe(self, model: Any) -> ModelDescription:
        """Return the architecture and the number of parameters of a model."""
        ...


@dataclass(frozen=True)
class _Adapter:
    """The module of an adapter, the package of its models' base classes, and its extra.

    A process in which the adapters and `ahead` of `forkable` ones are imported has no further
    threads, and may fork.
    """

    target: str
    package: str
    extra: str | None = None
    forkable: bool = False
    ahead: tuple[str, ...] = ()


_HERE = "mlops_assets.models.frameworks"
# In this order: wrappers of XGBoost and LightGBM descend from scikit-learn, and layers of Keras may
# from PyTorch. The first step of any optimizer of PyTorch imports its compiler, which takes as long
# as importing PyTorch.
_ADAPTERS = {
    "xgboost": _Adapter(f"{_HERE}.xgboost:XGBoost", "xgboost", "xgboost"),
    "lightgbm": _Adapter(f"{_HERE}.lightgbm:LightGBM", "lightgbm", "lightgbm"),
    "keras": _Adapter(f"{_HERE}.keras:Keras", "keras", "tensorflow"),
    "flax": _Adapter(f"{_HERE}.flax:Flax", "flax", "jax"),
    "pytorch": _Adapter(
        f"{_HERE}.pytorch:PyTorch", "torch", forkable=True, ahead=("torch._dynamo",)
    ),
    "scikit-learn": _Adapter(f"{_HERE}.scikit_learn:ScikitLearn", "sklearn", forkable=True),
}


def framework_named(name: str) -> Framework:
    """Return the adapter with this `name`.

    Raises:
        TrainerError: there is none.
        MissingExtra: its framework is not installed.
    """
    if name not in _ADAPTERS:
        raise TrainerError(
            f"no framework adapter is called {name!r}; there are {', '.join(_ADAPTERS)}"
        )
    return _load(name)


def preloadable_modules(name: str | None) -> list[str]:
    """Return the modules to preload in a process that forks this framework's trainers."""
    adapter = _ADAPTERS.get(name or "")
    if adapter is None or not adapter.forkable:
        return []
    return [adapter.target.partition(":")[0], *adapter.ahead]


def framework_of(model: Any, trainer: str) -> Framework:
    """Return the adapter for what a trainer returned, by the packages its class descends from.

    Raises:
        TrainerError: it returned nothing, or something no adapter knows.
        MissingExtra: what exports models of this framework is not installed.
    """
    if model is None:
        raise TrainerError(f"trainer {trainer} returned nothing; it must return the trained model")
    roots = [base.__module__.split(".")[0] for base in type(model).__mro__]
    for name, adapter in _ADAPTERS.items():
        if adapter.package in roots:
            return _load(name)
    raise TrainerError(
        f"trainer {trainer} returned a {type(model).__module__}.{type(model).__qualname__}; return"
        " a torch.nn.Module, a keras.Model, a flax.nnx.Module, a scikit-learn estimator, or a"
        " model of XGBoost or LightGBM"
    )


def _load(name: str) -> Framework:
    module, _, kind = _ADAPTERS[name].target.partition(":")
    with needs(_ADAPTERS[name].extra or name, f"a model of {name}"):
        adapter: Framework = getattr(importlib.import_module(module), kind)()
    return adapter
