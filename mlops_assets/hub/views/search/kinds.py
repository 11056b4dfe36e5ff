"""Searches of the registry, one for each kind.

Each reads as the principal of the registry, so that what they may not see is not there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from sqlalchemy import ColumnElement, Select, String, case, cast, func, literal, or_, select
from sqlalchemy.orm import InstrumentedAttribute

from mlops_assets.errors import IntegrityError, NotFound, StorageError
from mlops_assets.hub.views import addresses
from mlops_assets.hub.views.search.found import Group, Hit, Kind, Slice
from mlops_assets.lineage.files import file_lineage
from mlops_assets.registry import (
    Alias,
    DataVersion,
    Deployment,
    Map,
    ModelVersion,
    Registry,
    Run,
    RunNote,
)
from mlops_assets.registry.records.search import ItemQuery, search_items
from mlops_assets.registry.schema import Tag
from mlops_assets.store import Store
from mlops_assets.text.json_values import JsonObject

_HEX = re.compile("[0-9a-f]{6,64}")
_SHA256 = re.compile("[0-9a-f]{64}")
_PUNCTUATION = '{}[]":, '  # of JSON
MAX_EXCERPT = 120  # characters of a note

Search = Callable[[Store, str, Slice], Group]


def _contains(column: ColumnElement[str] | InstrumentedAttribute[str], text: str) -> Any:
    return column.icontains(text, autoescape=True)


def _rank(column: Any, text: str) -> ColumnElement[int]:
    """Return 0 for a column that equals the text, 1 if it begins with it, else 2."""
    small = func.lower(column)
    return case(
        (small == func.lower(text), 0),
        (column.istartswith(text, autoescape=True), 1),
        else_=2,
    )


def _page(
    registry: Registry,
    kind: Kind,
    query: Select[*tuple[Any, ...]],
    wanted: Slice,
    hit: Callable[[Any], Hit],
) -> Group:
    """Read one page of a query, and count what it finds."""
    counted = select(func.count()).select_from(query.order_by(None).subquery())
    with registry.reading() as session:
        total = session.scalar(counted) or 0
        if total <= wanted.first:
            return Group(kind, total, [])
        rows = session.execute(query.offset(wanted.first).limit(wanted.limit)).all()
        return Group(kind, total, [hit(row) for row in rows])


def datasets(store: Store, text: str, wanted: Slice) -> Group:
    """Find datasets by name or title."""
    title = DataVersion.specification["title"].as_string()
    query = (
        select(
            DataVersion.dataset,
            func.max(title),
            func.max(DataVersion.created),
            func.count(),
        )
        .where(or_(_contains(DataVersion.dataset, text), _contains(title, text)))
        .group_by(DataVersion.dataset)
        .order_by(_rank(DataVersion.dataset, text), DataVersion.dataset)
    )

    def hit(row: Any) -> Hit:
        name, found, created, versions = row
        described = f"{found}; " if found else ""
        return Hit(name, addresses.data_path(name), f"{described}{_versions(versions)}", created)

    return _page(store.registry, Kind.DATASET, query, wanted, hit)


def data_versions(store: Store, text: str, wanted: Slice) -> Group:
    """Find data versions by reference, tag or the beginning of their digest."""
    reference = DataVersion.dataset + literal("@") + DataVersion.version
    tags = (
        select(Tag.tag)
        .where(Tag.dataset == DataVersion.dataset, Tag.version == DataVersion.version)
        .where(or_(_contains(Tag.tag, text), _contains(Tag.dataset + literal("@") + Tag.tag, text)))
        .order_by(Tag.tag)
        .limit(1)
        .scalar_subquery()
    )
    conditions = [_contains(reference, text), tags.is_not(None)]
    if _HEX.fullmatch(text.lower()):
        conditions.append(DataVersion.digest.startswith(text.lower()))
    query = (
        select(reference, tags, DataVersion.digest, DataVersion.created)
        .where(or_(*conditions))
        .order_by(_rank(reference, text), DataVersion.created.desc(), reference)
    )

    def hit(row: Any) -> Hit:
        name, tag, digest, created = row
        detail = f"tag {tag}; " if tag else ""
        return Hit(name, addresses.data_path(name), f"{detail}digest {digest[:12]}", created)

    return _page(store.registry, Kind.DATA_VERSION, query, wanted, hit)


def models(store: Store, text: str, wanted: Slice) -> Group:
    """Find models by name."""
    query = (
        select(ModelVersion.model, func.max(ModelVersion.created), func.count())
        .where(_contains(ModelVersion.model, text))
        .group_by(ModelVersion.model)
        .order_by(_rank(ModelVersion.model, text), ModelVersion.model)
    )

    def hit(row: Any) -> Hit:
        name, created, versions = row
        return Hit(name, addresses.model_path(name), _versions(versions), created)

    return _page(store.registry, Kind.MODEL, query, wanted, hit)


def model_versions(store: Store, text: str, wanted: Slice) -> Group:
    """Find model versions by reference or alias."""
    reference = ModelVersion.model + literal("@") + ModelVersion.version
    named = Alias.model + literal("@") + Alias.alias
    alias = (
        select(Alias.alias)
        .where(Alias.model == ModelVersion.model, Alias.version == ModelVersion.version)
        .where(or_(_contains(Alias.alias, text), _contains(named, text)))
        .order_by(Alias.alias)
        .limit(1)
        .scalar_subquery()
    )
    query = (
        select(
            reference, alias, ModelVersion.dataset, ModelVersion.data_version, ModelVersion.created
        )
        .where(or_(_contains(reference, text), alias.is_not(None)))
        .order_by(_rank(reference, text), ModelVersion.created.desc(), reference)
    )

    def hit(row: Any) -> Hit:
        name, alias, dataset, version, created = row
        detail = f"{alias}; " if alias else ""
        trained = f"trained on {dataset}@{version}"
        return Hit(name, addresses.model_path(name), f"{detail}{trained}", created)

    return _page(store.registry, Kind.MODEL_VERSION, query, wanted, hit)


def runs(store: Store, text: str, wanted: Slice) -> Group:
    """Find runs by the beginning of their id, by tags and by notes."""
    # a tag as its document has it, where quotes are escaped
    escaped = json.dumps(text, ensure_ascii=False)[1:-1]
    note = (
        select(RunNote.text)
        .where(RunNote.run_id == Run.run_id, _contains(RunNote.text, text))
        .order_by(RunNote.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    own = Run.run_id.startswith(text.lower(), autoescape=True)
    tagged = [
        _contains(cast(column, String), escaped)
        for column in (Run.tags, Run.user_tags)
        if text.strip(_PUNCTUATION)  # which is in every document
    ]
    # looked up once, as most runs have none
    noted = Run.run_id.in_(select(RunNote.run_id).where(_contains(RunNote.text, text)))
    query = (
        select(
            Run.run_id,
            Run.model,
            Run.dataset,
            Run.data_version,
            Run.status,
            Run.started,
            note,
            Run.tags,
            Run.user_tags,
        )
        .where(or_(own, *tagged, noted))
        .order_by(case((own, 0), else_=1), Run.started.desc(), Run.run_id)
    )

    def hit(row: Any) -> Hit:
        run_id, model, dataset, version, status, started, found, tags, user_tags = row
        parts = [f"{model} on {dataset}@{version}, {status}"]
        parts += _matching({**tags, **user_tags}, text)
        if found:
            parts.append(f"note: {_excerpt(found, text)}")
        return Hit(run_id[:8], addresses.run_path(run_id), "; ".join(parts), started)

    return _page(store.registry, Kind.RUN, query, wanted, hit)


def maps(store: Store, text: str, wanted: Slice) -> Group:
    """Find maps by name."""
    query = (
        select(Map.name, Map.model, Map.version, Map.day, Map.created)
        .where(_contains(Map.name, text))
        .order_by(_rank(Map.name, text), Map.created.desc(), Map.name)
    )

    def hit(row: Any) -> Hit:
        name, model, version, day, created = row
        detail = f"by {model}@{version}" + (f", of {day}" if day else "")
        return Hit(name, addresses.map_path(model, version, name), detail, created)

    return _page(store.registry, Kind.MAP, query, wanted, hit)


def areas(store: Store, text: str, wanted: Slice) -> Group:
    """Find areas that were mapped, by name."""
    query = (
        select(Map.area, Map.model, func.max(Map.version), func.count(), func.max(Map.created))
        .where(Map.area.is_not(None), _contains(func.coalesce(Map.area, ""), text))
        .group_by(Map.area, Map.model)
        .order_by(_rank(Map.area, text), Map.area, Map.model)
    )

    def hit(row: Any) -> Hit:
        area, model, _, number, created = row
        path = f"{addresses.model_path(model)}?tab=maps"
        return Hit(area, path, f"{number:,} map{'' if number == 1 else 's'} by {model}", created)

    return _page(store.registry, Kind.AREA, query, wanted, hit)


def deployments(store: Store, text: str, wanted: Slice) -> Group:
    """Find services by name; of each the newest change counts."""
    newest = select(func.max(Deployment.id)).group_by(Deployment.service)
    query = (
        select(
            Deployment.service,
            Deployment.action,
            Deployment.model,
            Deployment.version,
            Deployment.engine,
            Deployment.deployed,
        )
        .where(Deployment.id.in_(newest), _contains(Deployment.service, text))
        .order_by(_rank(Deployment.service, text), Deployment.service)
    )

    def hit(row: Any) -> Hit:
        service, action, model, version, engine, deployed = row
        reference = f"{model}@{version}"
        path = addresses.model_path(reference)
        return Hit(service, path, f"{reference} {action} with {engine}", deployed)

    return _page(store.registry, Kind.DEPLOYMENT, query, wanted, hit)


def files(store: Store, text: str, wanted: Slice) -> Group:
    """Find what has a file with a sha256; other texts find nothing."""
    if not _SHA256.fullmatch(text.lower()):
        return Group(Kind.FILE, 0, [])
    try:
        found = file_lineage(store, text.lower())
    except (NotFound, IntegrityError, StorageError):
        return Group(Kind.FILE, 0, [])
    hits = [
        Hit(use.reference, addresses.data_path(use.reference), f"has it as {file.path}")
        for use in found.data
        for file in use.files
    ]
    hits += [
        Hit(name, addresses.model_path(name), "has it, predicted it, or was trained on it")
        for name in found.models
    ]
    return Group(Kind.FILE, len(hits), hits[wanted.first : wanted.first + wanted.limit])


def records(store: Store, text: str, wanted: Slice) -> Group:
    """Find STAC Items by the words that describe them."""
    registry = store.registry
    query = ItemQuery(words=[text], limit=wanted.first + wanted.limit)
    page = search_items(registry, query, registry.principal)
    hits = [_record(found.document) for found in page.records[wanted.first :]]
    return Group(Kind.RECORD, page.matched, hits)


SEARCHES: dict[Kind, Search] = {
    Kind.DATASET: datasets,
    Kind.DATA_VERSION: data_versions,
    Kind.MODEL: models,
    Kind.MODEL_VERSION: model_versions,
    Kind.RUN: runs,
    Kind.MAP: maps,
    Kind.AREA: areas,
    Kind.DEPLOYMENT: deployments,
    Kind.FILE: files,
    Kind.RECORD: records,
}


def _record(document: JsonObject) -> Hit:
    collection, name = str(document.get("collection")), str(document.get("id"))
    properties = document.get("properties")
    title = properties.get("title") if isinstance(properties, dict) else None
    return Hit(
        f"{collection}/{name}",
        f"/stac/collections/{quote(collection, safe='')}/items/{quote(name, safe='')}",
        str(title or ""),
    )


def _versions(number: int) -> str:
    return f"{number:,} version{'' if number == 1 else 's'}"


def _matching(tags: dict[str, str], text: str) -> list[str]:
    small = text.lower()
    return [
        f"tag {name}={value}"
        for name, value in tags.items()
        if small in str(name).lower() or small in str(value).lower()
    ][:3]


def _excerpt(note: str, text: str) -> str:
    """Return the part of a note around a text."""
    at = max(0, note.lower().find(text.lower()) - MAX_EXCERPT // 3)
    part = " ".join(note[at : at + MAX_EXCERPT].split())
    return f"{'…' if at else ''}{part}{'…' if at + MAX_EXCERPT < len(note) else ''}"
