"""PyTorch modules: safetensors with a description of the architecture, and torch.onnx to ONNX."""

from __future__ import annotations

import inspect
import json
import logging
import warnings
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_model, save_model

from mlops_assets.errors import ExportError
from mlops_assets.models.frameworks import ModelDescription
from mlops_assets.models.frameworks.architectures import THIS_PROCESS, Trust, trusted_class
from mlops_assets.models.onnx.graph import TARGET_OPSET, conform
from mlops_assets.models.onnx.session import Outputs, at_once
from mlops_assets.text.json_values import Json, JsonObject

WEIGHTS = "model.safetensors"
ARCHITECTURE = "architecture.json"
OWN_MODULES = ("torch.nn", "torch.nn.modules.")
CONTAINERS = (torch.nn.Sequential, torch.nn.ModuleList)


class PyTorch:
    """Adapter for PyTorch.

    A module is rebuilt from its class and constructor arguments, so it must keep each argument
    under the argument's own name (scikit-learn's convention, which PyTorch's own layers follow). No
    pickle is involved.
    """

    name = "pytorch"

    def save(self, model: object, folder: Path) -> None:
        """Write `model.safetensors` and `architecture.json`.

        Args:
            model: the trained model.
            folder: an empty folder.

        Raises:
            ExportError: the model is not a torch.nn.Module, its class does not keep a constructor
                argument, or an argument is neither number, text, list nor module.
        """
        module = _module(model).cpu().eval()
        architecture = _architecture(module)
        (folder / ARCHITECTURE).write_text(
            json.dumps(architecture, indent=2, sort_keys=True) + "\n"
        )
        save_model(module, str(folder / WEIGHTS))

    def load(self, folder: Path, trust: Trust = THIS_PROCESS) -> torch.nn.Module:
        """Rebuild the module and load its weights.

        Args:
            folder: the folder that `save` has written.
            trust: the classes that the files may name besides the framework's own.

        Returns:
            The module, on the CPU and in evaluation mode.

        Raises:
            ExportError: the files are damaged, name a class that is not trusted, or do not fit it.
        """
        try:
            model = _rebuild(json.loads((folder / ARCHITECTURE).read_text()), trust)
            load_model(model, folder / WEIGHTS)
        except (OSError, TypeError, ValueError, RecursionError, SafetensorError) as error:
            raise ExportError(f"the folder holds no PyTorch model: {error}") from error
        except RuntimeError as error:
            raise ExportError(
                f"weights do not fit {type(model).__qualname__}: {str(error).splitlines()[0]}"
            ) from error
        return model.eval()

    def predict(self, model: object, X: NDArray[np.float32], task: str) -> Outputs:
        """Return `scores` or `value`.

        Args:
            model: the trained model.
            X: samples, float32, (n, features), (n, bands) or (n, bands, height, width).
            task: `classification`, `semantic-segmentation` or `regression`.

        Returns:
            `scores` (n, classes) or (n, classes, height, width), or `value` (n,).

        Raises:
            ExportError: the model is not a torch.nn.Module.
        """
        module = _module(model).eval()
        with torch.inference_mode():
            size = at_once(X)
            outputs = [
                module(torch.from_numpy(X[i : i + size])).cpu().numpy()
                for i in range(0, len(X), size)
            ]
        found = np.concatenate(outputs)
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
        import onnx

        module = _module(model).cpu().eval()
        sample = torch.zeros((2, *sample_shape), dtype=torch.float32)
        output = "value" if task == "regression" else "scores"
        levels = {
            name: logging.getLogger(name).level
            for name in ("torch.onnx", "onnxscript", "torch.export")
        }
        try:
            for name in levels:
                logging.getLogger(name).setLevel(logging.ERROR)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the exporter warns about its own internals
                torch.onnx.export(
                    module,
                    (sample,),
                    path,
                    dynamo=True,
                    external_data=False,
                    opset_version=TARGET_OPSET,
                    verbose=False,
                    input_names=["input"],
                    output_names=[output],
                    dynamic_shapes=({0: torch.export.Dim("batch")},),
                )
        except (torch.onnx.errors.OnnxExporterError, RuntimeError) as error:
            reason = str(error.__cause__ or error).strip().splitlines()
            raise ExportError(
                f"{type(module).__qualname__} cannot be exported to ONNX:"
                f" {reason[0] if reason else error!r}"
            ) from error
        finally:
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)
        path.write_bytes(
            conform(onnx.load(path), sample_shape, {output: output}).SerializeToString()
        )

    def describe(self, model: object) -> ModelDescription:
        """Return the name of the model's class and its number of trained parameters.

        Args:
            model: the trained model.
        """
        parameters = sum(tensor.numel() for tensor in _module(model).parameters())
        return ModelDescription(type(model).__qualname__, parameters)


def _module(model: object) -> torch.nn.Module:
    if not isinstance(model, torch.nn.Module):
        raise ExportError(
            f"{type(model).__qualname__} is not a torch.nn.Module; return the trained module"
        )
    return model


def _architecture(module: torch.nn.Module) -> JsonObject:
    """Describe how to build a module: its class and arguments, which may be modules themselves."""
    kind = type(module)
    if "<" in kind.__qualname__:
        raise ExportError(
            f"{kind.__qualname__} is defined inside a function; move the class to module level"
        )
    described: JsonObject = {"class": f"{kind.__module__}:{kind.__qualname__}"}
    if isinstance(module, CONTAINERS) and kind in CONTAINERS:
        described["children"] = [_architecture(child) for child in module]
        return described
    arguments: JsonObject = {}
    for name, parameter in inspect.signature(kind.__init__).parameters.items():
        if name in ("self", "device", "dtype") or parameter.kind in (
            parameter.VAR_POSITIONAL,
            parameter.VAR_KEYWORD,
        ):
            continue
        if not hasattr(module, name):
            if parameter.default is parameter.empty:
                raise ExportError(
                    f"{kind.__qualname__} does not keep its argument {name!r}; write 'self.{name} ="
                    f" {name}' in its __init__, so that the model can be rebuilt"
                )
            continue
        arguments[name] = _argument(getattr(module, name), kind, name)
    described["arguments"] = arguments
    return described


def _argument(value: object, kind: type, name: str) -> Json:
    if isinstance(value, torch.nn.Module):
        return _architecture(value)
    if name == "bias" and (value is None or isinstance(value, torch.Tensor)):
        return value is not None  # layers take a bool and keep the parameter under the same name
    try:
        argument: Json = json.loads(json.dumps(value))
    except TypeError as error:
        raise ExportError(
            f"{kind.__qualname__} keeps {name!r} as a {type(value).__name__}; constructor arguments"
            " must be numbers, texts, lists or modules; register tensors as buffers"
        ) from error
    return argument


def _rebuild(described: object, trust: Trust) -> torch.nn.Module:
    if not isinstance(described, dict):
        raise ExportError(
            "the architecture is not a description of a module; fetch the model version again"
        )
    found = trusted_class(
        described.get("class"), trust, OWN_MODULES, torch.nn.Module, "torch module"
    )
    if "children" in described:
        children = [_rebuild(child, trust) for child in described["children"]]
        built: torch.nn.Module = (
            found(children) if issubclass(found, torch.nn.ModuleList) else found(*children)
        )
        return built
    arguments = {
        name: _rebuild(value, trust) if isinstance(value, dict) and "class" in value else value
        for name, value in dict(described.get("arguments", {})).items()
    }
    rebuilt: torch.nn.Module = found(**arguments)
    return rebuilt
