"""Queries and transactions on the registry: every change is one transaction, published whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, TypeVar

from sqlalchemy import delete, select
from sqlalchemy.exc import ArgumentError, DatabaseError
from sqlalchemy.exc import IntegrityError as SqlIntegrityError
from sqlalchemy.orm import Session, sessionmaker

from mlops_assets.errors import Conflict, NotFound, StorageError
from mlops_assets.names import Reference, check_key, check_label
from mlops_assets.registry.engine import open_engine
from mlops_assets.registry.schema import (
    SCHEMA_VERSION,
    STAGES,
    Alias,
    Base,
    DataVersion,
    File,
    Meta,
    ModelVersion,
    Promotion,
    Run,
    Series,
    Tag,
)
from mlops_assets.storage import FileStat

T = TypeVar("T")


@lru_cache(maxsize=8)
def open_registry(url: str) -> Registry:
    """Return the registry at `url`, opened once a process."""
    return Registry(url)


def now() -> datetime:
    """The current time, UTC."""
    return datetime.now(UTC)


class Registry:
    """The registry at one SQLAlchemy URL."""

    def __init__(self, url: str) -> None:
        """Open the registry, making its tables if they are missing.

        Raises:
            StorageError: the database cannot be opened, or was written by a newer release.
        """
        self.url = url
        try:
            self._engine = open_engine(url)
        except ArgumentError as error:
            raise StorageError(
                f"MLOPS_REGISTRY={url} is no SQLAlchemy URL; write e.g. sqlite:////path/registry.db"
            ) from error
        self._sessions = sessionmaker(self._engine, expire_on_commit=False)
        try:
            Base.metadata.create_all(self._engine)
            with self._transaction() as session:
                found = session.get(Meta, "schema_version")
                if found is None:
                    session.add(Meta(key="schema_version", value=str(SCHEMA_VERSION)))
        except DatabaseError as error:
            raise StorageError(
                f"registry {url} cannot be opened: {error.orig}; check MLOPS_REGISTRY, or restore it from a backup"
            ) from error
        if found is not None and int(found.value) != SCHEMA_VERSION:
            raise StorageError(
                f"registry {url} has schema {found.value}, this release reads {SCHEMA_VERSION}; "
                "use the matching release"
            )

    @contextmanager
    def _transaction(self, immediate: bool = True) -> Iterator[Session]:
        """One transaction; a full disk or a locked database becomes a StorageError."""
        try:
            with self._sessions.begin() as session:
                session.connection(execution_options={"immediate": immediate})
                yield session
        except SqlIntegrityError:
            raise
        except DatabaseError as error:
            raise StorageError(
                f"registry {self.url} could not be used: {error.orig}; nothing was recorded; "
                "check MLOPS_REGISTRY and the disk, or restore the registry from a backup"
            ) from error

    def _reading(self) -> AbstractContextManager[Session]:
        return self._transaction(immediate=False)

    # data versions

    def publish_data_version(self, row: DataVersion, files: Sequence[FileStat]) -> None:
        """Publish a data version.

        Raises:
            Conflict: the version or the digest exists already.
        """
        try:
            with self._transaction() as session:
                session.add(row)
                _add_files(session, f"data:{row.dataset}@{row.version}", files)
        except SqlIntegrityError as error:
            raise Conflict(
                f"{row.dataset}@{row.version} was published by another process; freeze again to get the next version"
            ) from error

    def data_versions(self, dataset: str | None = None) -> list[DataVersion]:
        """Return data versions, oldest first."""
        query = select(DataVersion).order_by(DataVersion.dataset, DataVersion.number)
        with self._reading() as session:
            return list(session.scalars(query if dataset is None else query.where(DataVersion.dataset == dataset)))

    def data_version(self, reference: Reference) -> DataVersion:
        """Resolve `dataset@version`, `dataset@tag`, or `dataset` (the newest).

        Raises:
            NotFound: there is no such dataset, version or tag.
        """
        versions = {row.version: row for row in self.data_versions(reference.name)}
        if not versions:
            raise NotFound(
                f"dataset {reference.name!r} has no data version; "
                f"land files and run 'mlops dataset commit {reference.name}'"
            )
        what = reference.what or next(reversed(versions))
        if what not in versions:
            what = self.tags(reference.name).get(what, what)
        if what not in versions:
            raise NotFound(f"{reference} is not known; {reference.name} has {', '.join(versions)}")
        return versions[what]

    def data_version_with(self, dataset: str, digest: str) -> DataVersion | None:
        """Return the data version with this digest, if there is one."""
        with self._reading() as session:
            return session.scalar(select(DataVersion).filter_by(dataset=dataset, digest=digest))

    def tags(self, dataset: str) -> dict[str, str]:
        """Return tag → version of a dataset."""
        with self._reading() as session:
            return {row.tag: row.version for row in session.scalars(select(Tag).filter_by(dataset=dataset))}

    def tag(self, dataset: str, version: str, tag: str) -> None:
        """Give a data version a tag; the same tag on the same version is no change.

        Raises:
            Conflict: the tag names another version already.
            NameRefused: the tag cannot be a name, or looks like a version.
            NotFound: there is no such version.
        """
        check_label(tag, "tag")
        self.data_version(Reference(dataset, version))
        with self._transaction() as session:
            found = session.get(Tag, (dataset, tag))
            if found is None:
                session.add(Tag(dataset=dataset, tag=tag, version=version))
            elif found.version != version:
                raise Conflict(f"tag {tag!r} of {dataset} names {found.version} already; tags do not move")

    # runs

    def start_run(self, run: Run) -> None:
        """Record that a run has started; an earlier unfinished attempt under the same id is replaced.

        Raises:
            Conflict: a run of this id succeeded already.
        """
        with self._transaction() as session:
            found = session.get(Run, run.run_id)
            if found is not None:
                if found.status == "succeeded":
                    raise Conflict(f"run {run.run_id} has succeeded already; start a new run")
                session.execute(delete(Series).where(Series.run_id == run.run_id))
                session.delete(found)
                session.flush()
            session.add(run)

    def finish_run(
        self, run_id: str, status: str, error: str | None = None, metrics: dict[str, Any] | None = None
    ) -> None:
        """Record how a run ended: `failed` or `canceled`, with its error. Success is `publish_model_version`.

        Raises:
            Conflict: the run has succeeded.
        """
        with self._transaction() as session:
            run = _one(session.get(Run, run_id), f"run {run_id}")
            if run.status == "succeeded":
                raise Conflict(f"run {run_id} has succeeded; its outcome does not change")
            run.status, run.error, run.finished = status, error, now()
            run.metrics = {**run.metrics, **(metrics or {})}

    def log(self, run_id: str, points: Sequence[tuple[str, int, float, datetime]]) -> None:
        """Append points (name, step, value, time) to the series of a run, in one transaction."""
        if points:
            with self._transaction() as session:
                session.execute(
                    Series.__table__.insert(),  # type: ignore[attr-defined]
                    [{"run_id": run_id, "name": n, "step": s, "value": v, "logged": t} for n, s, v, t in points],
                )

    def series(self, run_id: str) -> dict[str, list[tuple[int, float]]]:
        """Return name → [(step, value), …] of a run, in the order logged."""
        found: dict[str, list[tuple[int, float]]] = {}
        with self._reading() as session:
            for row in session.scalars(select(Series).filter_by(run_id=run_id).order_by(Series.id)):
                found.setdefault(row.name, []).append((row.step, row.value))
        return found

    def runs(self, model: str | None = None, **where: Any) -> list[Run]:
        """Return runs, oldest first, optionally of one model and with equal columns `where`."""
        query = select(Run).filter_by(**where).order_by(Run.started)
        with self._reading() as session:
            return list(session.scalars(query if model is None else query.where(Run.model == model)))

    def run(self, run_id: str) -> Run:
        """Return one run by its id or by the unique beginning of it.

        Raises:
            NotFound: no run, or more than one, begins so.
        """
        check_key(run_id, "run id")
        with self._reading() as session:
            found = list(session.scalars(select(Run).where(Run.run_id.startswith(run_id, autoescape=True)).limit(2)))
        if len(found) != 1:
            raise NotFound(
                f"{'no' if not found else 'more than one'} run begins with {run_id!r}; see 'mlops runs list'"
            )
        return found[0]

    # model versions

    def publish_model_version(self, row: ModelVersion, files: Sequence[FileStat], metrics: dict[str, Any]) -> None:
        """Publish the model version of a run, and with it the run's success.

        Raises:
            Conflict: the model version exists already.
        """
        try:
            with self._transaction() as session:
                run = _one(session.get(Run, row.run_id), f"run {row.run_id}")
                run.status, run.finished, run.model_version = "succeeded", now(), row.version
                run.metrics = {**run.metrics, **metrics}
                session.add(row)
                _add_files(session, f"model:{row.model}@{row.version}", files)
        except SqlIntegrityError as error:
            raise Conflict(f"{row.model}@{row.version} exists already; model versions are immutable") from error

    def advance(
        self, row: ModelVersion, stage: str, files: Sequence[FileStat], metrics: dict[str, Any] | None = None
    ) -> ModelVersion:
        """Publish the next stage of a model version with its files; doing a stage again replaces its files."""
        with self._transaction() as session:
            found = _one(session.get(ModelVersion, (row.model, row.version)), f"{row.model}@{row.version}")
            if STAGES.index(stage) > STAGES.index(found.stage):
                found.stage = stage
            if metrics is not None:
                run = _one(session.get(Run, row.run_id), f"run {row.run_id}")
                found.metrics, run.metrics = metrics, {**run.metrics, **metrics}
            _add_files(session, f"model:{row.model}@{row.version}", files)
            return found

    def model_versions(self, model: str | None = None, **where: Any) -> list[ModelVersion]:
        """Return model versions, oldest first, optionally of one model and with equal columns `where`."""
        query = select(ModelVersion).filter_by(**where).order_by(ModelVersion.model, ModelVersion.created)
        with self._reading() as session:
            return list(session.scalars(query if model is None else query.where(ModelVersion.model == model)))

    def model_version(self, reference: Reference) -> ModelVersion:
        """Resolve `model@version`, `model@alias`, or `model` (the newest).

        Raises:
            NotFound: there is no such model, version or alias.
        """
        versions = {row.version: row for row in self.model_versions(reference.name)}
        if not versions:
            raise NotFound(f"model {reference.name!r} has no version; run 'mlops train {reference.name}'")
        what = reference.what or next(reversed(versions))
        if what not in versions:
            what = self.aliases(reference.name).get(what, what)
        if what not in versions:
            raise NotFound(f"{reference} is not known; see 'mlops model list {reference.name}'")
        return versions[what]

    def aliases(self, model: str) -> dict[str, str]:
        """Return alias → version of a model."""
        with self._reading() as session:
            return {row.alias: row.version for row in session.scalars(select(Alias).filter_by(model=model))}

    def promote(self, row: ModelVersion, moved_by: str, gates: list[Any], alias: str = "production") -> Promotion:
        """Move an alias to a model version; what held `production` before becomes `previous`."""
        moved = now()
        with self._transaction() as session:
            found = session.get(Alias, (row.model, alias))
            previous = found.version if found else None
            session.merge(Alias(model=row.model, alias=alias, version=row.version, since=moved))
            if alias == "production" and previous not in (None, row.version):
                session.merge(Alias(model=row.model, alias="previous", version=previous, since=moved))
            promotion = Promotion(
                model=row.model, alias=alias, version=row.version, previous=previous,
                moved=moved, moved_by=moved_by, gates=gates,
            )  # fmt: skip
            session.add(promotion)
        return promotion

    def promotions(self, model: str) -> list[Promotion]:
        """Return the history of a model's aliases, oldest first."""
        with self._reading() as session:
            return list(session.scalars(select(Promotion).filter_by(model=model).order_by(Promotion.id)))

    # files

    def add_files(self, owner: str, files: Sequence[FileStat]) -> None:
        """Record the checksums of published files under an owner."""
        with self._transaction() as session:
            _add_files(session, owner, files)

    def files(self, *owners: str) -> list[FileStat]:
        """Return the files of these owners as published, by path; of everybody if none is named."""
        query = select(File).order_by(File.path)
        with self._reading() as session:
            rows = session.scalars(query.where(File.owner.in_(owners)) if owners else query)
            return [FileStat(row.path, row.sha256, row.size) for row in rows]

    def files_at(self, *paths: str) -> list[FileStat]:
        """Return the files at these paths as published."""
        with self._reading() as session:
            rows = session.scalars(select(File).where(File.path.in_(paths)))
            return [FileStat(row.path, row.sha256, row.size) for row in rows]


def _add_files(session: Session, owner: str, files: Sequence[FileStat]) -> None:
    for file in files:
        session.merge(File(path=file.path, owner=owner, sha256=file.sha256, size=file.size))


def _one(row: T | None, what: str) -> T:
    if row is None:
        raise NotFound(f"{what} is not in the registry")
    return row
