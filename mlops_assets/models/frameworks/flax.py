"""Flax (nnx) modules.

They are stored as safetensors with a description of the architecture, and exported by jax2onnx.
"""

from __future__ import annotations

import inspect
import json
import warnings
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np
from flax import errors, nnx
from jax2onnx import to_onnx
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.flax import load_file, save_file

from mlops_assets.errors import ExportError
from mlops_assets.models.frameworks import ModelDescription
from mlops_assets.models.frameworks.architectures import THIS_PROCESS, Trust, trusted_class
from mlops_assets.models.onnx.graph import conform
from mlops_assets.models.onnx.session import Outputs, at_once
from mlops_assets.text.json_values import JsonObject

if TYPE_CHECKING:
    import jax

WEIGHTS = "model.safetensors"
ARCHITECTURE = "architecture.json"
OPSET = 21
OWN_MODULES = ("flax.nnx", "flax.nnx.")


class Flax:
    """Adapter for Flax's nnx.

    A module is rebuilt from its class and constructor arguments, so it must keep each argument
    under the argument's own name, and they must be numbers, texts or lists; `rngs` is created anew.
    No pickle is involved.
    """

    name = "flax"

    def save(self, model: object, folder: Path) -> None:
        """Write `model.safetensors` and `architecture.json`.

        Args:
            model: the trained model.
            folder: an empty folder.

        Raises:
            ExportError: the model is not a flax.nnx.Module, its class does not keep a constructor
                argument, or an argument is neither number, text nor list.
        """
        module = _module(model)
        (folder / ARCHITECTURE).write_text(
            json.dumps(_architecture(module), indent=2, sort_keys=True) + "\n"
        )
        save_file(
            {name: jnp.asarray(value) for name, value in _weights(module).items()}, folder / WEIGHTS
        )

    def load(self, folder: Path, trust: Trust = THIS_PROCESS) -> nnx.Module:
        """Rebuild the module and load its weights.

        Args:
            folder: the folder that `save` has written.
            trust: the classes that the files may name besides the framework's own.

        Returns:
            The module, in evaluation mode.

        Raises:
            ExportError: the files are damaged, name a class that is not trusted, or do not fit it.
        """
        try:
            described = json.loads((folder / ARCHITECTURE).read_text())
            stored = load_file(folder / WEIGHTS)
        except (OSError, ValueError, RecursionError, SafetensorError) as error:
            raise ExportError(f"the folder holds no Flax model: {error}") from error
        model = _rebuild(described, trust)
        expected = {name: (value.shape, value.dtype) for name, value in _weights(model).items()}
        if expected != {name: (value.shape, value.dtype) for name, value in stored.items()}:
            raise ExportError(f"weights do not fit {type(model).__qualname__}")
        state = nnx.to_flat_state(_state(model))
        for path, variable in state:
            variable.set_value(stored[_name(path)])
        nnx.update(model, nnx.from_flat_state(state))
        return model

    def predict(self, model: object, X: NDArray[np.float32], task: str) -> Outputs:
        """Return `scores` or `value`.

        Args:
            model: the trained model.
            X: samples, float32, (n, features), (n, bands) or (n, bands, height, width).
            task: `classification`, `semantic-segmentation` or `regression`.

        Returns:
            `scores` (n, classes) or (n, classes, height, width), or `value` (n,).

        Raises:
            ExportError: the model is not a flax.nnx.Module.
        """
        module = _module(model)
        module.eval()
        size = at_once(X)
        found = np.concatenate(
            [np.asarray(module(jnp.asarray(X[i : i + size]))) for i in range(0, len(X), size)]
        )
        return {"value": found.reshape(len(X))} if task == "regression" else {"scores": found}

    def export(self, model: object, sample_shape: tuple[int, ...], task: str, path: Path) -> None:
        """Write ONNX with a dynamic batch axis.

        Args:
            model: the trained model.
            sample_shape: shape of one sample, without the batch axis.
            task: `classification`, `semantic-segmentation` or `regression`.
            path: the file to write.

        Raises:
            ExportError: the model has an operation that ONNX cannot express.
        """
        module = _module(model)
        module.eval()
        name = type(module).__qualname__
        output = "value" if task == "regression" else "scores"
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the exporter warns about its own internals
                exported = to_onnx(module, [("batch", *sample_shape)], model_name=name, opset=OPSET)
        except (ValueError, TypeError, RuntimeError, KeyError, errors.FlaxError) as error:
            reason = (str(error).strip().splitlines() or [repr(error)])[0]
            raise ExportError(f"{name} cannot be exported to ONNX: {reason}") from error
        (given,) = (entry.name for entry in exported.graph.output)
        path.write_bytes(conform(exported, sample_shape, {given: output}).SerializeToString())

    def describe(self, model: object) -> ModelDescription:
        """Return the name of the model's class and its number of trained parameters.

        Args:
            model: the trained model.
        """
        found = nnx.to_flat_state(nnx.state(_module(model), nnx.Param))
        parameters = sum(int(variable.get_value().size) for _, variable in found)
        return ModelDescription(type(model).__qualname__, parameters)


def _module(model: object) -> nnx.Module:
    if not isinstance(model, nnx.Module):
        raise ExportError(
            f"{type(model).__qualname__} is not a flax.nnx.Module; Flax's older linen is not"
            " supported"
        )
    return model


def _state(model: nnx.Module) -> nnx.State[Hashable, nnx.Variable[jax.Array]]:
    """Return everything a module holds but the states of its random numbers."""
    return nnx.state(model, nnx.Not(nnx.RngState))


def _weights(model: nnx.Module) -> dict[str, jax.Array]:
    return {
        _name(path): variable.get_value() for path, variable in nnx.to_flat_state(_state(model))
    }


def _name(path: tuple[object, ...]) -> str:
    return ".".join(map(str, path))


def _architecture(model: nnx.Module) -> JsonObject:
    kind = type(model)
    if "<" in kind.__qualname__:
        raise ExportError(
            f"{kind.__qualname__} is defined inside a function; move the class to module level"
        )
    arguments: JsonObject = {}
    for name, parameter in _parameters(kind).items():
        if name in ("self", "rngs"):
            continue
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise ExportError(
                f"{kind.__qualname__} takes any number of arguments; write a class that names them"
            )
        if not hasattr(model, name):
            if parameter.default is parameter.empty:
                raise ExportError(
                    f"{kind.__qualname__} does not keep its argument {name!r}; write 'self.{name} ="
                    f" {name}' in its __init__, so that the model can be rebuilt"
                )
            continue
        value = getattr(model, name)
        if value is parameter.default:
            continue
        try:
            arguments[name] = json.loads(json.dumps(value))
        except TypeError as error:
            raise ExportError(
                f"{kind.__qualname__} keeps {name!r} as a {type(value).__name__}; constructor"
                " arguments must be numbers, texts or lists"
            ) from error
    return {"class": f"{kind.__module__}:{kind.__qualname__}", "arguments": arguments}


def _parameters(kind: type[nnx.Module]) -> Mapping[str, inspect.Parameter]:
    """Return the constructor's parameters.

    The signature of the class itself is its metaclass's, which takes anything.
    """
    return inspect.signature(kind.__init__).parameters


def _rebuild(described: object, trust: Trust) -> nnx.Module:
    if not isinstance(described, dict):
        raise ExportError(
            "the architecture is not a description of a module; fetch the model version again"
        )
    found = trusted_class(described.get("class"), trust, OWN_MODULES, nnx.Module, "Flax module")
    arguments = described.get("arguments")
    if not isinstance(arguments, dict):
        raise ExportError(f"{described['class']} has no arguments; fetch the model version again")
    if "rngs" in _parameters(found):
        arguments["rngs"] = nnx.Rngs(0)
    try:
        model: nnx.Module = found(**arguments)
    except TypeError as error:
        raise ExportError(
            f"{described['class']} does not take the stored arguments: {error}"
        ) from error
    model.eval()
    return model
