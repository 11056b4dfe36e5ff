"""Health of what the hub relies on, and what still works without it."""

from __future__ import annotations

from dataclasses import dataclass

from mlops_assets.errors import MlopsError, StorageError, StorageUnreachable
from mlops_assets.registry.migrations.upgrade import is_present
from mlops_assets.registry.schema import SCHEMA_REVISION
from mlops_assets.store import Store
from mlops_assets.text.secret_urls import redacted


@dataclass(frozen=True)
class Health:
    """The state of the registry.

    Attributes:
        entry: newest entry of its log, which is another one after every change; None if there is
            none, or it cannot be read.
        notice: what is wrong, what works nevertheless, and what to do; empty if all is well.
    """

    entry: tuple[int, str] | None = None
    notice: str = ""


def health(store: Store) -> Health:
    """Return the state of the registry; an error becomes the notice."""
    try:
        with store.registry.snapshot() as connection:
            present = is_present(connection)
        if not present:
            raise StorageError(
                f"registry {redacted(store.registry.url)} has no schema {SCHEMA_REVISION}; it was"
                " replaced while this server ran: restart it, which upgrades an older registry"
            )
        return Health(store.registry.newest_entry())
    except StorageUnreachable as error:
        return Health(
            notice=f"The registry does not respond: {redacted(str(error))}. Pages show what they"
            " have read before; nothing can be changed until it does."
        )
    except MlopsError as error:
        return Health(
            notice=f"The registry cannot be used: {redacted(str(error))}. Runs that are under way"
            " keep what they log, and record it later."
        )
