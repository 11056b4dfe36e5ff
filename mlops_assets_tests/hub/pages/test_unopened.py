"""Pages that no browser has opened."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from nicegui import Client
from nicegui.page import page

from mlops_assets.hub.pages import unopened


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Client]]:
    monkeypatch.setattr(unopened, "MAX_UNOPENED", 2)
    found = [Client(page("")) for _ in range(6)]
    for client in found:
        client._response_built = True
    yield found
    for client in found:
        if not client.is_deleted:
            client.delete()


def test_the_oldest_of_too_many_pages_that_nobody_opens_are_forgotten(
    clients: list[Client],
) -> None:
    being_built, opened, *others = clients
    being_built._response_built = False
    opened.tab_id = "tab"
    unopened.forget_oldest()
    assert [client for client in clients if not client.is_deleted] == [
        being_built,
        opened,
        *others[-2:],
    ]
