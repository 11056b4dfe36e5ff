"""Errors of the storages of a Dagster instance: of its database, and of its files."""

from __future__ import annotations

import sys

import dagster as dg
from sqlalchemy.exc import SQLAlchemyError


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
