"""The import of a user's function by its name, with the type of its parameters.

Trainers are such functions, and what makes data of data (`mlops_assets.processing`) is another.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_type_hints

from pydantic import BaseModel, ValidationError

from mlops_assets.errors import MlopsError, TrainerError
from mlops_assets.models.parameters import restored, without_quotes


@dataclass(frozen=True)
class FunctionKind:
    """A kind of function that users write.

    Attributes:
        name: in messages, e.g. `trainer`.
        arguments: names of its first arguments, `params` among them.
        error: class of the errors in it.
    """

    name: str
    arguments: Sequence[str]
    error: type[MlopsError]


@dataclass(frozen=True)
class UserFunction:
    """A function with the type of its parameters.

    Attributes:
        name: as declared, `package.module:function`.
        function: called with the arguments of its kind.
        params_type: type of its parameters.
        file: where it is defined.
        framework: framework that its module names by a constant `FRAMEWORK`, if it does: it is then
            preloaded, and seeded where it needs that.
        error: class of the errors in its parameters.
    """

    name: str
    function: Callable[..., object]
    params_type: type[BaseModel]
    file: Path
    framework: str | None = None
    error: type[MlopsError] = TrainerError

    def parameters(self, values: Mapping[str, object]) -> BaseModel:
        """Return validated parameters.

        Args:
            values: name → value, as declared, or as `models.parameters.written` gives them.

        Returns:
            An instance of `params_type`.

        Raises:
            MlopsError: `error`: an unknown parameter, a wrong type, or a value out of range.
        """
        converted = self._converted(values)
        try:
            typed = self.params_type.model_validate(converted)
        except ValidationError as error:
            listed = "; ".join(
                f"{'.'.join(map(str, e['loc'])) or 'params'}: {e['msg']}" for e in error.errors()
            )
            raise self.error(f"parameters of {self.name} are refused: {listed}") from error
        unknown = self._ignored(converted)
        if unknown:
            raise self.error(
                f"parameters of {self.name} are refused: {', '.join(unknown)}: unknown; there is"
                f" {', '.join(self.params_type.model_fields) or 'none'}"
            )
        return typed

    def problems(self, values: Mapping[str, object]) -> dict[str, str]:
        """Return why `parameters` refuses values; empty if it does not.

        Args:
            values: name → value, as of `parameters`.

        Returns:
            Parameter → what is wrong with it; the empty text is for all of them together.
        """
        converted = self._converted(values)
        found = dict.fromkeys(self._ignored(converted), "unknown parameter; remove it")
        try:
            self.params_type.model_validate(converted)
        except ValidationError as error:
            for entry in error.errors():
                name, *rest = entry["loc"] or ("",)
                place = f"{'.'.join(map(str, rest))}: " if rest else ""
                found.setdefault(str(name), place + entry["msg"])
        return found

    def _converted(self, values: Mapping[str, object]) -> dict[str, object]:
        named = self.params_type.model_fields
        return {
            name: without_quotes(value) if name in named else restored(value)
            for name, value in values.items()
        }

    def _ignored(self, values: Mapping[str, object]) -> list[str]:
        """Return the parameters that the type drops silently, as pydantic does by default."""
        if self.params_type.model_config.get("extra") == "allow":
            return []
        try:
            self.params_type.model_validate(values, extra="forbid")
        except ValidationError as error:
            # what is nested may allow more
            found = (e["loc"] for e in error.errors() if e["type"] == "extra_forbidden")
            return [str(loc[0]) for loc in found if len(loc) == 1]
        return []


def load_function(kind: FunctionKind, name: str) -> UserFunction:
    """Import a function.

    Args:
        kind: what it is for.
        name: `package.module:function`; the function is declared with the arguments of its kind,
            and a pydantic model as the type of `params`.

    Returns:
        The function, which has not been called.

    Raises:
        MlopsError: of its kind: the module or function is missing, or its `params` argument has no
            typed model.
    """
    module_name, _, function_name = name.partition(":")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise kind.error(
            f"{kind.name} {name}: module {module_name} cannot be imported: {type(error).__name__}:"
            f" {error}"
        ) from error
    function = getattr(module, function_name, None)
    if not callable(function):
        raise kind.error(
            f"{kind.name} {name}: module {module_name} has no function {function_name}"
        )
    wanted = list(kind.arguments)
    if list(inspect.signature(function).parameters)[: len(wanted)] != wanted:
        raise kind.error(
            f"{kind.name} {name}: must be declared as {function_name}({', '.join(wanted)})"
        )
    params_type = _params_type(kind, function, name)
    framework = getattr(module, "FRAMEWORK", None)
    file = Path(inspect.getfile(function))
    return UserFunction(name, function, params_type, file, framework, kind.error)


def _params_type(kind: FunctionKind, function: Callable[..., object], name: str) -> type[BaseModel]:
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
            raise kind.error(
                f"{kind.name} {name}: the type of params cannot be resolved: {error}"
            ) from error
    if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
        raise kind.error(
            f"{kind.name} {name}: annotate 'params' with a pydantic model or a dagster Config"
        )
    return annotation
