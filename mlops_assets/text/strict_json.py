"""JSON of callers, of which no two parsers or databases read different values.

No limit of bytes here; whoever reads the text has one.
"""

from __future__ import annotations

import json
import math
from typing import NoReturn

from mlops_assets.text.json_values import Json

MAX_DEPTH = 32  # of nested lists and objects
MIN_INTEGER = -(2**63)
MAX_INTEGER = 2**64 - 1


class NumberTooLarge(ValueError):
    """A number that does not have 64 bits."""


def parse_json(content: bytes | str) -> Json:
    """Return the value of a JSON text.

    Args:
        content: the text.

    Returns:
        A value at most `MAX_DEPTH` deep, without NaN, infinities, NUL characters and lone
        surrogates, whose integers have 64 bits.

    Raises:
        NumberTooLarge: a number is beyond that.
        ValueError: it is not valid JSON, or has what no value has.
    """
    try:
        value: Json = json.loads(
            content, parse_constant=_refuse_constant, object_pairs_hook=_members
        )
    except RecursionError:
        raise ValueError(_too_deep()) from None
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        for found in level:
            check_scalar(found)
        level = [child for node in level for child in _children(node)]
        if not level:
            return value
    raise ValueError(_too_deep())


def check_scalar(value: object) -> None:
    """Check a text or a number; any other value is valid.

    Raises:
        NumberTooLarge: a number does not have 64 bits.
        ValueError: a text has a NUL character or a lone surrogate.
    """
    if isinstance(value, str):
        if not value.isascii():
            value.encode()  # a lone surrogate is not text
        if "\0" in value:
            raise ValueError("a string has a NUL character")
    elif isinstance(value, float) and not math.isfinite(value):
        raise NumberTooLarge("a number is too large")
    elif isinstance(value, int) and not MIN_INTEGER <= value <= MAX_INTEGER:
        raise NumberTooLarge("an integer has more than 64 bits")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number of JSON")


def _members(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("an object has a member twice")
    return members


def _children(node: Json) -> list[Json]:
    if isinstance(node, dict):
        return [*node, *node.values()]
    return node if isinstance(node, list) else []


def _too_deep() -> str:
    return f"lists and objects are nested more than {MAX_DEPTH} deep"
