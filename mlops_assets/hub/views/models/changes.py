"""What tells an open page cheaply that models have changed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select, true
from sqlalchemy.orm import InstrumentedAttribute

from mlops_assets.paths import MONITORING
from mlops_assets.registry import (
    Alarm,
    Alias,
    Decision,
    Deployment,
    File,
    Map,
    ModelVersion,
    Promotion,
)
from mlops_assets.store import Store

Marker = tuple[object, ...]


def models_marker(store: Store, model: str | None = None) -> Marker:
    """Return what changes whenever pages of models would show something else.

    No document is read, so that many open pages may ask after each change of the registry.

    Args:
        store: workspace and registry.
        model: name of the only model that is shown; all if None.
    """
    versions = (
        select(
            ModelVersion.model,
            ModelVersion.stage,
            ModelVersion.visibility,
            func.count(),
            func.max(ModelVersion.created),
        )
        .where(_is_of(ModelVersion.model, model))
        .group_by(ModelVersion.model, ModelVersion.stage, ModelVersion.visibility)
    )
    aliases = (
        select(Alias.model, Alias.alias, Alias.version)
        .where(_is_of(Alias.model, model))
        .order_by(Alias.model, Alias.alias)
    )
    # a day that is monitored again has another checksum
    prefix = f"{MONITORING}/" if model is None else f"{MONITORING}/{model}/"
    days = select(func.count(), func.max(File.sha256), func.min(File.sha256)).where(
        File.path.startswith(prefix, autoescape=True)
    )
    with store.registry.reading() as session:
        found: list[object] = [tuple(session.execute(query).all()) for query in (versions, aliases)]
        found.append(tuple(session.execute(days).one()))
        found += [tuple(session.execute(query).one()) for query in _counts(model)]
    return tuple(found)


def _counts(model: str | None) -> Iterator[Select[*tuple[Any, ...]]]:
    """Yield queries of the newest, and of the number, of what happens to versions."""
    for table in (Promotion, Decision, Deployment):
        yield select(func.max(table.id), func.count()).where(_is_of(table.model, model))
    yield select(func.max(Alarm.id), func.count()).where(
        Alarm.recovered_day.is_(None), _is_of(Alarm.model, model)
    )
    yield select(func.max(Map.created), func.count()).where(_is_of(Map.model, model))


def _is_of(column: InstrumentedAttribute[str], model: str | None) -> ColumnElement[bool]:
    return true() if model is None else column == model
