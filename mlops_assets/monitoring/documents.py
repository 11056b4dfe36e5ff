"""Published monitoring documents of a model, by day."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta

from pydantic import ValidationError
from sqlalchemy import select

from mlops_assets.errors import IntegrityError
from mlops_assets.monitoring.document import MonitoringDocument
from mlops_assets.paths import monitoring_key
from mlops_assets.registry import File
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


def monitored_days(store: Store, model: str) -> list[str]:
    """Return the days that a model has a monitoring document of, oldest first.

    Args:
        store: workspace and registry.
        model: its name.
    """
    prefix, end = monitoring_key(model, "").removesuffix("/monitoring.json"), "/monitoring.json"
    query = select(File.path).where(
        File.path.startswith(prefix, autoescape=True), File.path.endswith(end, autoescape=True)
    )
    with store.registry.reading() as session:
        paths = session.scalars(query.order_by(File.path)).all()
    return [path.removeprefix(prefix).removesuffix(end) for path in paths]


def last_days(last: str, number: int) -> list[str]:
    """Return days up to one, oldest first.

    Args:
        last: the newest of them, `YYYY-MM-DD`.
        number: of days.
    """
    end = date.fromisoformat(last)
    return [str(end - timedelta(days=back)) for back in reversed(range(number))]
