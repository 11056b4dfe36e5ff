"""Parameters of trainers as they are kept in JSON and pass through Dagster's forms, without loss.

JSON has text keys only. A whole number as a key is kept as its text, and a text that looks like a
whole number is kept in quotes, as YAML writes it: `{0: 1, "0": 2}` becomes `{"0": 1, "'0'": 2}`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from pydantic import BaseModel

from mlops_assets.text.json_values import Json, JsonObject

_WHOLE = re.compile(r"-?(0|[1-9][0-9]*)")
_QUOTED = re.compile(r"'+-?(0|[1-9][0-9]*)'+")
# a text in YAML 1.1, a number everywhere else
_WITH_EXPONENT = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+")


def written(value: object) -> Json:
    """Return a value as JSON can keep it.

    Raises:
        ValueError: it contains something other than text, number, boolean, null, list or mapping;
            or a key that is neither a text nor a whole number.
    """
    if isinstance(value, dict):
        return written_mapping(value)
    if isinstance(value, list | tuple):
        return [written(entry) for entry in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ValueError(
        f"{value} is a {type(value).__name__}, which is not a valid parameter; quote it if it is"
        " text"
    )


def written_mapping(values: Mapping[str, object]) -> JsonObject:
    """Return a mapping as JSON can keep it; see `written`."""
    return {_written_key(key): written(value) for key, value in values.items()}


def _written_key(key: object) -> str:
    if isinstance(key, str):
        return f"'{key}'" if _WHOLE.fullmatch(key) or _QUOTED.fullmatch(key) else key
    if isinstance(key, int) and not isinstance(key, bool):
        return str(key)
    raise ValueError(f"the key {key} is a {type(key).__name__}; quote it if it is text")


def restored(value: object) -> object:
    """Return the value that was `written`; numbers with an exponent may have come as text.

    A value that never was in JSON, whose keys are numbers still, stays as it is.
    """
    if isinstance(value, dict):
        return {_restored_key(key): restored(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [restored(entry) for entry in value]
    return float(value) if isinstance(value, str) and _WITH_EXPONENT.fullmatch(value) else value


def _restored_key(key: object) -> object:
    return int(key) if isinstance(key, str) and _WHOLE.fullmatch(key) else _unquoted(key)


def _unquoted(key: object) -> object:
    return key[1:-1] if isinstance(key, str) and _QUOTED.fullmatch(key) else key


def without_quotes(value: object) -> object:
    """Return a value with texts for keys, which the type of a parameter converts to numbers."""
    if isinstance(value, dict):
        return {_unquoted(key): without_quotes(entry) for key, entry in value.items()}
    return [without_quotes(entry) for entry in value] if isinstance(value, list) else value


def document(params: BaseModel) -> JsonObject:
    """Return typed parameters as JSON values; parameters beyond the type are `written`."""
    further = params.model_extra or {}
    document: JsonObject = params.model_dump(mode="json", exclude=set(further))
    return document | written_mapping(further)
