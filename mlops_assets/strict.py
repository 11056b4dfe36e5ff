"""The base of everything a user declares: immutable, and refusing unknown keys."""

from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    """An immutable model that refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@contextmanager
def refusing(kind: type[Exception]) -> Iterator[None]:
    """Raise errors of a kind as ValueError, which pydantic reports with the place of the value."""
    try:
        yield
    except kind as error:
        raise ValueError(str(error)) from error
