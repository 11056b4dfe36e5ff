"""Finding runs: filters and orders on anything a run has recorded.

The database evaluates filters; only the runs that are returned are loaded. The language is read in
`cql2`, names are resolved in `fields`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, func, select, true
from sqlalchemy.orm import Session, load_only

from mlops_assets.registry.schema import Run
from mlops_assets.registry.search.fields import NUMBERS_ONLY, USER_TAGS, Field, field
from mlops_assets.registry.search.json_sql import Kind
from mlops_assets.registry.search.suggestions import all_known
from mlops_assets.registry.search.translate import Translation
from mlops_assets.registry.session import RegistrySession

NEWEST = "-started"
_AT_ONCE = 500


@dataclass(frozen=True)
class RunQuery:
    """A question for runs.

    Attributes:
        model: only runs of this model; all if None.
        where: a filter in CQL2 text; None for no filter.
        status: only runs of this status; all if None.
        created_by: only runs of this user; those of all if None.
        sort: name to sort by, descending with `-` before it; runs without it come last, and equal
            ones newest first.
    """

    model: str | None = None
    where: str | None = None
    sort: str = NEWEST
    status: str | None = None
    created_by: str | None = None


@dataclass(frozen=True)
class RunPage:
    """Some of the runs that a question has.

    Attributes:
        runs: with the columns that were asked for; others must not be read.
        total: number of all runs of the question.
    """

    runs: list[Run]
    total: int


def search_runs(
    registry: RegistrySession,
    model: str | None = None,
    where: str | None = None,
    sort: str = NEWEST,
    limit: int | None = 50,
) -> list[Run]:
    """Return runs that a filter holds for, in an order.

    Args:
        registry: has the runs.
        model: only runs of this model.
        where: a filter in CQL2 text, such as `macro_f1 > 0.8 AND params.learning_rate < 0.01`.
        sort: name to sort by, ascending, or descending with `-` before it; runs without it come
            last, and equal ones newest first.
        limit: at most so many; all if None.

    Raises:
        SpecificationError: the filter or the order cannot be read.
        NotFound: no run has a property in the filter.
    """
    with registry.reading() as session:
        found = _Search.of(session, RunQuery(model, where, sort))
        return [] if found is None else _loaded(session, found.ids(0, limit))


def page_of_runs(
    registry: RegistrySession,
    query: RunQuery,
    first: int,
    limit: int,
    columns: Sequence[Field] | None = None,
) -> RunPage:
    """Return a page of the runs that a question has.

    Args:
        registry: has the runs.
        query: the question.
        first: number of the first run of the page, from 0.
        limit: runs at most.
        columns: what is read of each run, with `run_id`; everything if None.

    Raises:
        SpecificationError: the filter or the order cannot be read.
        NotFound: no run has a property in the filter.
    """
    with registry.reading() as session:
        found = _Search.of(session, query)
        if found is None:
            return RunPage([], 0)
        if query.where is None:
            return RunPage(_loaded(session, found.ids(first, limit), columns), found.count())
        # to evaluate a filter twice takes longer than to read all ids once
        ids = found.ids(0, None)
        return RunPage(_loaded(session, ids[first : first + limit], columns), len(ids))


@dataclass(frozen=True)
class _Search:
    """A question as SQL, within a transaction."""

    session: Session
    conditions: tuple[ColumnElement[bool], ...]
    order: list[ColumnElement[Any]]

    @classmethod
    def of(cls, session: Session, query: RunQuery) -> _Search | None:
        """Translate a question; return None if there is no run at all.

        Raises:
            SpecificationError: the filter or the order cannot be read.
            NotFound: no run has a property in the filter.
        """
        chosen: ColumnElement[bool] = true() if query.model is None else Run.model == query.model
        wanted = {"status": query.status, "created_by": query.created_by}
        equal = [getattr(Run, name) == value for name, value in wanted.items() if value is not None]
        translation = Translation(field, session.get_bind().dialect.name)
        condition = translation.read(query.where) if query.where is not None else true()
        order = _order(translation, query.sort)
        if not all_known(session, chosen, translation.used):
            return None
        return cls(session, (chosen, *equal, condition), order)

    def ids(self, first: int, limit: int | None) -> Sequence[str]:
        """Return ids of runs, in order."""
        query = select(Run.run_id).where(*self.conditions).order_by(*self.order)
        # ids first: a database that sorts whole runs takes several times as long
        paged = query if limit is None else query.offset(first).limit(limit)
        return self.session.scalars(paged).all()

    def count(self) -> int:
        """Return the number of runs."""
        # counted among classes, not tables, so that those hidden from the principal do not count
        query = select(func.count(Run.run_id)).where(*self.conditions)
        return self.session.scalar(query) or 0


def _loaded(
    session: Session, ids: Sequence[str], columns: Sequence[Field] | None = None
) -> list[Run]:
    """Return runs by their ids, in the order of those."""
    query = select(Run)
    if columns is not None:
        names = {each.column for each in columns}
        names |= {"run_id", *((USER_TAGS,) if "tags" in names else ())}
        query = query.options(
            load_only(*(getattr(Run, name) for name in sorted(names)), raiseload=True)
        )
    runs: dict[str, Run] = {}
    for first in range(0, len(ids), _AT_ONCE):
        rows = session.scalars(query.where(Run.run_id.in_(ids[first : first + _AT_ONCE])))
        runs |= {run.run_id: run for run in rows}
    return [runs[run_id] for run_id in ids]


def names_in(where: str) -> list[str]:
    """Return the names that a filter mentions, each once.

    Raises:
        SpecificationError: it cannot be read.
    """
    translation = Translation(field, "sqlite")
    translation.read(where)
    return list(dict.fromkeys(translation.mentioned))


def _order(translation: Translation[Field], sort: str) -> list[ColumnElement[Any]]:
    name = sort.removeprefix("-")
    descending = sort.startswith("-")
    found = field(name)
    several: list[Kind | None] = (
        ["number"] if found.column in NUMBERS_ONLY else ["number", "text", "truth"]
    )
    kinds = several if found.keys else [found.kind]
    keys = [found.sql(kind, translation.dialect) for kind in kinds]
    if found.keys:
        translation.used.append((found, None, found.sql(None, translation.dialect)))
    newest = [] if found.column == "started" else [Run.started.desc()]
    in_order = [key.desc() if descending else key.asc() for key in keys]
    # NULLS LAST would keep the database from using an index
    required = not found.keys and not Run.__table__.columns[found.column].nullable
    return [
        *(in_order if required else [key.nulls_last() for key in in_order]),
        *newest,
        Run.run_id.asc(),
    ]
