"""The names of everything that runs have recorded, as filters and tables of runs state them."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import ColumnElement, Text, func, select, true
from sqlalchemy.orm import Session

from mlops_assets.registry.schema import Run
from mlops_assets.registry.search.fields import COLUMNS, DOCUMENTS, NESTED, USER_TAGS
from mlops_assets.registry.search.json_sql import Document
from mlops_assets.registry.search.suggestions import leaves
from mlops_assets.registry.session import RegistrySession

# newest runs whose nested documents are read
_NEWEST = 1_000
# of one document
MAX_NAMES = 2_000
_PREFIXES = {column: prefix for prefix, column in DOCUMENTS.items() if prefix != "parameters"}


def names_of_runs(registry: RegistrySession, model: str | None = None) -> list[str]:
    """Return the names of all columns, metrics, parameters, tags and other values of runs.

    Names within nested parameters are those of the newest runs.

    Args:
        registry: has the runs.
        model: only of runs of this model.
    """
    chosen: ColumnElement[bool] = true() if model is None else Run.model == model
    with registry.reading() as session:
        found = list(COLUMNS)
        for column, prefix in _PREFIXES.items():
            names = set(_keys(session, column, chosen))
            if column == "tags":
                names |= set(_keys(session, USER_TAGS, chosen))
            nested = set(_nested(session, column, chosen)) if column in NESTED else set()
            outer = {name.partition(".")[0] for name in nested}
            every = (names - outer) | nested
            shown = sorted(name for name in every if not set(name) & set('"\\\0'))
            found += [_written(prefix, name) for name in shown[:MAX_NAMES]]
        return list(dict.fromkeys(found))


def _written(prefix: str, name: str) -> str:
    """Return a name as filters have it: metrics are bare unless something else has their name."""
    if prefix != "metrics":
        return f"{prefix}.{name}"
    taken = name in COLUMNS or name.partition(".")[0] in DOCUMENTS
    return f"metrics.{name}" if taken else name


def _keys(session: Session, column: str, chosen: ColumnElement[bool]) -> list[str]:
    """Return the names in a document of all runs."""
    document: Document = getattr(Run, column)
    if session.get_bind().dialect.name == "postgresql":
        key = func.jsonb_object_keys(document, type_=Text)
        return list(session.scalars(select(key).where(chosen).distinct()))
    each = func.json_each(document).table_valued("key", joins_implicitly=True)
    # json_each of what is not an object has numbers for keys
    is_text = func.typeof(each.c.key) == "text"
    return list(
        session.scalars(select(each.c.key).select_from(Run, each).where(chosen, is_text).distinct())
    )


def _nested(session: Session, column: str, chosen: ColumnElement[bool]) -> Iterator[str]:
    """Yield the dotted names of what is within objects of a document, of the newest runs."""
    document = getattr(Run, column)
    newest = select(document).where(chosen).order_by(Run.started.desc()).limit(_NEWEST)
    for found in session.scalars(newest):
        for name, value in found.items():
            if isinstance(value, dict) and value:
                yield from leaves(name, value)
