"""What log records belong to: the run, the model, the data version, the request.

It is kept in a context variable, so that requests which are handled at the same time do not mix.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType

# in the order in which a line has them
FIELDS = (
    "run",
    "model",
    "data_version",
    "model_version",
    "orchestration_run",
    "step",
    "request",
    "principal",
)
_fields: ContextVar[Mapping[str, str]] = ContextVar("log_fields", default=MappingProxyType({}))


@contextmanager
def log_fields(**fields: str | None) -> Iterator[None]:
    """Add fields to all that is logged in a block, and in tasks and threads begun from it.

    Args:
        fields: some of `FIELDS`; those without a value are left out.
    """
    token = _fields.set(_with(fields))
    try:
        yield
    finally:
        _fields.reset(token)


def add_log_fields(**fields: str | None) -> None:
    """Add fields to all that is logged from now on in this context.

    Args:
        fields: some of `FIELDS`; those without a value are left out.
    """
    _fields.set(_with(fields))


def current_fields() -> dict[str, str]:
    """Return the fields of this context, in the order of `FIELDS`."""
    found = _fields.get()
    return {name: found[name] for name in FIELDS if name in found}


def _with(fields: Mapping[str, str | None]) -> Mapping[str, str]:
    unknown = fields.keys() - set(FIELDS)
    if unknown:
        raise TypeError(f"not a field of logs: {', '.join(sorted(unknown))}")
    return {**_fields.get(), **{name: value for name, value in fields.items() if value}}
