"""Finding runs: filters and orders on anything a run has recorded.

The database evaluates filters; only the runs that are returned are loaded. The language is read in
`cql2`, names are resolved in `fields`.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, select, true

from mlops_assets.registry.schema import Run
from mlops_assets.registry.search.fields import NUMBERS_ONLY, Field, field
from mlops_assets.registry.search.json_sql import Kind
from mlops_assets.registry.search.suggestions import all_known
from mlops_assets.registry.search.translate import Translation
from mlops_assets.registry.session import RegistrySession

NEWEST = "-started"
_AT_ONCE = 500


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
        dialect = session.get_bind().dialect.name
        chosen: ColumnElement[bool] = true() if model is None else Run.model == model
        translation = Translation(field, dialect)
        condition = translation.read(where) if where is not None else true()
        order = _order(translation, sort)
        if not all_known(session, chosen, translation.used):
            return []
        query = select(Run.run_id).where(chosen, condition).order_by(*order)
        # ids first: a database that sorts whole runs takes several times as long
        ids = session.scalars(query if limit is None else query.limit(limit)).all()
        runs: dict[str, Run] = {}
        for first in range(0, len(ids), _AT_ONCE):
            rows = session.scalars(select(Run).where(Run.run_id.in_(ids[first : first + _AT_ONCE])))
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
