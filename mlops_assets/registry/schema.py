"""The tables of the registry.

No queries here; they are in `data_versions`, `runs`, `model_versions` and others.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    BigInteger,
    Connection,
    DateTime,
    Dialect,
    Float,
    Index,
    Integer,
    LargeBinary,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
    event,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

SCHEMA_REVISION = "0016"  # the newest in `versions/`; a number of four digits
LAST_META_VERSION = "3"  # of `meta` from then on, so that older releases refuse the registry
IMPORTED = "import"  # source of the run of a model that was imported as ONNX
Document = JSON().with_variant(JSONB(), "postgresql")


class UtcDateTime(TypeDecorator[datetime]):
    """A point in time; SQLite forgets the zone, so it is put back on reading."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Store in UTC."""
        return value.astimezone(UTC) if value else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Read as UTC."""
        return value.replace(tzinfo=UTC) if value and value.tzinfo is None else value


class Base(DeclarativeBase):
    """Base of all tables."""

    type_annotation_map: ClassVar = {
        dict[str, Any]: Document,
        dict[str, float]: Document,
        dict[str, int]: Document,
        dict[str, str]: Document,
        list[dict[str, Any]]: Document,
        list[str]: Document,
        datetime: UtcDateTime,
        str: String(255),
    }


class SchemaRevision(Base):
    """The revision of the tables, as Alembic keeps it; see `upgrade`."""

    __tablename__ = "registry_version"
    version_num: Mapped[str] = mapped_column(String(32), primary_key=True)


class Meta(Base):
    """The schema version as releases before Alembic's revisions wrote it."""

    __tablename__ = "meta"
    key: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]


class DataVersion(Base):
    """One committed state of a dataset. The row is the moment of publication.

    `visibility` is one of `Visibility`, `visibility_reason` why it was last changed.
    """

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
    counts: Mapped[dict[str, int]]
    visibility: Mapped[str] = mapped_column(default="workspace", server_default="workspace")
    visibility_reason: Mapped[str | None] = mapped_column(Text)


class Tag(Base):
    """A fixed second name of a data version."""

    __tablename__ = "tags"
    dataset: Mapped[str] = mapped_column(primary_key=True)
    tag: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[str]


class Run(Base):
    """One execution of a trainer, here or elsewhere.

    Attributes:
        source: `platform` for runs of this project's trainers, `external` for reported ones,
            `mlflow` for those of an MLflow server, `import` for models imported as ONNX.
        seconds: how long it took, by a clock that does not jump.
        phases: name → seconds of its parts.
        usage: resources used: `peak_memory_bytes`, `cpu_seconds`, `peak_gpu_memory_bytes`,
            `gpu_utilization`, `energy_joules`; unknown ones are absent.
        code: `commit`, `repository`, `container`; as sha256 of objects of the workspace `diff`, the
            uncommitted changes, and `source`, the trainer's module, with its `source_size`.
        environment: sha256 of an object of the workspace that lists Python and the installed
            packages.
        attempts: how often it was started; more than 1 if it was resumed.
        user_tags: tags that users have given it since, which its `run.json` does not have.
    """

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
    started: Mapped[datetime] = mapped_column(index=True)  # runs are listed newest first
    finished: Mapped[datetime | None]
    error: Mapped[str | None] = mapped_column(Text)
    host: Mapped[str]
    pid: Mapped[int]
    orchestration_run: Mapped[str | None] = mapped_column(index=True)
    model_version: Mapped[str | None]
    source: Mapped[str] = mapped_column(default="platform", server_default="platform")
    tags: Mapped[dict[str, str]] = mapped_column(default=dict, server_default="{}")
    created_by: Mapped[str | None]
    seconds: Mapped[float | None]
    phases: Mapped[dict[str, float]] = mapped_column(default=dict, server_default="{}")
    usage: Mapped[dict[str, float]] = mapped_column(default=dict, server_default="{}")
    code: Mapped[dict[str, str]] = mapped_column(default=dict, server_default="{}")
    environment: Mapped[str | None] = mapped_column(String(64))
    attempts: Mapped[int] = mapped_column(default=1, server_default="1")
    user_tags: Mapped[dict[str, str]] = mapped_column(default=dict, server_default="{}")

    @property
    def all_tags(self) -> dict[str, str]:
        """Return its tags; those that users have set replace the ones that it has recorded."""
        # a row that was not written yet has neither
        return {**(self.tags or {}), **(self.user_tags or {})}

    @property
    def imported(self) -> dict[str, str]:
        """Return where an imported model is from: `source`, `sha256`, `record`, …; else nothing."""
        if self.source != IMPORTED:
            return {}
        prefix = f"{IMPORTED}."
        return {
            name.removeprefix(prefix): value
            for name, value in self.tags.items()
            if name.startswith(prefix)
        }


class RunNote(Base):
    """A note of a user on a run; notes are added, never changed."""

    __tablename__ = "run_notes"
    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    run_id: Mapped[str] = mapped_column(String(36), index=True)
    text: Mapped[str] = mapped_column(Text)
    noted: Mapped[datetime]
    noted_by: Mapped[str]


class Point(Base):
    """One logged point of a metric.

    `seq` counts the points of a run, `logged` is in seconds since the epoch.
    """

    __tablename__ = "points"
    # kept in the order of the key, and so read run by run
    __table_args__ = ({"sqlite_with_rowid": False},)
    run_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    seq: Mapped[int] = mapped_column(Integer, primary_key=True)
    name: Mapped[str]
    step: Mapped[int] = mapped_column(BigInteger)
    value: Mapped[float] = mapped_column(Float(53))
    logged: Mapped[float] = mapped_column(Float(53))


class Checkpoint(Base):
    """A state that a run can be resumed from. `seq` is that of the first point logged after it."""

    __tablename__ = "checkpoints"
    run_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    step: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    seq: Mapped[int]
    path: Mapped[str] = mapped_column(String(512))
    sha256: Mapped[str] = mapped_column(String(64))
    size: Mapped[int] = mapped_column(BigInteger)
    created: Mapped[datetime]


class ModelVersion(Base):
    """The product of one successful run.

    `stage` is the last completed stage of its lifecycle; see `STAGES`. `visibility` is one of
    `Visibility`, `visibility_reason` why it was last changed.
    """

    __tablename__ = "model_versions"
    __table_args__ = (Index("ix_model_versions_created", "model", "created", "version"),)
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
    visibility: Mapped[str] = mapped_column(default="workspace", server_default="workspace")
    visibility_reason: Mapped[str | None] = mapped_column(Text)


class Map(Base):
    """A map that a model version has made; one of the same name replaces it.

    Attributes:
        name: of its files in the folder of the model version's maps; of an area `<area>/<day>`.
        data_version: that the model version was trained on, with `dataset`.
        run_id: of the training run.
        area: that it is of; None for a map of scenes alone.
        day: of acquisition, `YYYY-MM-DD`, UTC; None if unknown.
        input_digest: sha256 over its sources' checksums and all settings.
        digest: sha256 over its published files' checksums.
        outside: share of the predicted pixels outside of the area of applicability; None if that
            is unknown.
        collection: id of the STAC Collection that it is in.
        item: id of its STAC Item.
    """

    __tablename__ = "maps"
    __table_args__ = (
        Index("ix_maps_created", "created", "name"),
        Index("ix_maps_collection", "collection", "day"),
    )
    model: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(512), primary_key=True)
    dataset: Mapped[str]
    data_version: Mapped[str]
    run_id: Mapped[str] = mapped_column(String(36))
    area: Mapped[str | None]
    day: Mapped[str | None] = mapped_column(String(10))
    input_digest: Mapped[str] = mapped_column(String(64))
    digest: Mapped[str] = mapped_column(String(64))
    outside: Mapped[float | None] = mapped_column(Float(53))
    collection: Mapped[str]
    item: Mapped[str]
    created: Mapped[datetime]
    created_by: Mapped[str]


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
    gates: Mapped[list[dict[str, Any]]]
    reason: Mapped[str | None] = mapped_column(Text)


class Decision(Base):
    """A decision on a model version. The newest approval or rejection counts; so of deprecations.

    Attributes:
        decision: `approved` or `rejected`; `deprecated` or `reinstated`.
        sha256: of the files it is about, such as `model.onnx`, by name.
        reason: why.
    """

    __tablename__ = "decisions"
    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    model: Mapped[str] = mapped_column(index=True)
    version: Mapped[str]
    decision: Mapped[str]
    sha256: Mapped[dict[str, str]]
    decided: Mapped[datetime]
    decided_by: Mapped[str]
    reason: Mapped[str] = mapped_column(Text)


class Deployment(Base):
    """A change of what serves a model; the newest of a service counts.

    Attributes:
        service: name of the declared service.
        version: of the model that is served from then on; that was, if it is undeployed.
        engine: that serves it, see `ENGINES` of `mlops_assets.serving.specification`.
        action: `deployed` or `undeployed`.
        sha256: of the ONNX file.
        details: of the engine: where its files are and their checksums, or the server's URL.
        reason: why.
    """

    __tablename__ = "deployments"
    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    service: Mapped[str] = mapped_column(index=True)
    model: Mapped[str] = mapped_column(index=True)
    version: Mapped[str]
    engine: Mapped[str]
    action: Mapped[str]
    sha256: Mapped[str] = mapped_column(String(64))
    details: Mapped[dict[str, str]]
    deployed: Mapped[datetime]
    deployed_by: Mapped[str]
    reason: Mapped[str | None] = mapped_column(Text)


class Alarm(Base):
    """A rule of monitoring that has failed, until it passes again.

    Attributes:
        rule: that failed.
        version: of the model that it failed for, trained on `data_version`.
        day: the first day that failed, `YYYY-MM-DD`, UTC.
        last_day: the newest day that failed.
        recovered_day: the first day that passed afterwards; None while the alarm is open.
        text: of the newest failure.
        issue: URL of its issue; None if there is none.
        orchestration_run: id of the Dagster run that retrains because of it; None if none does.
        retrained_on: data version of that run.
    """

    __tablename__ = "alarms"
    __table_args__ = (UniqueConstraint("model", "rule", "day"),)
    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    model: Mapped[str] = mapped_column(index=True)
    version: Mapped[str]
    data_version: Mapped[str]
    rule: Mapped[str]
    day: Mapped[str] = mapped_column(String(10))
    last_day: Mapped[str] = mapped_column(String(10))
    recovered_day: Mapped[str | None] = mapped_column(String(10))
    text: Mapped[str] = mapped_column(Text)
    issue: Mapped[str | None] = mapped_column(Text)
    orchestration_run: Mapped[str | None] = mapped_column(index=True)
    retrained_on: Mapped[str | None]
    opened: Mapped[datetime]


class Webhook(Base):
    """A declared receiver of events; its URL and secret are in the declaration only."""

    __tablename__ = "webhooks"
    name: Mapped[str] = mapped_column(primary_key=True)
    events: Mapped[list[str]]
    since: Mapped[datetime]


class WebhookMessage(Base):
    """A message to a webhook, written in the transaction of the event that it reports.

    Attributes:
        id: the same in all attempts to deliver it.
        body: as it is signed and sent.
        state: `pending`, `delivered` or `dead`.
        attempts: to deliver it, so far.
        due: when the next attempt is due; None if there is none.
        error: of the last attempt.
    """

    __tablename__ = "webhook_messages"
    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    webhook: Mapped[str]
    event: Mapped[str]
    body: Mapped[str] = mapped_column(Text)
    created: Mapped[datetime]
    state: Mapped[str] = mapped_column(index=True)
    attempts: Mapped[int]
    due: Mapped[datetime | None]
    error: Mapped[str | None] = mapped_column(Text)


class File(Base):
    """A published file and the checksum it was published with.

    `owner` is e.g. `data:indian_pines@v1`.
    """

    __tablename__ = "files"
    path: Mapped[str] = mapped_column(String(512), primary_key=True)
    owner: Mapped[str] = mapped_column(index=True)
    sha256: Mapped[str] = mapped_column(String(64))
    size: Mapped[int] = mapped_column(BigInteger)


class LogEntry(Base):
    """One entry of the chained log, as the text that its sha256 is of; see `log`."""

    __tablename__ = "log"
    seq: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    sha256: Mapped[str] = mapped_column(String(64))
    entry: Mapped[str] = mapped_column(Text)


class Staged(Base):
    """Content of a published file that is not at its path yet; see `publication`."""

    __tablename__ = "staged"
    path: Mapped[str] = mapped_column(String(512), primary_key=True)
    content: Mapped[str]


class LandedIdentity(Base):
    """A landed file that was hashed and stored.

    The same path, size and stamp need not be read again.

    `source` is the landing's URL, `stamp` its modification time or ETag.
    """

    __tablename__ = "landed_files"
    source: Mapped[str] = mapped_column(String(512), primary_key=True)
    path: Mapped[str] = mapped_column(String(1024), primary_key=True)
    size: Mapped[int] = mapped_column(BigInteger)
    stamp: Mapped[str]
    sha256: Mapped[str] = mapped_column(String(64))


class PackedObject(Base):
    """An object in a pack: the sha256 of the pack, and the offset of its first byte there."""

    __tablename__ = "packed_objects"
    __table_args__ = ({"sqlite_with_rowid": False},)
    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    pack: Mapped[str] = mapped_column(String(64))
    offset: Mapped[int] = mapped_column(BigInteger)


class Removal(Base):
    """Files of the workspace that were removed, as nothing needed them; see `upkeep`.

    Attributes:
        kind: of the files, as `mlops gc` names them.
        files: how many there were.
        size: of all, in bytes.
        sha256: of their keys, sorted, one a line.
        rule: why they were not needed, in words.
    """

    __tablename__ = "removals"
    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    kind: Mapped[str]
    files: Mapped[int]
    size: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64))
    rule: Mapped[str] = mapped_column(Text)
    removed: Mapped[datetime]
    removed_by: Mapped[str]


class Token(Base):
    """A token of the HTTP API; of its secret only the sha256 is kept.

    `name` and `roles` are those of the principal.
    """

    __tablename__ = "tokens"
    id: Mapped[str] = mapped_column(String(12), primary_key=True)
    name: Mapped[str] = mapped_column(index=True)
    roles: Mapped[list[str]]
    sha256: Mapped[str] = mapped_column(String(64))
    created: Mapped[datetime]
    created_by: Mapped[str]
    expires: Mapped[datetime]
    revoked: Mapped[datetime | None]


class GitDelivery(Base):
    """A push that a git server has sent, and that has started something.

    Attributes:
        sha256: of the request, with the name of the webhook.
        webhook: name of the declared webhook.
        repository: that it is of, as the server names it.
        ref: whole name of the branch or tag.
        commit: that it was at.
        received: when it came.
    """

    __tablename__ = "git_deliveries"
    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    webhook: Mapped[str]
    repository: Mapped[str]
    ref: Mapped[str]
    commit: Mapped[str] = mapped_column(String(64))
    received: Mapped[datetime]


class SignIn(Base):
    """A sign-in that a browser has begun at an issuer.

    Attributes:
        state: sha256 of the value that the issuer sends back.
        browser: sha256 of the value of the cookie of the browser that has begun it.
        nonce: that the issuer's ID token must have.
        verifier: of PKCE, see RFC 7636.
        target: path of the page that the browser returns to.
        expires: after which it cannot be completed.
    """

    __tablename__ = "sign_ins"
    state: Mapped[str] = mapped_column(String(64), primary_key=True)
    browser: Mapped[str] = mapped_column(String(64))
    nonce: Mapped[str]
    verifier: Mapped[str]
    target: Mapped[str] = mapped_column(Text)
    expires: Mapped[datetime]


class BrowserSession(Base):
    """A session of a person who has signed in; of its secret only the sha256 is kept.

    `name` and `roles` are those of the principal. `seen` is the last request, to a minute.
    """

    __tablename__ = "browser_sessions"
    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(index=True)
    roles: Mapped[list[str]]
    started: Mapped[datetime]
    seen: Mapped[datetime]
    expires: Mapped[datetime]


class StacCollection(Base):
    """A Collection as the STAC API finds it; see `records`.

    Attributes:
        key: of the published document that it is read from; None if it is an external record.
        sha256: of that document.
        visibility: one of `Visibility`; that of a model's Collection is `private`, as it is visible
            with its Items.
        created_by: who sees a private one; None if unknown.
    """

    __tablename__ = "stac_collections"
    id: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str | None] = mapped_column(String(512), index=True)
    sha256: Mapped[str | None] = mapped_column(String(64))
    visibility: Mapped[str] = mapped_column(default="workspace", server_default="workspace")
    created_by: Mapped[str | None]
    document: Mapped[dict[str, Any]]


class StacItem(Base):
    """An Item as the STAC API finds it; see `records`.

    Its extent in space and time is also in an R*Tree of SQLite, or in a GiST index of PostgreSQL.

    Attributes:
        item: number of the row.
        key: of the published document that it is read from; None if it is an external record.
        sha256: of that document.
        visibility: one of `Visibility`.
        created_by: who sees a private one; None if unknown.
        moment: nominal one; its start if it has none.
        starts: first moment.
        ends: last moment.
        minx: west of its geometry; None without a geometry, as are the other three sides.
        shape: its geometry as WKB, unless it is the rectangle of those sides.
        words: of title, description, keywords and names, for free text.
        properties: as in the document.
        document: without its properties.
    """

    __tablename__ = "stac_items"
    __table_args__ = (
        UniqueConstraint("collection", "id"),
        Index("ix_stac_items_moment", "moment", "id", "collection"),
        Index("ix_stac_items_id", "id"),
        # with which Items are counted that a principal may see
        Index("ix_stac_items_visibility", "collection", "visibility", "created_by"),
    )
    item: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    collection: Mapped[str]
    id: Mapped[str]
    key: Mapped[str | None] = mapped_column(String(512), index=True)
    sha256: Mapped[str | None] = mapped_column(String(64))
    visibility: Mapped[str] = mapped_column(default="workspace", server_default="workspace")
    created_by: Mapped[str | None]
    moment: Mapped[datetime]
    starts: Mapped[datetime]
    ends: Mapped[datetime]
    minx: Mapped[float | None] = mapped_column(Float(53))
    miny: Mapped[float | None] = mapped_column(Float(53))
    maxx: Mapped[float | None] = mapped_column(Float(53))
    maxy: Mapped[float | None] = mapped_column(Float(53))
    shape: Mapped[bytes | None] = mapped_column(LargeBinary)
    words: Mapped[str] = mapped_column(Text)
    properties: Mapped[dict[str, Any]]
    document: Mapped[dict[str, Any]]


class ExternalRecord(Base):
    """A Collection or Item that a caller of the STAC API has sent, which no file states.

    `id` is empty for the Collection itself.
    """

    __tablename__ = "external_records"
    collection: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    document: Mapped[dict[str, Any]]
    changed: Mapped[datetime]
    changed_by: Mapped[str]


class Registration(Base):
    """A version in a catalogue of others, from the moment before its record is first sent.

    Attributes:
        name: of the dataset or model.
        state: of the record there: `registering` until all of it has arrived, then `registered`,
            `deprecated` or `deleted`.
        withdrawn: `deprecated` or `deleted` if it was withdrawn, whatever its visibility.
        reason: why it was withdrawn.
        collection_sha256: of the Collection that was sent last and found there.
        items_sha256: of its Items that were; of a model, of the one of the version.
        url: of the record there.
        since: when its state was reached.
    """

    __tablename__ = "registrations"
    catalogue: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[str]
    withdrawn: Mapped[str | None]
    reason: Mapped[str | None] = mapped_column(Text)
    collection_sha256: Mapped[str | None] = mapped_column(String(64))
    items_sha256: Mapped[str | None] = mapped_column(String(64))
    url: Mapped[str] = mapped_column(Text)
    since: Mapped[datetime]


class RegistrationAttempt(Base):
    """The newest attempt to bring a version's registration up to date.

    Attributes:
        name: of the dataset or model.
        basis: sha256 of what the registration follows from: record, visibility, declaration.
        failures: attempts in a row that did not succeed, with one that is in progress; 0 if the
            registration is up to date.
        error: of the newest one; None while it is in progress, or if its process was killed.
        tried: when it began, or has failed.
        retry: when it is repeated; None if only after a change.
    """

    __tablename__ = "registration_attempts"
    catalogue: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[str] = mapped_column(primary_key=True)
    basis: Mapped[str] = mapped_column(String(64))
    failures: Mapped[int]
    error: Mapped[str | None] = mapped_column(Text)
    tried: Mapped[datetime]
    retry: Mapped[datetime | None]


# indexes that SQLAlchemy cannot declare, by kind of database; made after the tables, in this order
SEARCHED_PROPERTIES = ("created", "updated", "eo:cloud_cover", "mlm:name")
RECORD_INDEXES = {
    "sqlite": (
        "CREATE VIRTUAL TABLE stac_items_extent USING"
        " rtree(item, minx, maxx, miny, maxy, first, last)",
        # an Item without a geometry is where no search looks, so that it is found by its time
        "CREATE TRIGGER stac_items_added AFTER INSERT ON stac_items BEGIN"
        " INSERT INTO stac_items_extent VALUES (new.item, coalesce(new.minx, 1000),"
        " coalesce(new.maxx, 1000), coalesce(new.miny, 1000), coalesce(new.maxy, 1000),"
        " julianday(new.starts) - 2440587.5, julianday(new.ends) - 2440587.5); END",
        "CREATE TRIGGER stac_items_removed AFTER DELETE ON stac_items BEGIN"
        " DELETE FROM stac_items_extent WHERE item = old.item; END",
        *(
            f'CREATE INDEX "ix_stac_items_{name}" ON stac_items'
            f" (json_extract(properties, '$.\"{name}\"'))"
            for name in SEARCHED_PROPERTIES
        ),
    ),
    "postgresql": (
        "CREATE INDEX ix_stac_items_extent ON stac_items"
        " USING gist (box(point(minx, miny), point(maxx, maxy)))",
        *(
            f'CREATE INDEX "ix_stac_items_{name}" ON stac_items'
            f" (nullif(jsonb_extract_path(properties, '{name}'), 'null'::jsonb))"
            for name in SEARCHED_PROPERTIES
        ),
    ),
}


@event.listens_for(StacItem.__table__, "after_create")
def make_record_indexes(_table: object, connection: Connection, **_options: object) -> None:
    """Make the indexes of the records that SQLAlchemy cannot declare."""
    for statement in RECORD_INDEXES[connection.dialect.name]:
        connection.exec_driver_sql(statement)


STAGES = ("trained", "exported", "evaluated", "recorded")
