"""Published monitoring documents of a model, by day."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta

from pydantic import ValidationError

from mlops_assets.errors import IntegrityError
from mlops_assets.monitoring.document import MonitoringDocument
from mlops_assets.paths import monitoring_key
from mlops_assets.registry.files.verified_read import read_published
from mlops_assets.store import Store


def read_documents(store: Store, model: str, days: Iterable[str]) -> dict[str, MonitoringDocument]:
    """Return the monitoring documents of days, each verified; days without one are left out.

    Args:
        store: workspace and registry.
        model: its name.
        days: `YYYY-MM-DD`, UTC.

    Raises:
        IntegrityError: one is not as it was published.
        StorageError: one cannot be read.
    """
    keys = {monitoring_key(model, day): day for day in days}
    published = {file.path for file in store.registry.files_at(*keys)}
    found = {}
    for key, day in keys.items():
        if key not in published:
            continue
        try:
            found[day] = MonitoringDocument.model_validate_json(
                read_published(store.workspace, store.registry, key)
            )
        except ValidationError as error:
            raise IntegrityError(
                f"{key} is not a monitoring document: {error.errors()[0]['msg']}; monitor the day"
                " again"
            ) from error
    return found


def last_days(last: str, number: int) -> list[str]:
    """Return days up to one, oldest first.

    Args:
        last: the newest of them, `YYYY-MM-DD`.
        number: of days.
    """
    end = date.fromisoformat(last)
    return [str(end - timedelta(days=back)) for back in reversed(range(number))]
