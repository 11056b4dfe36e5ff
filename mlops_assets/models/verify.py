"""Verification of the chain behind a model, and of a whole workspace.

The chain goes from live metric to model version, training run, code, data version and every file's
checksum. Verification reads every byte again and compares it with its published checksum, and the
rows of the registry with the documents.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import pandas as pd
from sqlalchemy import inspect, select
from sqlalchemy.orm import Session

from mlops_assets.datasets.recall.ancestry import ancestors, hidden_inputs, input_problems
from mlops_assets.datasets.recall.objects import StoredFile, stored_files
from mlops_assets.datasets.recall.verify import cache_damages, damaged_files, row_problems
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.datasets.versions.digest import digest_of_documents
from mlops_assets.datasets.versions.manifest import read_manifest
from mlops_assets.datasets.versions.version_document import VersionDocument
from mlops_assets.errors import Hidden, IntegrityError, NotFound, StorageError
from mlops_assets.models.agreement import (
    alias_problems,
    model_version_problems,
    published_content,
    run_problems,
    tag_problems,
)
from mlops_assets.names import Reference
from mlops_assets.paths import (
    CATALOG_OWNER,
    OBJECTS,
    PACKS,
    data_owner,
    map_document_key,
    maps_owner,
    model_folder,
    model_owner,
    object_key,
    pack_key,
    prediction_owner,
    record_owner,
    run_document_key,
    run_owner,
    version_folder,
)
from mlops_assets.progress import step
from mlops_assets.registry import Alias, DataVersion, File, Map, ModelVersion, Promotion, Run
from mlops_assets.registry.files.verified_read import stat_published
from mlops_assets.registry.log.replay import UNREADABLE, Replayed, attempt, guarded, readable
from mlops_assets.registry.log.verify import verify_log
from mlops_assets.registry.schema import Tag
from mlops_assets.stac.maps.agreement import map_problems
from mlops_assets.storage import FileStat
from mlops_assets.store import Store

T = TypeVar("T", DataVersion, Run, ModelVersion, Map)
R = TypeVar("R", DataVersion, Run, ModelVersion, Map, File)


@dataclass
class Verification:
    """The files that were verified, and everything that is not as it was published.

    Attributes:
        subject: the model version, or everything.
        files: number of files that were read.
        size: their size in bytes.
        problems: one line for each.
        hidden: what the principal may not see behind the model version, and was not read.
        notes: on what is as it was published, and was made from something that has changed since.
        log: rows and problems of the registry's log; empty if it was not replayed.
    """

    subject: str
    files: int = 0
    size: int = 0
    problems: list[str] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    log: Replayed = field(default_factory=Replayed)

    @property
    def passed(self) -> bool:
        """True if there is no problem."""
        return not self.problems


def verify_reference(store: Store, reference: Reference) -> Verification:
    """Verify the model version that a reference names, and the registry.

    Raises:
        NotFound: there is no such model version, and the registry's log has no problem.
    """
    try:
        row = store.registry.model_version(reference)
    except (NotFound, StorageError, *UNREADABLE) as error:
        log = verify_log(store.workspace, store.registry)
        if log.problems:
            problems = [*log.problems, f"{reference} cannot be verified: {error}"]
            return Verification(str(reference), problems=problems, log=log.log)
        raise
    return verify_model(store, row)


def verify_model(store: Store, row: ModelVersion) -> Verification:
    """Verify one model version with its run, records, maps and registry.

    With its data version, all that it was made from is verified, as far as the principal may see
    it.
    """
    subject = f"{row.model}@{row.version}"
    found = _verified_log(store, subject)
    data = _readable(store, found, DataVersion, dataset=row.dataset, version=row.data_version)
    for version in tuple(data):
        name = f"what {version.dataset}@{version.version} was made from"
        of_version = partial(ancestors, store.workspace, store.registry, version)
        data += attempt(found.problems, name, of_version)
    found.hidden += _hidden(store, row, data)
    trained_on = (row.dataset, row.data_version)
    versions = [(version.dataset, version.version) for version in data]
    if trained_on not in versions and str(Reference(*trained_on)) not in found.hidden:
        # its row cannot be read, but its files can
        versions.append(trained_on)
    owners = [
        model_owner(row.model, row.version),
        record_owner(row.model, row.version),
        prediction_owner(row.model, row.version),
        maps_owner(row.model, row.version),
        run_owner(row.run_id),
        *(owner(*version) for version in versions for owner in (data_owner, record_owner)),
        CATALOG_OWNER,
    ]
    runs = _readable(store, found, Run, run_id=row.run_id)
    files = [
        _stat_of(file) for owner in owners for file in _readable(store, found, File, owner=owner)
    ]
    objects, packed = _objects_of_all(store, found, data, runs)
    _verify_files(store, found, [*files, *objects], f"verifying {subject}")
    _verify_packed(store, found, packed)
    _verify_rows(store, found, data, runs, [row])
    _verify_maps(store, found, _readable(store, found, Map, model=row.model, version=row.version))
    return found


def _hidden(store: Store, row: ModelVersion, data: Sequence[DataVersion]) -> list[str]:
    """Return what the principal may not see of a model version's run and data."""
    hidden: list[str] = []
    trained_on = Reference(row.dataset, row.data_version)
    try:
        store.registry.run_of(row)
    except Hidden:
        hidden.append(f"run {row.run_id}")
    # it is compared with the model version later
    except (NotFound, StorageError, *UNREADABLE):
        pass
    if store.registry.hides(trained_on):
        hidden.append(str(trained_on))
    return [*hidden, *hidden_inputs(store.workspace, store.registry, data)]


def verify_files_of_model(store: Store, row: ModelVersion) -> Verification:
    """Verify a recorded model version's own files, record and registry rows, but not its data.

    Args:
        store: workspace and registry.
        row: the model version.
    """
    subject = f"{row.model}@{row.version}"
    found = Verification(subject)
    files = store.registry.files(model_owner(row.model, row.version))
    records = store.registry.files(record_owner(row.model, row.version))
    run = store.registry.files(run_owner(row.run_id))
    published = {file.path for file in files}
    for name in ("model.onnx", "metrics.json"):
        key = f"{model_folder(row.model, row.version)}/{name}"
        if key not in published:
            found.problems.append(f"{key} was never published; export and evaluate it again")
    if not records:
        found.problems.append(f"{subject} has no record; record it again")
    _verify_files(store, found, [*files, *records, *run], f"verifying {subject}")
    with store.registry.reading() as session:
        runs = readable(session, Run, run_id=row.run_id)
    _verify_rows(store, found, [], runs, [row])
    return found


def verify_all(store: Store, since: int = 0) -> Verification:
    """Verify all that the registry has published, all objects in the workspace, and the registry.

    Args:
        store: workspace and registry.
        since: the newest entry of the log when everything was verified last; only files, and
            objects of files, that a later entry names are read again. 0 for everything.
    """
    found = _verified_log(store, "everything in the workspace", since)

    def is_new(path: str) -> bool:
        return found.log.stated.get(("files", path), since + 1) > since

    data = [d for d in _readable(store, found, DataVersion) if is_new(f"{_folder(d)}/version.json")]
    runs = [run for run in _readable(store, found, Run) if is_new(run_document_key(run.run_id))]
    models = [
        m
        for m in _readable(store, found, ModelVersion)
        if is_new(f"{model_folder(m.model, m.version)}/metrics.json")
    ]
    files = [_stat_of(file) for file in _readable(store, found, File) if is_new(file.path)]
    objects, packed = _objects_of_all(store, found, data, runs)
    listed = {file.path: file for file in objects}
    if since == 0:
        packs = {pack_key(str(file.pack)) for file in packed}
        for key in (*store.workspace.list(OBJECTS), *store.workspace.list(PACKS)):
            if key not in packs:
                sha256 = "".join(key.removesuffix(".zip").split("/")[-2:])
                listed.setdefault(key, FileStat(key, sha256, -1))
    _verify_files(store, found, [*files, *listed.values()], "verifying everything")
    _verify_packed(store, found, packed)
    _verify_rows(store, found, data, runs, models)
    maps = _readable(store, found, Map)
    _verify_maps(store, found, [row for row in maps if is_new(_map_key(row))])
    found.problems += guarded("aliases and tags", partial(_label_problems, store))
    return found


def _readable(store: Store, found: Verification, kind: type[R], **where: str) -> list[R]:
    """Return the rows of a table that can be read.

    A table that cannot be read itself is a problem.
    """

    def read() -> list[R]:
        with store.registry.reading() as session:
            return readable(session, kind, **where)

    return attempt(found.problems, f"table {kind.__tablename__}", read)


def _stat_of(file: File) -> FileStat:
    return FileStat(file.path, file.sha256, file.size)


def _label_problems(store: Store) -> Iterator[str]:
    with store.registry.snapshot() as connection, Session(connection) as session:
        promotions = readable(session, Promotion)
        aliases = readable(session, Alias)
        tags = readable(session, Tag)
        models = {
            (row.model, row.version)
            for row in session.execute(select(ModelVersion.model, ModelVersion.version))
        }
        data = {
            (row.dataset, row.version)
            for row in session.execute(select(DataVersion.dataset, DataVersion.version))
        }
    yield from alias_problems(promotions, aliases, models)
    yield from tag_problems(tags, data)


def _verified_log(store: Store, subject: str, since: int = 0) -> Verification:
    log = verify_log(store.workspace, store.registry, since)
    return Verification(subject, problems=log.problems, log=log.log)


def _verify_rows(
    store: Store,
    found: Verification,
    data: Sequence[DataVersion],
    runs: Sequence[Run],
    models: Sequence[ModelVersion],
) -> None:
    for version in data:
        found.problems += _row_problems(store, version, _data_problems)
        name = f"{version.dataset}@{version.version}"
        found.problems += guarded(f"the cache of {name}", partial(_cache_problems, store, version))
    for run in runs:
        found.problems += _row_problems(store, run, run_problems)
    for row in models:
        found.problems += _row_problems(store, row, model_version_problems)
    _verify_signatures(store, found, models)


def _verify_maps(store: Store, found: Verification, maps: Sequence[Map]) -> None:
    for row in maps:
        found.problems += _row_problems(store, row, map_problems)


def _map_key(row: Map) -> str:
    return map_document_key(row.model, row.version, row.name)


def _verify_signatures(store: Store, found: Verification, models: Sequence[ModelVersion]) -> None:
    """Verify the signatures of recorded model versions, if the settings state whom they trust."""
    from mlops_assets.models.signing.trust import Trust
    from mlops_assets.models.signing.verify import signature_problems

    trust = Trust.configured()
    if trust is None:
        return
    for row in models:
        if row.stage == "recorded":
            name = f"signatures of {row.model}@{row.version}"
            found.problems += guarded(name, partial(signature_problems, store, row, trust))


def _row_problems(store: Store, row: T, check: Callable[[Store, T], Iterable[str]]) -> list[str]:
    """Return the problems of a row that a second check finds again.

    The row may be published anew during the first.
    """
    key = inspect(type(row)).primary_key_from_instance(row)
    name = f"{row.__tablename__} {'/'.join(map(str, key))}"
    problems = guarded(name, partial(check, store, row))
    if not problems:
        return []
    columns = [column.name for column in inspect(type(row)).primary_key]
    with store.registry.reading() as session:
        again = readable(session, type(row), **dict(zip(columns, key, strict=True)))
    return guarded(name, partial(check, store, again[0])) if again else []


def _verify_files(store: Store, found: Verification, files: Sequence[FileStat], what: str) -> None:
    with step(what, len(files), "files") as done:
        for published in files:
            before = found.size
            found.problems += guarded(
                str(published.path), partial(_file_problems, store, found, published)
            )
            done.advance(size=found.size - before)


def _file_problems(store: Store, found: Verification, published: FileStat) -> Iterator[str]:
    try:
        file, now = stat_published(store.workspace, store.registry, published)
    except (IntegrityError, StorageError) as error:
        yield str(error)
        return
    found.files += 1
    found.size += now.size
    if now.sha256 != file.sha256:
        yield (
            f"{file.path}: its bytes are not those that were published (sha256 {now.sha256[:12]}…,"
            f" was {file.sha256[:12]}…); restore it from a backup"
        )


def _verify_packed(store: Store, found: Verification, files: Sequence[StoredFile]) -> None:
    """Read the packs of files, each once."""

    def problems() -> Iterator[str]:
        damages, size = damaged_files(store.workspace, files, "verifying packs")
        found.files += len({file.pack for file in files})
        found.size += size
        for damage in damages:
            yield f"{damage.path}: {damage.detail}"

    if files:
        found.problems += guarded("the packs", problems)


def _objects_of_all(
    store: Store, found: Verification, data: Sequence[DataVersion], runs: Sequence[Run]
) -> tuple[list[FileStat], list[StoredFile]]:
    """Return the single objects of data versions and runs, and the files that are in packs."""
    objects = [file for run in runs for file in _objects_of_run(run)]
    packed: list[StoredFile] = []
    for version in data:
        name = f"{version.dataset}@{version.version}"
        for file in attempt(
            found.problems, f"the files of {name}", partial(_files_of_data, store, version)
        ):
            if file.pack is None:
                objects.append(FileStat(object_key(file.sha256), file.sha256, file.size))
            else:
                packed.append(file._replace(path=f"{name}: {file.path}"))
        objects += attempt(
            found.problems, f"the code of {name}", partial(_objects_of_code, store, version)
        )
    return objects, packed


def _folder(data: DataVersion) -> str:
    return version_folder(data.dataset, data.version)


def _files_of_data(store: Store, data: DataVersion) -> list[StoredFile]:
    """Return the files of a data version that are in the workspace.

    There are none if the manifest cannot be read, which its checksum reports.
    """
    manifest = _manifest(store, data)
    if manifest is None:
        return []
    # files kept by reference are not objects; 'mlops dataset verify' checks them
    return stored_files(manifest[manifest["href"].isna()])


def _objects_of_code(store: Store, data: DataVersion) -> list[FileStat]:
    """Return the patch of the code that made a data version; nothing where its files landed."""
    content = published_content(store, f"{_folder(data)}/version.json")
    if content is None:
        return []
    processing = VersionDocument.model_validate_json(content).processing
    return [] if processing is None else _objects([processing.code.get("diff")])


def _objects_of_run(run: Run) -> list[FileStat]:
    """Return the objects of a run: its packages, the trainer's module, and uncommitted changes."""
    code = run.code if isinstance(run.code, dict) else {}
    return _objects([run.environment, code.get("diff"), code.get("source")])


def _objects(checksums: Iterable[str | None]) -> list[FileStat]:
    """Return the objects of checksums, those that there are."""
    return [FileStat(object_key(str(sha256)), str(sha256), -1) for sha256 in checksums if sha256]


def _manifest(store: Store, data: DataVersion) -> pd.DataFrame | None:
    content = published_content(store, f"{_folder(data)}/manifest.parquet")
    return None if content is None else read_manifest(content)


def _samples(store: Store, data: DataVersion) -> pd.DataFrame | None:
    content = published_content(store, f"{_folder(data)}/samples.parquet")
    return None if content is None else pd.read_parquet(io.BytesIO(content))


def _data_problems(store: Store, data: DataVersion) -> Iterator[str]:
    """Yield the differences of a data version's row from its documents.

    Files that cannot be read are reported by their checksum.
    """
    manifest = _manifest(store, data)
    samples = _samples(store, data)
    content = published_content(store, f"{_folder(data)}/version.json")
    if manifest is None or samples is None or content is None:
        return
    document = VersionDocument.model_validate_json(content)
    digest = digest_of_documents(manifest, samples, document)
    if not digest == data.digest == document.digest:
        yield (
            f"{data.dataset}@{data.version}: the registry has digest {data.digest[:12]}…, "
            f"the manifest has {digest[:12]}…; "
            "restore the registry or the manifest from a backup"
        )
    yield from row_problems(data, document, manifest, samples)
    if document.processing is not None:
        name = f"{data.dataset}@{data.version}"
        yield from input_problems(store.registry, name, document.processing)


def _cache_problems(store: Store, data: DataVersion) -> list[str]:
    """Return the decoded arrays of a data version on this machine that differ from its files."""
    try:
        committed = CommittedDataset.open(
            store.workspace, store.registry, Reference(data.dataset, data.version)
        )
    # a failed checksum of its documents has been reported already
    except (StorageError, IntegrityError):
        return []
    return [damage.detail for damage in cache_damages(committed)]
