"""The days of a service that are to be monitored: yesterday, and those that have changed since."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from mlops_assets.monitoring.documents import last_days, read_documents
from mlops_assets.paths import INFERENCE, requests_key, segments_folder, truth_key
from mlops_assets.serving.specification import ServiceSpecification
from mlops_assets.store import Store

# days back, beyond which labels that land are counted only if somebody monitors their day again
MAX_BACK = 366


@dataclass(frozen=True)
class DueDay:
    """A day that is to be monitored.

    Attributes:
        day: `YYYY-MM-DD`, UTC.
        state: digest of its requests and labels; the same day is due again with another one.
    """

    day: str
    state: str


def due_days(store: Store, specification: ServiceSpecification, today: date) -> list[DueDay]:
    """Return the days before today that are to be monitored, oldest first.

    They are yesterday if it has no document, and days with requests or labels that their document
    was not made from.

    Args:
        store: workspace and registry.
        specification: the service as declared.
        today: in UTC.

    Raises:
        IntegrityError: a document is not as it was published.
        StorageError: the workspace cannot be read.
    """
    model = specification.model
    yesterday = today - timedelta(days=1)
    days = [
        day
        for day in last_days(yesterday.isoformat(), MAX_BACK)
        if day >= specification.start.isoformat()
    ]
    if not days:
        return []
    published = _published(store, model, days)
    waiting = set(store.workspace.list(f"{INFERENCE}/{model}"))
    documents = read_documents(store, model, days)
    due = []
    for day in days:
        given = {
            key: published[key]
            for key in (requests_key(model, day), truth_key(model, day))
            if key in published
        }
        folder = f"{segments_folder(model, day)}/"
        segments = sorted(key for key in waiting if key.startswith(folder))
        document = documents.get(day)
        if document is None:
            is_due = bool(given or segments) or day == str(yesterday)
        else:
            made_from = {
                key: sha for key, sha in document.inputs.items() if key in _own(model, day)
            }
            # of a day whose requests were removed, as it is old, the document is kept
            is_removed = requests_key(model, day) in made_from.keys() - given.keys()
            is_due = bool(segments) or (made_from != given and not is_removed)
        if is_due:
            due.append(DueDay(day, _digest(given, segments)))
    return due


def _own(model: str, day: str) -> tuple[str, str]:
    return requests_key(model, day), truth_key(model, day)


def _published(store: Store, model: str, days: list[str]) -> Mapping[str, str]:
    keys = [key for day in days for key in _own(model, day)]
    return {file.path: file.sha256 for file in store.registry.files_at(*keys)}


def _digest(given: Mapping[str, str], segments: list[str]) -> str:
    text = "\n".join([*(f"{key} {sha256}" for key, sha256 in sorted(given.items())), *segments])
    return hashlib.sha256(text.encode()).hexdigest()[:12]
