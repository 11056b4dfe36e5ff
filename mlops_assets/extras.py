"""Libraries that come with an extra: a missing one is an error that names the extra.

The libraries that an adapter or trainer needs are imported by it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mlops_assets.errors import MissingExtra


@contextmanager
def needs(extra: str, user: str) -> Iterator[None]:
    """Import libraries of an extra inside this block.

    Args:
        extra: name of the extra of this package.
        user: the part that needs it, for the message, such as "the trainer xgboost".

    Raises:
        MissingExtra: a library is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingExtra(
            f"{user} needs {error.name}, which is not installed; pip install"
            f" 'mlops-assets[{extra}]'"
        ) from error
