"""Notes and tags that users of the hub give runs."""

from __future__ import annotations

from mlops_assets.hub.views.runs.record import RunRecord, run_record
from mlops_assets.store import Store


def note_run(store: Store, run_id: str, text: str) -> RunRecord:
    """Add a note to a run, which is never changed, and return its record.

    Raises:
        Forbidden: the principal may not note runs.
        NotFound: there is no such run that the principal may see.
        SpecificationError: the text is empty, too long, or not text.
    """
    run = store.registry.run(run_id)
    store.registry.note_run(run.run_id, text)
    return run_record(store, run.run_id)


def tag_run(store: Store, run_id: str, name: str, value: str | None) -> RunRecord:
    """Set a tag of a run, or remove it, and return its record.

    Args:
        store: its principal sets it.
        run_id: id of the run, or its beginning.
        name: of the tag.
        value: of the tag; None to remove it.

    Raises:
        Conflict: the tag to be removed was recorded by the run itself, or the run has too many.
        Forbidden: the principal may not tag runs.
        NotFound: there is no such run that the principal may see, or no such tag.
        SpecificationError: name or value is empty, too long, or cannot be filtered by.
    """
    run = store.registry.run(run_id)
    store.registry.tag_run(run.run_id, name, value)
    return run_record(store, run.run_id)
