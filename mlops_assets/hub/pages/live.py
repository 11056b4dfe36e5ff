"""Updates of open pages when somebody changes something.

One watcher per process looks at the registry; pages subscribe, and are not asked for anything while
nothing changes.
"""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from fastapi.concurrency import run_in_threadpool
from nicegui import Client, app, background_tasks, ui
from nicegui.slot import Slot

from mlops_assets.errors import MlopsError, SessionEnded
from mlops_assets.hub.pages.caller import hub, principal
from mlops_assets.hub.views.health import Health, health
from mlops_assets.principals import Principal, Role

Refresh = Callable[[], Awaitable[object]]

SECONDS = 1.0  # between looks at the registry
MAX_AT_ONCE = 8  # refreshes, each of which may read the registry in a thread
WATCHER = Principal("hub", frozenset({Role.VIEWER}))

log = logging.getLogger(__name__)


@dataclass(eq=False)
class _Subscription:
    """A function of a page that is called after changes.

    Attributes:
        client: of the page.
        slot: of the page, in which the function adds elements.
        refresh: the function.
        seen: entry of the registry that the page has seen.
        running: whether the function is being called.
    """

    client: weakref.ref[Client]
    slot: weakref.ref[Slot]
    refresh: Refresh
    seen: tuple[int, str] | None
    running: bool = False


@dataclass
class _Watcher:
    """Looks at the registry while pages are open."""

    subscriptions: list[_Subscription] = field(default_factory=list)
    task: asyncio.Task[None] | None = None
    slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_AT_ONCE))

    def add(self, subscription: _Subscription) -> None:
        self.subscriptions.append(subscription)
        if self.task is None or self.task.done():
            self.task = background_tasks.create(self._watch(), name="watch the registry")

    def remove(self, client_id: str) -> None:
        self.subscriptions = [
            each
            for each in self.subscriptions
            if (client := each.client()) is not None and client.id != client_id
        ]

    async def look(self) -> Health:
        """Look at the registry, in a thread; return its state."""
        store = hub().store.acting(WATCHER)
        try:
            return await run_in_threadpool(health, store)
        except Exception:
            # the next look may succeed; without one no page would ever be updated again
            log.exception("the registry could not be watched")
            return Health(notice="The state of the registry is unknown; the log has the reason.")

    async def _watch(self) -> None:
        while self.subscriptions:
            await asyncio.sleep(SECONDS)
            open_pages = [each for each in self.subscriptions if _is_open(each)]
            if not open_pages:
                continue
            found = await self.look()
            _show_notice(found.notice)
            if found.entry is None:
                continue
            for each in open_pages:
                if each.seen != found.entry and not each.running:
                    each.seen = found.entry
                    each.running = True
                    background_tasks.create(self._refresh(each), name="refresh a page")

    async def _refresh(self, each: _Subscription) -> None:
        client, slot = each.client(), each.slot()
        try:
            if client is None or slot is None or client.is_deleted:
                return
            async with self.slots:
                with slot:
                    principal()
                    await each.refresh()
        except SessionEnded as error:
            # the page keeps what it shows; the next action of its user asks them to sign in
            log.info("a page is not updated: %s", error)
        except MlopsError as error:
            log.warning("a page could not be updated: %s", error)
            each.seen = None  # tried again with the next look
        except Exception:
            # a page that fails must not keep others from their updates
            log.exception("a page could not be updated")
        finally:
            each.running = False


_watcher = _Watcher()


def on_change(refresh: Refresh) -> None:
    """Call a function whenever somebody has changed something, for as long as the page is open.

    It is called where this is called, so that it can clear and fill an element of the page, and
    never twice at a time. A change is seen within about a second.

    Args:
        refresh: reads by `read`, and updates the page; it is called after unrelated changes, too.
    """
    client = ui.context.client
    seen = client.storage.get("seen")
    slot = ui.context.slot
    _watcher.add(_Subscription(weakref.ref(client), weakref.ref(slot), refresh, seen))
    if not client.storage.get("watched"):
        client.storage["watched"] = True
        client.on_delete(lambda: _watcher.remove(client.id))


def every(seconds: float, refresh: Refresh) -> None:
    """Call a function again and again while the page is open, for what no change is recorded of.

    It is skipped while the registry does not respond, which the page shows already.

    Args:
        seconds: between calls.
        refresh: reads by `read`, and updates the page.
    """

    async def tolerant() -> None:
        try:
            await refresh()
        except MlopsError as error:
            log.info("a page could not be updated: %s", error)

    ui.timer(seconds, tolerant, immediate=False)


async def note_start() -> Health:
    """Note the state of the registry before a page reads it, and return it.

    So a change between reading and `on_change` is not missed.
    """
    found = await _watcher.look()
    ui.context.client.storage["seen"] = found.entry
    return found


def notice(initial: str) -> None:
    """Add the place where an open page shows what is wrong with the registry.

    Args:
        initial: shown until the next look.
    """
    label = ui.label(initial).classes("hub-banner").props("role=status")
    label.visible = bool(initial)
    ui.context.client.storage["notice"] = label
    on_change(_nothing)  # keeps the watcher looking


async def _nothing() -> None:
    """Update nothing."""


def _show_notice(content: str) -> None:
    for client in app.clients():
        label = client.storage.get("notice")
        if label is not None and label.text != content:
            label.text = content
            label.visible = bool(content)


def _is_open(each: _Subscription) -> bool:
    client = each.client()
    return client is not None and not client.is_deleted and client.has_socket_connection
