"""Errors of the storages of a Dagster instance: of its database, and of its files."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
from sqlalchemy.exc import SQLAlchemyError

from mlops_assets.errors import OrchestratorUnavailable


def database_failures() -> tuple[type[Exception], ...]:
    """Return the errors of an instance's database, such as one that restarts.

    dagster-postgres raises an error of its own class, which is neither Dagster's nor SQLAlchemy's.
    It is loaded by an instance that uses it, and by no other.
    """
    postgres = sys.modules.get("dagster_postgres.utils")
    if postgres is None:
        return (SQLAlchemyError,)
    return (SQLAlchemyError, postgres.DagsterPostgresException)


def storage_failures() -> tuple[type[Exception], ...]:
    """Return what reading or writing an instance may raise."""
    return (dg.DagsterError, OSError, *database_failures())


@contextmanager
def database_required() -> Iterator[None]:
    """Report an instance's database that does not answer as ours; also a decorator.

    Raises:
        OrchestratorUnavailable: it does not.
    """
    try:
        yield
    except database_failures() as error:
        raise OrchestratorUnavailable(
            "Dagster's database does not answer; try again when it does, and see 'mlops doctor'"
        ) from error
