"""A whole life that nothing befalls, to compare others with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.register_assert_rewrite("mlops_assets_tests.faults.lives")

from mlops_assets_tests.faults.lives import Life, new_life  # noqa: E402


@pytest.fixture(scope="session")
def _whole_life(tmp_path_factory: pytest.TempPathFactory) -> Life:
    life = new_life(tmp_path_factory.mktemp("life"))
    with life.temporary_files():
        life.live()
    return life


@pytest.fixture
def life(_whole_life: Life) -> Iterator[Life]:
    """A whole life; temporary files are in its own folder."""
    with _whole_life.temporary_files():
        yield _whole_life
