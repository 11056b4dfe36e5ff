"""Libraries that come with an extra: a missing one is an error that says what to install.

Which libraries an adapter or trainer needs is its own business.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mlops_assets.errors import MissingExtra


@contextmanager
def needs(extra: str, what: str) -> Iterator[None]:
    """Import inside of this what comes with an extra.

    Args:
        extra: name of the extra of this package.
        what: what needs it, for the message, such as "the trainer xgboost".

    Raises:
        MissingExtra: a library is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingExtra(
            f"{what} needs {error.name}, which is not installed; pip install"
            f" 'mlops-assets[{extra}]'"
        ) from error
