"""Results of threads in order, some ahead of who takes them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from mlops_assets.datasets.io.ahead import in_order


def test_results_are_in_order_and_a_bounded_number_of_items_is_taken_ahead() -> None:
    taken = []

    def items() -> Iterator[int]:
        for item in range(20):
            taken.append(item)
            yield item

    with ThreadPoolExecutor(4) as pool:
        found = in_order(pool, lambda item: item * item, items(), 3)
        for number in range(16):
            assert next(found) == number**2
            assert len(taken) == number + 4
        assert list(found) == [256, 289, 324, 361]


def test_what_has_not_begun_is_given_up_with_the_iterator_or_after_a_failure() -> None:
    begun = []
    go = threading.Event()

    def work(item: int) -> int:
        begun.append(item)
        if item == 1:
            go.wait(10)
        if item == 2:
            raise ValueError(str(item))
        return item

    with ThreadPoolExecutor(1) as pool:
        found = in_order(pool, work, range(10), 5)
        assert next(found) == 0
        found.close()
        go.set()
    assert len(begun) <= 2
    with ThreadPoolExecutor(1) as pool:
        found = in_order(pool, work, [0, 2, 1, 1, 1], 1)
        assert next(found) == 0
        with pytest.raises(ValueError, match="2"):
            next(found)
