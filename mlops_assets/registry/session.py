"""Sessions on the registry: opening it, and transactions that are recorded whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from copy import copy
from datetime import UTC, datetime
from sqlite3 import Error as SqliteError
from typing import Self, TypeVar

from sqlalchemy import Connection, Select, delete, event, func, select
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import IntegrityError as SqlIntegrityError
from sqlalchemy.orm import (
    InstrumentedAttribute,
    LoaderCriteriaOption,
    ORMExecuteState,
    Session,
    sessionmaker,
)

from mlops_assets.errors import NotFound, StorageError, StorageUnreachable, TimeLimitExceeded
from mlops_assets.paths import Owner
from mlops_assets.principals import Principal, Role, local
from mlops_assets.registry.engine import driver_message, is_time_limit, open_engine, time_limit
from mlops_assets.registry.log import chain
from mlops_assets.registry.log.mirror import Mirror
from mlops_assets.registry.migrations.upgrade import is_present, prepare
from mlops_assets.registry.migrations.writers import require_current
from mlops_assets.registry.records.rows import (
    PublishedRecords,
    remove_published,
    write_records,
)
from mlops_assets.registry.schema import File, LogEntry, Staged
from mlops_assets.registry.visibility import restrictions
from mlops_assets.settings import local_user
from mlops_assets.storage import FileStat, Workspace
from mlops_assets.text.secret_urls import redacted

T = TypeVar("T")
_LEFT_OUT = "left out"


def now() -> datetime:
    """The current time, UTC."""
    return datetime.now(UTC)


class RegistrySession:
    """The registry at one SQLAlchemy URL.

    Attributes:
        url: SQLAlchemy URL.
        principal: who reads and changes it through this object; the local user unless set with
            `acting`.
    """

    def __init__(self, url: str) -> None:
        """Open the registry, making its tables if they are missing.

        Args:
            url: SQLAlchemy URL, `sqlite:////PATH/registry.db` or `postgresql+psycopg://…`.

        Raises:
            SettingsError: the URL cannot be read.
            StorageError: the database cannot be opened, or was written by a newer release.
        """
        self.url = url
        self._engine = open_engine(url)
        self._sessions = sessionmaker(self._engine, expire_on_commit=False)
        event.listen(self._sessions, "after_flush", chain.note_flush)
        event.listen(self._sessions, "do_orm_execute", chain.refuse_unseen)
        event.listen(self._sessions, "do_orm_execute", _restrict)
        self.principal = local(local_user())
        self._restricted = True
        self._seconds: float | None = None
        self._mirror: Mirror | None = None
        self._mirrors: dict[str, Mirror] = {}  # of this object and all that are copied from it
        try:
            self._prepare_tables()
        except BaseException:
            self.close()
            raise

    def _prepare_tables(self) -> None:
        try:
            with self._engine.connect().execution_options(immediate=False) as connection:
                present = is_present(connection)
            if not present:
                with self._engine.begin() as connection:
                    prepare(connection, self.principal.name)
        except DBAPIError as error:
            raise _kind_of(error)(
                f"registry {redacted(self.url)} cannot be opened: {driver_message(error)}; check"
                " MLOPS_REGISTRY and the disk, or restore it from a backup"
            ) from error

    def close(self) -> None:
        """Close the connections to the database."""
        self._engine.dispose()

    def count_errors(self, count: Callable[[], None]) -> None:
        """Report each error of the database.

        Args:
            count: is called without its details, in the thread that gets the error.
        """

        @event.listens_for(self._engine, "handle_error")
        def on_error(_context: ExceptionContext) -> None:
            count()

    def acting(self, principal: Principal) -> Self:
        """Return the same registry for another principal.

        Args:
            principal: whose roles decide what is allowed, and whom the log names.
        """
        acting = copy(self)
        acting.principal = principal
        return acting

    def limited(self, seconds: float) -> Self:
        """Return the same registry, whose statements may take so long only.

        Args:
            seconds: of a transaction.
        """
        limited = copy(self)
        limited._seconds = seconds
        return limited

    def mirrored(self, workspace: Workspace) -> Self:
        """Return the same registry, which mirrors its log in a workspace.

        Args:
            workspace: receives the entries.
        """
        if self._mirror is not None and self._mirror.workspace is workspace:
            return self
        mirrored = copy(self)
        mirrored._mirror = self._mirrors.setdefault(workspace.url, Mirror(workspace))
        return mirrored

    @contextmanager
    def transaction(self, action: str, role: Role = Role.OPERATOR) -> Iterator[Session]:
        """Open one transaction, with its entry in the log.

        A full disk or a locked database becomes a StorageError.

        Args:
            action: performed by it, as logged, e.g. `publish data version`.
            role: required of the principal.

        Yields:
            A session that reads its own changes; they are committed when the block ends.

        Raises:
            Forbidden: the principal does not have the role.
            IntegrityError: the workspace has the log of another registry.
            ReleaseRefused: a newer release writes the registry.
            StorageError: the registry cannot be written.
        """
        with self._session(action, role, [], immediate=True) as session:
            yield session
            known = 0 if self._mirror is None else self._mirror.newest
            appended = chain.append(session, chain.Author(self.principal.name, known), action)
            if appended is not None and self._mirror is not None:
                before = appended.seq - 1
                self._mirror.require_known(lambda: before)
        if appended is not None and self._mirror is not None:
            self._mirror.write(appended.seq, appended.entry, self.log_texts)

    def unrestricted(self) -> Self:
        """Return the same registry, of which the principal reads also what they may not see.

        What is read so is for decisions and for the catalogues, and is not to be returned.
        """
        unrestricted = copy(self)
        unrestricted._restricted = False
        return unrestricted

    def reading(self, role: Role = Role.VIEWER) -> AbstractContextManager[Session]:
        """Open a transaction that only reads, and so never waits for a writer.

        Versions that the principal may not see are not there, nor runs and names of them.

        Args:
            role: required of the principal; guests may read only what has a visibility.

        Returns:
            A context manager of the session.

        Raises:
            Forbidden: the principal does not have the role.
        """
        left_out = restrictions(self.principal) if self._restricted else ()
        return self._session("read", role, left_out, immediate=False)

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """Open a transaction that reads everything as of one moment.

        Concurrent writes are not seen.

        Yields:
            The connection of the transaction.
        """
        options = (
            {} if self._engine.dialect.name == "sqlite" else {"isolation_level": "REPEATABLE READ"}
        )
        with self._session("read", Role.VIEWER, [], immediate=False, **options) as session:
            yield session.connection()

    @contextmanager
    def _session(
        self,
        action: str,
        role: Role,
        left_out: Sequence[LoaderCriteriaOption],
        immediate: bool,
        **options: str,
    ) -> Iterator[Session]:
        self.principal.require(role, action)
        with self.explained(), self._sessions.begin() as session:
            session.info[_LEFT_OUT] = left_out
            connection = session.connection(execution_options={"immediate": immediate, **options})
            self.require_locks()
            if immediate:
                require_current(connection)
            with time_limit(connection, self._seconds):
                yield session

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turn errors of the database into errors that name the registry and a remedy.

        Raises:
            StorageUnreachable: the database does not answer, and may do so later.
            TimeLimitExceeded: a statement took too long.
            StorageError: it cannot be read or written.
        """
        try:
            yield
        except SqlIntegrityError:
            raise
        except DBAPIError as error:
            if is_time_limit(error):
                raise TimeLimitExceeded(
                    f"this takes longer than {self._seconds:g} s, and was interrupted; ask for less"
                ) from error
            raise _kind_of(error)(
                f"registry {redacted(self.url)} could not be used: {driver_message(error)}; nothing"
                " was recorded; check MLOPS_REGISTRY and the disk, or restore the registry from a"
                " backup"
            ) from error

    def require_locks(self) -> None:
        """Check that locks which this thread holds are still held; see `Locks`."""

    @property
    def mirror(self) -> Mirror | None:
        """The mirror of the log, if there is one."""
        return self._mirror

    def newest_entry(self) -> tuple[int, str] | None:
        """Return the newest entry of the log.

        Returns:
            Its number and its sha256; None if there is none.
        """
        query = select(LogEntry).order_by(LogEntry.seq.desc()).limit(1)
        with self.reading() as session:
            newest = session.scalar(query)
        return None if newest is None else (newest.seq, chain.sha256_of_entry(newest.entry))

    def newest_number(self) -> int:
        """Return the number of the newest entry of the log; 0 if there is none."""
        with self.reading() as session:
            return session.scalar(select(func.max(LogEntry.seq))) or 0

    def require_own_log(self) -> None:
        """Check that the log in the workspace is that of this registry.

        Raises:
            IntegrityError: it has entries that this registry does not have.
        """
        if self._mirror is not None:
            self._mirror.require_known(lambda: (self.newest_entry() or (0, ""))[0])

    def log_texts(self, first: int, last: int) -> list[str]:
        """Return entries of the log.

        Args:
            first: number of the first one.
            last: number of the last one.

        Returns:
            Their texts, oldest first.
        """
        query = (
            select(LogEntry.entry).where(LogEntry.seq.between(first, last)).order_by(LogEntry.seq)
        )
        with self.reading() as session:
            return list(session.scalars(query))

    def add_files(self, owner: Owner, files: Sequence[FileStat]) -> None:
        """Record the checksums of published files.

        Args:
            owner: of the files.
            files: as stored in the workspace.
        """
        with self.transaction("publish files", Role.SCIENTIST) as session:
            record_files(session, owner, files)

    def add_records(self, records: PublishedRecords) -> None:
        """Record published records of several owners at once, which are found from then on.

        Args:
            records: as stored in the workspace.

        Raises:
            Conflict: another record has the id of a Collection.
        """
        with self.transaction("publish records", Role.SCIENTIST) as session:
            publish_records(session, records)

    def staged(self) -> dict[str, str]:
        """Return the published files that are not yet in place.

        Returns:
            Path → key of its content.
        """
        with self.reading() as session:
            return {row.path: row.content for row in session.scalars(select(Staged))}

    def forget_staged(self, paths: Iterable[str]) -> None:
        """Record that files are in place.

        Args:
            paths: of the files.
        """
        if paths := list(paths):
            with self.transaction("complete publication", Role.VIEWER) as session:
                session.execute(delete(Staged).where(Staged.path.in_(paths)))

    def files(self, *owners: Owner) -> list[FileStat]:
        """Return the published files of owners.

        Args:
            owners: of the files; all if none is given.

        Returns:
            Their checksums and sizes, by path.
        """
        query = select(File).order_by(File.path)
        with self.reading() as session:
            rows = session.scalars(query.where(File.owner.in_(owners)) if owners else query)
            return [FileStat(row.path, row.sha256, row.size) for row in rows]

    def files_at(self, *paths: str) -> list[FileStat]:
        """Return published files.

        Args:
            paths: their keys in the workspace.

        Returns:
            Their checksums and sizes; none for a path that was never published.
        """
        with self.reading() as session:
            rows = session.scalars(select(File).where(File.path.in_(paths)))
            return [FileStat(row.path, row.sha256, row.size) for row in rows]


def _restrict(state: ORMExecuteState) -> None:
    """Leave out what the principal of a session may not see; an event of the session."""
    if state.is_select and (left_out := state.session.info.get(_LEFT_OUT)):
        state.statement = state.statement.options(*left_out)


def _kind_of(error: DBAPIError) -> type[StorageError]:
    """Return the error that a driver's error is to us, by whether it may not happen again.

    That is so where a server does not answer, or other processes hold SQLite's file for long.
    """
    if isinstance(error.orig, SqliteError):
        return StorageUnreachable if "is locked" in str(error.orig) else StorageError
    is_of_server = error.connection_invalidated or isinstance(error, OperationalError)
    return StorageUnreachable if is_of_server else StorageError


def record_files(session: Session, owner: Owner, files: Sequence[FileStat]) -> None:
    """Record files under an owner, within a transaction."""
    at_their_place = [file.path for file in files if file.staged is None]
    session.execute(delete(Staged).where(Staged.path.in_(at_their_place)))
    for file in files:
        session.merge(File(path=file.path, owner=owner, sha256=file.sha256, size=file.size))
        if file.staged is not None:
            session.merge(Staged(path=file.path, content=file.staged))


def drop_files(session: Session, paths: Iterable[str]) -> None:
    """Record that files are published no more, within a transaction.

    Whoever publishes next removes their bytes. Records among them are not found any more.
    """
    dropped = list(paths)
    for path in dropped:
        if (file := session.get(File, path)) is not None:
            session.delete(file)
            session.merge(Staged(path=path, content=path))
    remove_published(session, dropped)


def publish_records(session: Session, records: PublishedRecords) -> None:
    """Record published records and their checksums, within a transaction."""
    for owner, files in records.files.items():
        record_files(session, owner, files)
    write_records(session, records.rows)


def version_of(
    session: Session,
    versions: Select[T],
    column: InstrumentedAttribute[str],
    name: str,
    labelled: Select[str],
) -> T | None:
    """Return the row of a version by its name, else by a label; None if there is none.

    A version's own name wins over labels, which are only read where it is none.

    Args:
        session: of the transaction.
        versions: of one dataset or model.
        column: their names.
        name: of a version, or a label.
        labelled: name of the version that has it as a label.
    """
    found = session.scalar(versions.where(column == name))
    if found is not None:
        return found
    return session.scalar(versions.where(column == labelled.scalar_subquery()))


def existing(row: T | None, subject: str) -> T:
    """Return a row that must be there.

    Raises:
        NotFound: it is not.
    """
    if row is None:
        raise NotFound(f"{subject} is not in the registry")
    return row
