"""Fields of a form, derived from typed parameters, and values as users write them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, JsonValue, TypeAdapter
from pydantic.errors import PydanticUserError
from pydantic.fields import FieldInfo

from mlops_assets.errors import SpecificationError
from mlops_assets.models.parameters import restored, written

Kind = Literal["integer", "number", "boolean", "choice", "text", "value"]
MAX_TEXT = 10_000  # characters of a value
_LIMITS = {
    "minimum": "≥ {}",
    "exclusiveMinimum": "> {}",
    "maximum": "≤ {}",
    "exclusiveMaximum": "< {}",
    "minLength": "{} characters or more",
    "maxLength": "{} characters at most",
    "minItems": "{} values or more",
    "maxItems": "{} values at most",
}


@dataclass(frozen=True)
class FormField:
    """One value of a form.

    Attributes:
        name: of the parameter.
        kind: decides how it is entered: `choice` by a list, `boolean` by a switch, `text` as it is,
            all others as YAML.
        description: of the parameter, as its type documents it.
        default: of a run that enters nothing: as declared, else the trainer's own.
        declared: whether the model's declaration sets the default.
        required: whether there is no default.
        nullable: whether it may be null, which an empty field means.
        choices: the values of a `choice`.
        limits: the values that are valid, in words; empty if any is.
        type: JSON Schema of the values.
        known: whether the trainer or the declaration has it, not the user alone.
    """

    name: str
    kind: Kind
    description: str
    default: JsonValue
    declared: bool
    required: bool
    nullable: bool
    choices: list[JsonValue]
    limits: str
    type: dict[str, JsonValue]
    known: bool = True

    @classmethod
    def of_any(cls, name: str) -> FormField:
        """Return the field of a parameter of which nothing is known."""
        return cls(name, "value", "", None, False, False, False, [], "", {}, known=False)

    def text(self, value: JsonValue) -> str:
        """Return a value as a user writes it; `parse` reads it."""
        if value is None and self.nullable:
            return ""
        if isinstance(value, str) and self.kind in ("text", "choice"):
            return value
        if self.kind == "number" and isinstance(value, float) and value.is_integer():
            return f"{value:.16g}"
        return written_value(value)

    def parse(self, text: str) -> JsonValue:
        """Return the value of a text, which the trainer's own type still has to check.

        Raises:
            SpecificationError: it is empty where a value is needed, or not valid YAML.
        """
        if not text.strip() and self.nullable:
            return None
        if self.kind == "text":
            return text
        for choice in self.choices:
            if text == self.text(choice):
                return choice
        if not text.strip():
            raise SpecificationError(f"{self.name} needs a value")
        return read_value(text)


def fields_of(
    parameters: type[BaseModel], values: Mapping[str, JsonValue], declared: Mapping[str, object]
) -> list[FormField]:
    """Return a field for each parameter.

    Args:
        parameters: type of the parameters.
        values: name → default of the form; those beyond the type follow its own.
        declared: those that a declaration sets.
    """
    typed = parameters.model_fields
    known = [
        _field(name, _schema(info), values.get(name), declared, info)
        for name, info in typed.items()
    ]
    further = [
        _field(name, _schema_of(value), value, declared)
        for name, value in values.items()
        if name not in typed
    ]
    return [*known, *further]


def read_value(text: str) -> JsonValue:
    """Return the value of YAML as `mlops train -p NAME=VALUE` reads it.

    Raises:
        SpecificationError: it is not valid, or too long; references in it are not read, as they
            make short texts into long values.
    """
    if len(text) > MAX_TEXT:
        raise SpecificationError(f"the value is longer than {MAX_TEXT} characters; shorten it")
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader)):
            raise SpecificationError("the value has a reference, *NAME; write the value itself")
        return written(yaml.safe_load(text))
    except RecursionError as error:
        raise SpecificationError("the value is nested too deeply") from error
    except yaml.YAMLError as error:
        raise SpecificationError("the value is not valid YAML; quote it if it is text") from error
    except ValueError as error:
        raise SpecificationError(str(error)) from error


def written_value(value: JsonValue) -> str:
    """Return a value as YAML on one line, which `read_value` reads."""
    return value if isinstance(value, str) and _is_plain(value) else _flow(value)


def _flow(value: JsonValue) -> str:
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_key(key)}: {_flow(entry)}' for key, entry in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_flow, value))}]"
    # YAML takes printable characters only, JSON escapes the others
    printable = not isinstance(value, str) or value.isprintable()
    return json.dumps(value, ensure_ascii=not printable)


def _key(key: str) -> str:
    """Return a key as a user writes it: whole numbers are kept as texts, see `parameters`."""
    mapping = restored({key: None})
    own = next(iter(mapping)) if isinstance(mapping, dict) else key
    return str(own) if isinstance(own, int) else json.dumps(own, ensure_ascii=False)


def _is_plain(text: str) -> bool:
    """Return whether YAML reads a text as it is."""
    try:
        return read_value(text) == text
    except SpecificationError:
        return False


def _field(
    name: str,
    schema: dict[str, JsonValue],
    value: JsonValue,
    declared: Mapping[str, object],
    info: FieldInfo | None = None,
) -> FormField:
    own, nullable = _without_null(schema)
    choices = _choices(own)
    if nullable and own.get("type") == "boolean":
        choices = [True, False]  # a switch has no third state
    return FormField(
        name=name,
        kind=_kind(own, choices),
        description=(info.description if info is not None else None) or "",
        default=value,
        declared=name in declared,
        required=info is not None and info.is_required() and name not in declared,
        nullable=nullable,
        choices=[*choices, *([None] if nullable and choices else [])],
        limits=_limits(own),
        type=schema,
    )


def _schema(info: FieldInfo) -> dict[str, JsonValue]:
    """Return the JSON Schema of a parameter; an empty one, which any value fits, if it has none."""
    annotation: Any = info.annotation
    for constraint in info.metadata:
        annotation = Annotated[annotation, constraint]
    try:
        return TypeAdapter(annotation).json_schema()
    except PydanticUserError:
        # a type of Python that JSON does not have; the trainer checks it all the same
        return {}


def _schema_of(value: JsonValue) -> dict[str, JsonValue]:
    """Return the JSON Schema of a parameter beyond the type, of which there is a value only."""
    if isinstance(value, bool):
        return {"type": "boolean"}
    # a number as well as a text may be passed on, whatever the declared one is
    return {}


def _without_null(schema: dict[str, JsonValue]) -> tuple[dict[str, JsonValue], bool]:
    found = schema.get("anyOf")
    if not isinstance(found, list):
        return schema, False
    others = [entry for entry in found if isinstance(entry, dict) and entry.get("type") != "null"]
    nullable = len(others) < len(found)
    if len(others) != 1:
        return {"anyOf": list(others)}, nullable
    # types of Python such as an Enum are defined beside
    return {"$defs": schema.get("$defs"), **others[0]}, nullable


def _choices(schema: Mapping[str, JsonValue]) -> list[JsonValue]:
    if "const" in schema:
        return [schema["const"]]
    reference = schema.get("$ref")
    definitions = schema.get("$defs")
    if isinstance(reference, str) and isinstance(definitions, dict):
        found = definitions.get(reference.rpartition("/")[2])
        return _choices(found) if isinstance(found, dict) else []
    listed = schema.get("enum")
    return list(listed) if isinstance(listed, list) else []


def _kind(schema: Mapping[str, JsonValue], choices: list[JsonValue]) -> Kind:
    if choices:
        return "choice"
    kinds: dict[JsonValue, Kind] = {
        "integer": "integer",
        "number": "number",
        "boolean": "boolean",
        "string": "text",
    }
    found = schema.get("type")
    return kinds.get(found, "value") if isinstance(found, str) else "value"


def _limits(schema: Mapping[str, JsonValue]) -> str:
    alternatives = schema.get("anyOf")
    if isinstance(alternatives, list):
        found = [_alternative(entry) for entry in alternatives if isinstance(entry, dict)]
        return " or ".join(found)
    return ", ".join(text.format(schema[name]) for name, text in _LIMITS.items() if name in schema)


def _alternative(schema: Mapping[str, JsonValue]) -> str:
    """Return in words what one of several types accepts."""
    choices = _choices(schema)
    if choices:
        return ", ".join(map(str, choices))
    names = {"object": "{name: value}", "array": "[value, …]", "string": "text"}
    kind = schema.get("type")
    return " ".join(_words(names.get(str(kind), str(kind or "any value")), _limits(schema)))


def _words(*texts: str) -> Iterator[str]:
    return (text for text in texts if text)
