"""The tables of the registry. No queries here; they are in `store`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar

from sqlalchemy import JSON, BigInteger, DateTime, Float, Index, Integer, String, Text, TypeDecorator, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

SCHEMA_VERSION = 1


class UtcDateTime(TypeDecorator[datetime]):
    """A point in time; SQLite forgets the zone, so it is put back on reading."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        """Store in UTC."""
        return value.astimezone(UTC) if value else None

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        """Read as UTC."""
        return value.replace(tzinfo=UTC) if value and value.tzinfo is None else value


class Base(DeclarativeBase):
    """Base of all tables."""

    type_annotation_map: ClassVar = {dict[str, Any]: JSON, list[Any]: JSON, datetime: UtcDateTime, str: String(255)}


class Meta(Base):
    """Facts about the registry itself, such as its schema version."""

    __tablename__ = "meta"
    key: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]


class DataVersion(Base):
    """One frozen state of a dataset. The row is the moment of publication."""

    __tablename__ = "data_versions"
    __table_args__ = (UniqueConstraint("dataset", "digest"), UniqueConstraint("dataset", "number"))
    dataset: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int]
    digest: Mapped[str] = mapped_column(String(64))
    created: Mapped[datetime]
    created_by: Mapped[str]
    files: Mapped[int]
    samples: Mapped[int]
    size: Mapped[int] = mapped_column(BigInteger)
    specification: Mapped[dict[str, Any]]
    counts: Mapped[dict[str, Any]]


class Tag(Base):
    """A fixed second name of a data version."""

    __tablename__ = "tags"
    dataset: Mapped[str] = mapped_column(primary_key=True)
    tag: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[str]


class Run(Base):
    """One execution of a trainer."""

    __tablename__ = "runs"
    run_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    model: Mapped[str] = mapped_column(index=True)
    dataset: Mapped[str]
    data_version: Mapped[str]
    data_digest: Mapped[str] = mapped_column(String(64))
    status: Mapped[str]
    parameters: Mapped[dict[str, Any]]
    seed: Mapped[int]
    trainer: Mapped[str]
    code_version: Mapped[str]
    hardware: Mapped[dict[str, Any]]
    metrics: Mapped[dict[str, Any]]
    started: Mapped[datetime]
    finished: Mapped[datetime | None]
    error: Mapped[str | None] = mapped_column(Text)
    host: Mapped[str]
    pid: Mapped[int]
    orchestration_run: Mapped[str | None] = mapped_column(index=True)
    model_version: Mapped[str | None]


class Series(Base):
    """One logged point of a metric."""

    __tablename__ = "series"
    __table_args__ = (Index("series_by_run", "run_id", "name"),)
    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    run_id: Mapped[str] = mapped_column(String(36))
    name: Mapped[str]
    step: Mapped[int]
    value: Mapped[float] = mapped_column(Float)
    logged: Mapped[datetime]


class ModelVersion(Base):
    """The product of one successful run. `stage` says how far its lifecycle has come; see `STAGES`."""

    __tablename__ = "model_versions"
    model: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[str] = mapped_column(primary_key=True)
    run_id: Mapped[str] = mapped_column(String(36), unique=True)
    dataset: Mapped[str]
    data_version: Mapped[str] = mapped_column(index=True)
    data_digest: Mapped[str] = mapped_column(String(64))
    task: Mapped[str]
    framework: Mapped[str]
    signature: Mapped[dict[str, Any]]
    stage: Mapped[str]
    metrics: Mapped[dict[str, Any]]
    created: Mapped[datetime]


class Alias(Base):
    """A movable name on a model version."""

    __tablename__ = "aliases"
    model: Mapped[str] = mapped_column(primary_key=True)
    alias: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[str]
    since: Mapped[datetime]


class Promotion(Base):
    """The history of aliases: who moved which alias where, when, and past which gates."""

    __tablename__ = "promotions"
    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    model: Mapped[str] = mapped_column(index=True)
    alias: Mapped[str]
    version: Mapped[str]
    previous: Mapped[str | None]
    moved: Mapped[datetime]
    moved_by: Mapped[str]
    gates: Mapped[list[Any]]


class File(Base):
    """A published file and the checksum it was published with. `owner` is e.g. `data:indian_pines@v1`."""

    __tablename__ = "files"
    path: Mapped[str] = mapped_column(String(512), primary_key=True)
    owner: Mapped[str] = mapped_column(index=True)
    sha256: Mapped[str] = mapped_column(String(64))
    size: Mapped[int] = mapped_column(BigInteger)


class LandedIdentity(Base):
    """A landed file that was hashed and stored: the same path, size and stamp need not be read again.

    `source` is the landing's URL, `stamp` its modification time or ETag.
    """

    __tablename__ = "landed_files"
    source: Mapped[str] = mapped_column(String(512), primary_key=True)
    path: Mapped[str] = mapped_column(String(1024), primary_key=True)
    size: Mapped[int] = mapped_column(BigInteger)
    stamp: Mapped[str]
    sha256: Mapped[str] = mapped_column(String(64))


STAGES = ("trained", "exported", "evaluated", "recorded")
