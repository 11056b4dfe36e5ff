"""Framework adapters: they save, reload and export the models that trainers return.

The class of a model decides its adapter. Adapters import their frameworks, so they are loaded only
when there is a model of theirs.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from mlops_assets.errors import TrainerError
from mlops_assets.extras import needs
from mlops_assets.models.frameworks.architectures import THIS_PROCESS, Trust

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mlops_assets.models.onnx.session import Outputs


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
    """The interface of a framework adapter. Nothing is ever pickled or unpickled.

    Every adapter passes the suite `mlops_assets.testing.frameworks.FrameworkContract`.

    Attributes:
        name: name of the framework, as the registry keeps it.
    """

    name: str

    def save(self, model: object, folder: Path) -> None:
        """Write a model's native form; equal models give equal bytes.

        Args:
            model: the trained model.
            folder: an empty folder.

        Raises:
            ExportError: the model has parts that cannot be written safely.
        """
        ...

    def load(self, folder: Path, trust: Trust = THIS_PROCESS) -> object:
        """Read a model back.

        Of the classes that its files name, only those of the framework and of `trust` are used.

        Args:
            folder: the folder that `save` has written.
            trust: the classes that the files may name besides the framework's own.

        Returns:
            A model that predicts exactly as the saved one.

        Raises:
            ExportError: the folder holds something else, or types that are not trusted.
        """
        ...

    def predict(self, model: object, X: NDArray[np.float32], task: str) -> Outputs:
        """Return the model's outputs under the names that they have in ONNX.

        Args:
            model: the trained model.
            X: samples, float32: (n, features), (n, bands) or (n, bands, height, width), scaled as
                in training; at least one.
            task: `classification`, `semantic-segmentation` or `regression`.

        Returns:
            `label`, class indices (n,), int64; `scores` (n, classes) or (n, classes, height,
            width), the largest at the predicted class; or for regression `value` (n,).

        Raises:
            ExportError: the model does not suit the task.
        """
        ...

    def export(self, model: object, sample_shape: tuple[int, ...], task: str, path: Path) -> None:
        """Write the model as one ONNX file with a dynamic batch axis.

        Its input is `input`, float32 of (batch, *sample_shape), scaled as in training; its outputs
        are those of `predict`.

        Args:
            model: the trained model.
            sample_shape: shape of one sample, without the batch axis.
            task: `classification`, `semantic-segmentation` or `regression`.
            path: the file to write.

        Raises:
            ExportError: the model does not suit the task, or has an operation that ONNX cannot
                express; the message names it.
        """
        ...

    def describe(self, model: object) -> ModelDescription:
        """Return the architecture and the number of parameters of a model.

        Args:
            model: the trained model.
        """
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


_PACKAGE = "mlops_assets.models.frameworks"
# In this order: wrappers of XGBoost and LightGBM descend from scikit-learn, and layers of Keras may
# from PyTorch. The first step of any optimizer of PyTorch imports its compiler, which takes as long
# as importing PyTorch.
_ADAPTERS = {
    "xgboost": _Adapter(f"{_PACKAGE}.xgboost:XGBoost", "xgboost", "xgboost"),
    "lightgbm": _Adapter(f"{_PACKAGE}.lightgbm:LightGBM", "lightgbm", "lightgbm"),
    "keras": _Adapter(f"{_PACKAGE}.keras:Keras", "keras", "tensorflow"),
    "flax": _Adapter(f"{_PACKAGE}.flax:Flax", "flax", "jax"),
    "pytorch": _Adapter(
        f"{_PACKAGE}.pytorch:PyTorch", "torch", forkable=True, ahead=("torch._dynamo",)
    ),
    "scikit-learn": _Adapter(f"{_PACKAGE}.scikit_learn:ScikitLearn", "sklearn", forkable=True),
}


def framework_named(name: str) -> Framework:
    """Return the adapter with this `name`.

    Args:
        name: as model versions record it: `pytorch`, `scikit-learn`, `keras`, …

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


def framework_of(model: object, trainer: str) -> Framework:
    """Return the adapter of a trained model, by the packages that its class descends from.

    Args:
        model: the value that a trainer returned.
        trainer: the trainer as 'package.module:function', for messages.

    Raises:
        TrainerError: the trainer returned nothing, or something that no adapter takes.
        MissingExtra: the packages that export models of this framework are not installed.
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
