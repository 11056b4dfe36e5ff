"""Pages that were sent and that no browser has opened, as programs request them."""

from __future__ import annotations

from nicegui import Client

# NiceGUI keeps each for a minute, with half a megabyte: what fetches a thousand pages would take
# the memory of all others. A browser whose page is gone by the time it opens it loads it again.
MAX_UNOPENED = 200


def forget_oldest() -> None:
    """Forget the oldest pages that no browser has opened, if there are too many."""
    waiting = [client for client in Client.instances.values() if _is_unopened(client)]
    for client in waiting[:-MAX_UNOPENED]:
        client.delete()


def _is_unopened(client: Client) -> bool:
    """Return whether a page is complete and has no socket, nor has just lost one."""
    return (
        client._response_built
        and not client.has_socket_connection
        and not client._delete_tasks
        and not client.is_deleted
    )
