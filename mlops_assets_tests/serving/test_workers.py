"""Threads that answer requests: what a failed one leaves, and which run on the event loop."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Iterator
from contextlib import closing

import pytest

from mlops_assets.errors import RequestRefused
from mlops_assets.serving.workers import Workers


class Body:
    """What a request has taken."""


@pytest.fixture
def _no_collector() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("_no_collector")
def test_what_a_refused_request_has_taken_is_freed_at_once() -> None:
    taken: list[weakref.ref[Body]] = []

    def refuse() -> None:
        body = Body()
        taken.append(weakref.ref(body))
        raise RequestRefused("no")

    async def ask(workers: Workers) -> None:
        with pytest.raises(RequestRefused):
            await workers.run(refuse)

    with closing(Workers(1, 1)) as workers:
        asyncio.run(ask(workers))
    assert [reference() for reference in taken] == [None]


def test_quick_refusals_do_not_bring_slow_requests_onto_the_event_loop() -> None:
    def refuse() -> None:
        raise RequestRefused("no")

    async def ask(workers: Workers) -> bool:
        for _ in range(3):
            with pytest.raises(RequestRefused):
                await workers.run(refuse, kind="same")
        return await workers.run(threading.current_thread, kind="same") is threading.main_thread()

    with closing(Workers(1, 1)) as workers:
        assert not asyncio.run(ask(workers))
