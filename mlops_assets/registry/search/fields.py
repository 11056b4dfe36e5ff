"""Names of a run in filters, orders and listings, and their places in the database.

A bare name is a column of the run, else a metric; `params.NAME`, `metrics.NAME`, `tags.NAME`,
`usage.NAME`, `phases.NAME`, `hardware.NAME` and `code.NAME` reach into its documents. Filters are
read in `cql2`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, DateTime, Float, Integer, case, func

from mlops_assets.errors import SpecificationError
from mlops_assets.registry.schema import Run, UtcDateTime
from mlops_assets.registry.search.json_sql import Kind, in_postgresql, in_sqlite

DOCUMENTS = {
    "params": "parameters",
    "parameters": "parameters",
    "metrics": "metrics",
    "tags": "tags",
    "usage": "usage",
    "phases": "phases",
    "hardware": "hardware",
    "code": "code",
}
# elsewhere a dot is part of the name, as in the metric recall.wheat
NESTED = {
    "parameters",
    "hardware",
}
NUMBERS_ONLY = {"metrics", "usage", "phases"}
# tags that users have set, before those that the run has recorded
USER_TAGS = "user_tags"
COLUMNS = tuple(
    column.name
    for column in Run.__table__.columns
    if column.name not in (*DOCUMENTS.values(), USER_TAGS)
)


@dataclass(frozen=True)
class Field:
    """A property of runs, by its name in a filter.

    Attributes:
        name: as written.
        column: attribute of `Run` that holds it.
        keys: path within a document; empty for a plain column.
    """

    name: str
    column: str
    keys: tuple[str, ...] = ()

    @property
    def kind(self) -> Kind | None:
        """The kind of values of a plain column.

        It is None for a document, in which every run may hold something else.
        """
        if self.keys:
            return None
        column = Run.__table__.columns[self.column].type
        if isinstance(column, (UtcDateTime, DateTime)):
            return "time"
        return "number" if isinstance(column, (Integer, Float)) else "text"

    @property
    def noun(self) -> str:
        """The noun for it in messages."""
        return {"parameters": "parameter", "metrics": "metric", "tags": "tag"}.get(
            self.column, self.column
        )

    @property
    def key(self) -> str:
        """Its name within the document."""
        return ".".join(self.keys)

    def value(self, run: Run) -> object:
        """Return its value in a loaded run; None if the run has none."""
        found: object = run.all_tags if self.column == "tags" else getattr(run, self.column)
        if not self.keys or not isinstance(found, dict):
            return found
        if self.key in found:
            return found[self.key]
        for part in self.keys:
            found = found.get(part) if isinstance(found, dict) else None
        return found

    def sql(self, kind: Kind | None, dialect: str) -> ColumnElement[Any]:
        """Return its value in SQL, or NULL where a run has none of this kind.

        Args:
            kind: of the values wanted; None for all, as text.
            dialect: `sqlite` or `postgresql`.
        """
        column = getattr(Run, self.column)
        if not self.keys:
            return column  # type: ignore[no-any-return]
        read = in_postgresql if dialect == "postgresql" else in_sqlite
        paths = list(dict.fromkeys([(self.key,), self.keys]))
        numeric = self.column in NUMBERS_ONLY
        found = [read(column, path, kind, numeric) for path in paths]
        if self.column == "tags":
            of_users = getattr(Run, USER_TAGS)
            known = read(of_users, self.keys, None, numeric).is_not(None)
            return case((known, read(of_users, self.keys, kind, numeric)), else_=found[0])
        return found[0] if len(found) == 1 else func.coalesce(*found)


def field(name: str) -> Field:
    """Return the property that a name refers to.

    Raises:
        SpecificationError: it cannot be a name.
    """
    if name in COLUMNS:
        return Field(name, name)
    document, dot, rest = name.partition(".")
    column = DOCUMENTS.get(document) if dot else None
    if column is None:
        column = "metrics"
        rest = name
    keys = tuple(rest.split(".")) if column in NESTED else (rest,)
    if not all(keys) or any(character in rest for character in '"\\\0'):
        raise SpecificationError(
            f"{name!r} is not a valid name of a property of runs; a name has no quotes or"
            " backslashes, and no empty part"
        )
    return Field(name, column, keys)
