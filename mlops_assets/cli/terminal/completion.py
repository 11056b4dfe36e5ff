"""Completion of names in a shell, from the registry and the project's YAML files.

It only reads, is silent whatever goes wrong, and must be fast: SQLite is queried with the standard
library, without SQLAlchemy, and nothing loads Dagster.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from functools import wraps
from pathlib import Path
from typing import TypeAlias
from urllib.parse import unquote

from mlops_assets.cli.declarations import declared
from mlops_assets.settings import Settings

MAX_RUNS = 100  # the newest
CONNECT_SECONDS = 2

# a name, or a name with its description
Candidate: TypeAlias = str | tuple[str, str]


def _completer(
    find: Callable[[str], Iterable[Candidate]],
) -> Callable[[str], list[Candidate]]:
    """Make a completer of a function that yields candidates.

    It returns those that fit, each once, up to where something fails.
    """

    @wraps(find)
    def complete(incomplete: str) -> list[Candidate]:
        found: dict[Candidate, None] = {}
        with suppress(Exception):  # a message would be printed into the user's command line
            for candidate in find(incomplete):
                found[candidate] = None
        return [c for c in found if (c[0] if isinstance(c, tuple) else c).startswith(incomplete)]

    return complete


@_completer
def datasets(incomplete: str) -> Iterable[str]:
    """Datasets, declared or with a version."""
    yield from (d.name for d in declared("TrainingDataset", "ProcessedDataset"))
    yield from _column("SELECT DISTINCT dataset FROM data_versions ORDER BY dataset")


@_completer
def data_references(incomplete: str) -> Iterable[str]:
    """Datasets that have a version; with their tags and versions once a name is complete."""
    names = list(_column("SELECT DISTINCT dataset FROM data_versions ORDER BY dataset"))
    versions = "SELECT version FROM data_versions WHERE dataset = {} ORDER BY number DESC"
    yield from _references(
        incomplete, names, "SELECT tag FROM tags WHERE dataset = {} ORDER BY tag", versions
    )


@_completer
def models(incomplete: str) -> Iterable[str]:
    """Models, declared or trained."""
    yield from _models()


@_completer
def models_on_data(incomplete: str) -> Iterable[str]:
    """Models; once a name is complete, with the versions and tags of its dataset."""
    yield from _models()
    name = incomplete.partition("@")[0]
    for declaration in declared("TrainedModel"):
        if declaration.name == name:
            dataset = str(declaration.attributes.get("dataset"))
            for query in (
                "SELECT tag FROM tags WHERE dataset = {}",
                "SELECT version FROM data_versions WHERE dataset = {} ORDER BY number DESC",
            ):
                yield from (f"{name}@{found}" for found in _column(query, dataset))


@_completer
def model_references(incomplete: str) -> Iterable[str]:
    """Models that have a version; with their aliases and versions once a name is complete."""
    names = list(_column("SELECT DISTINCT model FROM model_versions ORDER BY model"))
    versions = "SELECT version FROM model_versions WHERE model = {} ORDER BY created DESC"
    yield from _references(
        incomplete, names, "SELECT alias FROM aliases WHERE model = {} ORDER BY alias", versions
    )


def references(incomplete: str) -> list[Candidate]:
    """Datasets and models that have a version; with what names one once a name is complete."""
    return [*data_references(incomplete), *model_references(incomplete)]


@_completer
def aliases(incomplete: str) -> Iterable[str]:
    """Aliases of models: the usual ones and those in use."""
    yield from ("production", "candidate")
    yield from _column("SELECT DISTINCT alias FROM aliases ORDER BY alias")


@_completer
def run_ids(incomplete: str) -> Iterable[tuple[str, str]]:
    """The newest runs, by the beginnings of their ids, each with its model and status."""
    newest = "SELECT run_id, model, data_version, status FROM runs ORDER BY started DESC"
    for run_id, model, data_version, status in _rows(f"{newest} LIMIT {MAX_RUNS}"):
        short = run_id if len(incomplete) > 8 else run_id[:8]
        yield short, f"{model} on {data_version}, {status}"


@_completer
def mapped_references(incomplete: str) -> Iterable[Candidate]:
    """Declared areas, and models as `model_references` has them."""
    yield from (declaration.name for declaration in declared("PredictionArea"))
    yield from model_references(incomplete)


@_completer
def services(incomplete: str) -> Iterable[str]:
    """Services, declared or recorded."""
    yield from (declaration.name for declaration in declared("ModelService"))
    yield from _column("SELECT DISTINCT service FROM deployments ORDER BY service")


def _models() -> Iterator[str]:
    yield from (declaration.name for declaration in declared("TrainedModel"))
    yield from _column("SELECT DISTINCT model FROM runs ORDER BY model")


def _references(incomplete: str, names: list[str], labels: str, versions: str) -> Iterator[str]:
    yield from names
    fitting = [name for name in names if name.startswith(incomplete.partition("@")[0])]
    for name in fitting if len(fitting) == 1 or "@" in incomplete else ():
        for query in (labels, versions):
            yield from (f"{name}@{found}" for found in _column(query, name))


def _column(query: str, *values: str) -> Iterator[str]:
    return (row[0] for row in _rows(query, *values))


def _rows(query: str, *values: str) -> list[Sequence[str]]:
    """Return the rows of the registry for a query of texts; `{}` marks its values."""
    url = Settings.from_environment().registry
    if url.startswith("sqlite:///"):
        path = Path(unquote(url.removeprefix("sqlite:///").partition("?")[0])).absolute()
        with closing(
            sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=CONNECT_SECONDS)
        ) as connection:
            return connection.execute(query.format(*"?" * len(values)), values).fetchall()
    from sqlalchemy import create_engine, text

    names = [f"value{index}" for index in range(len(values))]
    engine = create_engine(url, connect_args={"connect_timeout": CONNECT_SECONDS})
    with engine.connect() as connection:
        marked = text(query.format(*(f":{name}" for name in names)))
        return list(connection.execute(marked, dict(zip(names, values, strict=True))))
