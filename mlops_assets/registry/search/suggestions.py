"""Suggestions for names in a filter that no run has.

Filters are read in `cql2`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from mlops_assets.errors import NotFound
from mlops_assets.registry.schema import Run
from mlops_assets.registry.search.fields import COLUMNS, DOCUMENTS, Field, field
from mlops_assets.registry.search.json_sql import LITERALS, Kind

MAX_RUNS = 1_000  # newest runs, whose names are suggested
MAX_SUGGESTED = 20


def all_known(
    session: Session,
    chosen: ColumnElement[bool],
    used: Sequence[tuple[Field, Kind | None, ColumnElement[Any]]],
) -> bool:
    """Check that some run has each property in a filter; return False if there is no run at all.

    Args:
        session: a transaction.
        chosen: the runs that are searched.
        used: property, kind and SQL of each value in the filter.

    Raises:
        NotFound: no run has one; the message suggests similar names.
    """
    if not used:
        return True
    found = session.execute(
        # of runs that the principal may see: a plain `exists` is not restricted
        select(*(select(Run.run_id).where(chosen, sql.is_not(None)).exists() for _, _, sql in used))
    ).one()
    missing = [
        (named, kind) for (named, kind, _), known in zip(used, found, strict=True) if not known
    ]
    if not missing:
        return True
    newest = select(Run).where(chosen).order_by(Run.started.desc()).limit(MAX_RUNS)
    runs = list(session.scalars(newest))
    if not runs:
        return False
    named, kind = missing[0]
    held = [value for run in runs if (value := named.value(run)) is not None]
    if held:
        wanted = LITERALS[kind or "text"]
        raise NotFound(
            f"{named.name} is never {wanted}; runs have e.g. {_as_literal(held[0])} there"
        )
    raise NotFound(f"no run has a {named.noun} {named.key!r}; {_suggestion(named, runs)}")


def _as_literal(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"'{value}'" if isinstance(value, str) else str(value)


def _suggestion(named: Field, runs: Sequence[Run]) -> str:
    names = list(dict.fromkeys(name for run in runs for name in _names_of(run)))
    by_end: dict[str, list[str]] = {}
    for name in (*COLUMNS, *names):
        by_end.setdefault(name.partition(".")[2] or name, []).append(name)
        by_end.setdefault(name, []).append(name)
    close = difflib.get_close_matches(named.key, by_end, 3) + difflib.get_close_matches(
        named.name, by_end, 3
    )
    alike = list(dict.fromkeys(name for end in close for name in by_end[end]))[:5]
    of_its_own = sorted(name for name in names if field(name).column == named.column)
    suggestions = [f"did you mean {' or '.join(alike)}?"] if alike else []
    more = f" and {len(of_its_own) - MAX_SUGGESTED} more" if len(of_its_own) > MAX_SUGGESTED else ""
    if of_its_own:
        suggestions.append(f"there is {', '.join(of_its_own[:MAX_SUGGESTED])}{more}")
    return "; ".join(suggestions) or "see 'mlops run show ID'"


def _names_of(run: Run) -> Iterator[str]:
    """Yield the names of everything in the documents of a run, as filters name them.

    Metrics bare.
    """
    yield from run.metrics
    for prefix, column in DOCUMENTS.items():
        if prefix not in ("metrics", "parameters"):
            yield from leaves(prefix, run.all_tags if column == "tags" else getattr(run, column))


def leaves(prefix: str, document: Mapping[str, object]) -> Iterator[str]:
    """Yield the dotted names of all values of a document."""
    for name, value in document.items():
        if isinstance(value, dict) and value:
            yield from leaves(f"{prefix}.{name}", value)
        else:
            yield f"{prefix}.{name}"
