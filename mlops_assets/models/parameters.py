"""Parameters of trainers as they are kept in JSON and pass through Dagster's forms.

Nothing that was written is lost.

JSON has text keys only. A key that is a whole number is kept as that number's text, and a text that
would be taken for one is kept in quotes, as YAML writes it: `{0: 1, "0": 2}` becomes `{"0": 1,
"'0'": 2}`.
"""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel

_WHOLE = re.compile(r"-?(0|[1-9][0-9]*)")
_QUOTED = re.compile(r"'+-?(0|[1-9][0-9]*)'+")
# text to YAML 1.1, a number to all others
_WITH_EXPONENT = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+")


def written(value: Any) -> Any:
    """Return a value as JSON can keep it.

    Raises:
        ValueError: it has something that is not text, number, truth, null, list or mapping; or a
            key that is neither a text nor a whole number.
    """
    if isinstance(value, dict):
        return {_written_key(key): written(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [written(entry) for entry in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ValueError(
        f"{value} is a {type(value).__name__}, which no parameter can be; quote it if it is text"
    )


def _written_key(key: Any) -> str:
    if isinstance(key, str):
        return f"'{key}'" if _WHOLE.fullmatch(key) or _QUOTED.fullmatch(key) else key
    if isinstance(key, int) and not isinstance(key, bool):
        return str(key)
    raise ValueError(f"the key {key} is a {type(key).__name__}; quote it if it is text")


def restored(value: Any) -> Any:
    """Return what was `written`; also a number with an exponent that came as text."""
    if isinstance(value, dict):
        return {_restored_key(key): restored(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [restored(entry) for entry in value]
    return float(value) if isinstance(value, str) and _WITH_EXPONENT.fullmatch(value) else value


def _restored_key(key: Any) -> Any:
    return int(key) if isinstance(key, str) and _WHOLE.fullmatch(key) else _unquoted(key)


def _unquoted(key: Any) -> Any:
    return key[1:-1] if isinstance(key, str) and _QUOTED.fullmatch(key) else key


def without_quotes(value: Any) -> Any:
    """Return a value with texts for keys, as a typed parameter takes it.

    Its own type makes numbers of them.
    """
    if isinstance(value, dict):
        return {_unquoted(key): without_quotes(entry) for key, entry in value.items()}
    return [without_quotes(entry) for entry in value] if isinstance(value, list) else value


def document(params: BaseModel) -> dict[str, Any]:
    """Return typed parameters as JSON values; what the type does not name, as it is `written`."""
    further = params.model_extra or {}
    return {**params.model_dump(mode="json", exclude=set(further)), **written(further)}
