"""The search, and the page that a text names exactly."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from contextlib import suppress

from sqlalchemy import select

from mlops_assets.errors import NameRefused, NotFound
from mlops_assets.hub.views import addresses
from mlops_assets.hub.views.search.found import Found, Group, Kind, Slice, understood
from mlops_assets.hub.views.search.kinds import SEARCHES
from mlops_assets.names import Reference
from mlops_assets.registry import DataVersion, Registry
from mlops_assets.store import Store

GROUP = 5  # hits of each kind where all are searched
MAX_LIMIT = 100
SECONDS = 10.0  # of each statement, so that no text keeps the registry busy
_RUN_ID = re.compile("[0-9a-f]{8}[0-9a-f-]{0,28}")
_DIGEST = re.compile("[0-9a-f]{12,64}")


def search(
    store: Store,
    text: str,
    kinds: Collection[Kind] = (),
    first: int = 0,
    limit: int = GROUP,
) -> Found:
    """Search everything that the principal of a store sees.

    Args:
        store: workspace and registry.
        text: a reference, the beginning of a run id or digest, a sha256, or a part of a name, tag,
            note or title; `%` and `_` stand for themselves, and case does not matter.
        kinds: that are searched; all if empty.
        first: number of the first hit of each kind, from 0.
        limit: hits of each kind at most.

    Raises:
        TimeLimitExceeded: it takes too long.
    """
    wanted, notice = understood(text)
    if not wanted:
        return Found(wanted, None, [], notice)
    limited = Store(store.workspace, store.registry.limited(SECONDS))
    groups = [
        SEARCHES[kind](limited, wanted, Slice(first, min(limit, MAX_LIMIT)))
        for kind in Kind
        if not kinds or kind in kinds
    ]
    found = [group for group in groups if group.total != 0]
    return Found(wanted, _exact(limited.registry, wanted, found), found, notice)


def _exact(registry: Registry, text: str, groups: list[Group]) -> str | None:
    """Return the path of the one page that a text names; None if there is none, or more."""
    named = list(dict.fromkeys(_named(registry, text)))
    if not named:
        files = [group for group in groups if group.kind is Kind.FILE and group.total == 1]
        named = [hit.path for group in files for hit in group.hits]
    return named[0] if len(named) == 1 else None


def _named(registry: Registry, text: str) -> Iterator[str]:
    """Yield the paths of the pages that a reference, run id or digest names."""
    small = text.lower()
    if "@" in text:
        with suppress(NameRefused):
            reference = Reference.parse(text)
            with suppress(NotFound):
                registry.data_version(reference)
                yield addresses.data_path(reference)
            with suppress(NotFound):
                registry.model_version(reference)
                yield addresses.model_path(reference)
    if _RUN_ID.fullmatch(small):
        with suppress(NotFound):
            yield addresses.run_path(registry.run(small).run_id)
    if _DIGEST.fullmatch(small):
        query = select(DataVersion.dataset, DataVersion.version)
        query = query.where(DataVersion.digest.startswith(small)).limit(2)
        with registry.reading() as session:
            rows = session.execute(query).all()
        yield from (addresses.data_path(f"{dataset}@{version}") for dataset, version in rows)
