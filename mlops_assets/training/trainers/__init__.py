"""Ready-made trainers, usable from YAML alone, and the import of a trainer by its name."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import get_type_hints

from pydantic import BaseModel, ValidationError

from mlops_assets.errors import TrainerError
from mlops_assets.models.parameters import restored, without_quotes


@dataclass(frozen=True)
class Trainer:
    """A trainer function with the type of its parameters.

    Attributes:
        name: as declared, `package.module:function`.
        function: `(data, params, run) -> model`.
        params_type: type of its parameters.
        file: where it is defined.
        framework: framework of its models, if its module has a constant `FRAMEWORK`: it is then
            preloaded, and seeded where it needs that.
    """

    name: str
    function: Callable[..., object]
    params_type: type[BaseModel]
    file: Path
    framework: str | None = None

    def parameters(self, values: Mapping[str, object]) -> BaseModel:
        """Return validated parameters.

        Args:
            values: name → value, as declared, or as `models.parameters.written` gives them.

        Returns:
            An instance of `params_type`.

        Raises:
            TrainerError: an unknown parameter, a wrong type, or a value out of range.
        """
        named = self.params_type.model_fields
        try:
            return self.params_type.model_validate(
                {
                    name: without_quotes(value) if name in named else restored(value)
                    for name, value in values.items()
                }
            )
        except ValidationError as error:
            listed = "; ".join(
                f"{'.'.join(map(str, e['loc'])) or 'params'}: {e['msg']}" for e in error.errors()
            )
            raise TrainerError(f"parameters of {self.name} are refused: {listed}") from error


def load_trainer(name: str) -> Trainer:
    """Import a trainer.

    Args:
        name: `package.module:function`; the function is declared as `(data, params, run)`, with a
            pydantic model as the type of `params`.

    Returns:
        The trainer, whose function has not been called.

    Raises:
        TrainerError: the module or function is missing, or its `params` argument has no typed
            model.
    """
    module_name, _, function_name = name.partition(":")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise TrainerError(
            f"trainer {name}: module {module_name} cannot be imported: {type(error).__name__}:"
            f" {error}"
        ) from error
    function = getattr(module, function_name, None)
    if not callable(function):
        raise TrainerError(f"trainer {name}: module {module_name} has no function {function_name}")
    if list(inspect.signature(function).parameters)[:3] != ["data", "params", "run"]:
        raise TrainerError(
            f"trainer {name}: must be declared as {function_name}(data, params, run)"
        )
    params_type = _params_type(function, name)
    framework = getattr(module, "FRAMEWORK", None)
    return Trainer(name, function, params_type, Path(inspect.getfile(function)), framework)


def _params_type(function: Callable[..., object], name: str) -> type[BaseModel]:
    annotation = inspect.signature(function).parameters["params"].annotation
    # only this annotation: the others may name frameworks not imported yet
    if isinstance(annotation, str):
        holder = type(
            "_Params",
            (),
            {"__annotations__": {"params": annotation}, "__module__": function.__module__},
        )
        try:
            annotation = get_type_hints(holder, vars(sys.modules[function.__module__]))["params"]
        except NameError as error:
            raise TrainerError(
                f"trainer {name}: the type of params cannot be resolved: {error}"
            ) from error
    if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
        raise TrainerError(
            f"trainer {name}: annotate 'params' with a pydantic model or a dagster Config"
        )
    return annotation
