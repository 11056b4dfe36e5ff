"""Removal of logged requests: of old days, and of single requests on demand.

What was removed stays in no file of the log; documents of monitoring keep their numbers.
"""

from __future__ import annotations

from datetime import date, timedelta

import pyarrow.compute as pc
import pyarrow.parquet as pq

from mlops_assets.errors import SpecificationError
from mlops_assets.names import check_name
from mlops_assets.paths import INFERENCE, requests_key
from mlops_assets.principals import Role
from mlops_assets.registry.files.publication import complete_publications
from mlops_assets.registry.session import drop_files
from mlops_assets.serving.request_log.compact import day_lock, rewrite_day
from mlops_assets.serving.request_log.day_file import check_day, logged_days, published_day
from mlops_assets.serving.request_log.rows import request_digest
from mlops_assets.serving.request_log.spool import ship_left_overs
from mlops_assets.store import Store

MAX_REASON = 1000  # characters


def enforce_retention(store: Store, model: str, days: int, today: date) -> list[str]:
    """Remove the logged requests of days that are too old.

    Args:
        store: workspace and registry.
        model: name of the model.
        days: that requests are kept for, with that of today.
        today: the day, UTC.

    Returns:
        The days that were removed, oldest first.

    Raises:
        Forbidden: the principal is not a scientist.
        StorageError: they cannot be removed.
    """
    oldest = (today - timedelta(days=days - 1)).isoformat()
    action = f"remove logged requests of {check_name(model)}"
    store.registry.principal.require(Role.SCIENTIST, action)
    removed = [day for day in logged_days(store, model) if day < oldest]
    for day in removed:
        key = requests_key(model, check_day(day))
        with day_lock(store, model, day):
            with store.registry.transaction(f"{action} on {day}", Role.SCIENTIST) as session:
                drop_files(session, [key])
            complete_publications(store.workspace, store.registry)
            store.workspace.remove_folder(f"{INFERENCE}/{model}/{day}")
    return removed


def delete_request(store: Store, model: str, request_id: str, reason: str) -> int:
    """Delete a logged request, with all its samples, on every day that has it.

    The log of the registry states who has deleted a request, when and why, but not which: an id may
    be personal data itself. Its digest stays in the file of the day, so that what a server has of
    it and has not shipped yet does not come back.

    Args:
        store: workspace and registry.
        model: name of the model.
        request_id: id of the request.
        reason: why.

    Returns:
        The number of samples that were deleted; 0 if there is no such request.

    Raises:
        Forbidden: the principal is not an operator.
        SpecificationError: id or reason cannot be used.
        StorageError: the workspace cannot be read or written.
    """
    store.registry.principal.require(Role.OPERATOR, "delete logged requests")
    if not request_id:
        raise SpecificationError("a request without an id cannot be deleted; give its id")
    reason = deletion_reason(reason)
    deleted = 0
    digests = frozenset({request_digest(request_id)})
    ship_left_overs(store.workspace)
    for day in logged_days(store, model):
        rewrite_day(store, model, day, role=Role.OPERATOR)
        found = _samples(store, model, day, request_id)
        if found:
            action = f"delete a logged request of {model} on {day}: {reason}"
            rewrite_day(store, model, day, digests, action, Role.OPERATOR)
        deleted += found
    return deleted


def deletion_reason(reason: str) -> str:
    """Return the reason of a deletion on one line, as the registry keeps it for ever.

    Raises:
        SpecificationError: there is none, or it is too long or not printable.
    """
    reason = " ".join(reason.split())
    if not 0 < len(reason) <= MAX_REASON or not reason.isprintable():
        raise SpecificationError(
            f"give a reason of 1 to {MAX_REASON} printable characters, for example who has asked"
            " for the deletion"
        )
    return reason


def _samples(store: Store, model: str, day: str, request_id: str) -> int:
    """Return how many samples of a request the file of a day has."""
    with published_day(store, model, day) as published:
        if published is None:
            return 0
        with pq.ParquetFile(published.path) as file:
            groups = (
                file.read_row_group(number, columns=["request"])["request"]
                for number in range(file.num_row_groups)
            )
            return sum(int(pc.sum(pc.equal(group, request_id)).as_py() or 0) for group in groups)
