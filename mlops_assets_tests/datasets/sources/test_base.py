"""Requests that are made together."""

from __future__ import annotations

import pytest

from mlops_assets.datasets.sources.base import together
from mlops_assets.errors import StorageError, StorageUnreachable


@pytest.mark.parametrize("kind", [StorageUnreachable, StorageError])
def test_failures_may_pass_if_each_of_them_may(kind: type[StorageError]) -> None:
    errors = [StorageUnreachable("a does not answer"), kind("b is one more")]

    def fails(error: StorageError) -> None:
        raise error

    with pytest.raises(StorageError, match="a does not answer\nb is one more") as raised:
        together(fails, errors)
    assert raised.type is kind
