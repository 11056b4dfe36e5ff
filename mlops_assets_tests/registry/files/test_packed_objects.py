"""The registry's index of objects in packs, on every database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mlops_assets.registry import Registry
from mlops_assets.storage.packs import Place

PLACES = {f"{i:064x}": Place("e" * 64, i << 20) for i in range(3_000)}


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.services)])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Registry]:
    sqlite = f"sqlite:///{tmp_path / 'registry.db'}"
    url = sqlite if request.param == "sqlite" else request.getfixturevalue("new_database")()
    opened = Registry(url)
    yield opened
    opened.close()


def test_places_are_found_by_checksum_the_newest_counts_and_none_is_invented(
    registry: Registry,
) -> None:
    registry.remember_packed(PLACES)
    moved = dict.fromkeys(list(PLACES)[:2], Place("f" * 64, 1 << 40))
    registry.remember_packed(moved)
    assert registry.packed([*PLACES, "f" * 64]) == {**PLACES, **moved}
    registry.forget_packed(list(PLACES)[1:])
    assert registry.packed(PLACES) == dict([next(iter(moved.items()))])


def test_commits_that_index_the_same_objects_in_other_orders_do_not_wait_for_each_other_forever(
    registry: Registry,
) -> None:
    other = Registry(registry.url)

    def remember(registry: Registry, places: Mapping[str, Place]) -> None:
        for _ in range(4):
            registry.remember_packed(places)

    with ThreadPoolExecutor(2) as pool:
        backwards = dict(reversed(PLACES.items()))
        both = [pool.submit(remember, registry, PLACES), pool.submit(remember, other, backwards)]
        for done in both:
            done.result()
    other.close()
    assert registry.packed(PLACES) == PLACES


def test_entries_of_a_pack_are_those_that_the_index_has_in_it(registry: Registry) -> None:
    registry.remember_packed(PLACES)
    moved, *others = PLACES
    registry.remember_packed({moved: Place("f" * 64, 7)})
    assert registry.entries_of("f" * 64) == {7: moved}
    assert registry.entries_of("e" * 64) == {PLACES[other].offset: other for other in others}
    assert registry.entries_of("d" * 64) == {}


def test_landed_files_come_with_the_places_of_their_objects(registry: Registry) -> None:
    packed, single = next(iter(PLACES)), "f" * 64
    registry.remember_packed(PLACES)
    files = [("a.npy", 1, "s", packed), ("b.npy", 2, "s", single), ("c.npy", 1, "t", packed)]
    registry.remember_landed("file:///a", files)
    registry.remember_landed("file:///b", files[:1])
    assert sorted(registry.landed_objects("file:///a")) == [
        (files[0], PLACES[packed]),
        (files[1], None),
        (files[2], PLACES[packed]),
    ]
