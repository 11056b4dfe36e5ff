"""Commit a landing into an immutable data version.

Order of writing: objects, then the manifest, then the registry row, which is the moment of
publication. A crash before that leaves at most objects that the next commit finds and uses.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mlops_assets.datasets.commit.ingest import known_files, store_files
from mlops_assets.datasets.commit.repair import repair_packs
from mlops_assets.datasets.commit.reread import require_same_from_stored
from mlops_assets.datasets.io.git_lfs import pointer_problem
from mlops_assets.datasets.quality.findings.balance import (
    absent_classes,
    absent_text,
    landed_counts,
)
from mlops_assets.datasets.readers import LAYOUTS
from mlops_assets.datasets.sources import LandedFile, Landing, open_landing
from mlops_assets.datasets.sources.listing import Listing
from mlops_assets.datasets.sources.snapshot import Landed
from mlops_assets.datasets.sources.stored_objects import StoredObjects
from mlops_assets.datasets.specification.dataset import SPLITS, DatasetSpecification
from mlops_assets.datasets.splits.assign import SEEDED, assign_splits
from mlops_assets.datasets.versions.columns import label_name
from mlops_assets.datasets.versions.contents import FILE_COLUMNS, Contents, file_rows
from mlops_assets.datasets.versions.digest import digest_of_documents
from mlops_assets.datasets.versions.documents import json_bytes, write_samples
from mlops_assets.datasets.versions.extents import declared_interval
from mlops_assets.datasets.versions.manifest import (
    checksums,
    knows_bands,
    read_manifest,
    single_objects,
    write_manifest,
)
from mlops_assets.datasets.versions.summarise import summarise
from mlops_assets.datasets.versions.version_document import Origin, Processing, VersionDocument
from mlops_assets.errors import (
    DataProblems,
    EmptyLanding,
    IntegrityError,
    NotFound,
    SpecificationError,
    StorageError,
)
from mlops_assets.names import Reference
from mlops_assets.paths import version_folder
from mlops_assets.principals import Role
from mlops_assets.progress import step
from mlops_assets.registry import DataVersion, Registry
from mlops_assets.registry.files.verified_read import read_published
from mlops_assets.registry.store import now
from mlops_assets.storage import Workspace
from mlops_assets.storage.scratch import scratch_folder
from mlops_assets.text.json_values import Json, JsonObject
from mlops_assets.text.listing import named

ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar")
_NOTED = 20  # files that are named when they are not read; more are counted


@dataclass(frozen=True)
class Commit:
    """The outcome of a commit: the data version, whether it is new, and what had landed.

    `notes` are for people.
    """

    version: DataVersion
    created: bool
    notes: list[str]
    landed: Landed


@dataclass(frozen=True)
class Made:
    """Files that were made from other data versions, or imported, instead of those that landed.

    Attributes:
        landing: contains the files.
        processing: how they were made; None if they were imported.
        notes: for people, in addition to those of the commit.
        origin: what they were imported from; None if they were made.
    """

    landing: Landing
    processing: Processing | None = None
    notes: Sequence[str] = ()
    origin: Origin | None = None


def commit(
    workspace: Workspace,
    registry: Registry,
    specification: DatasetSpecification,
    rehash: bool = False,
    made: Made | None = None,
) -> Commit:
    """Commit the files in a dataset's landing.

    Unchanged content returns the existing version.

    Args:
        workspace: where the bytes go.
        registry: where the version is published, by its principal.
        specification: the dataset as declared.
        rehash: read and store every file again, also those known by path, size and time; repairs
            damaged objects and packs.
        made: what is committed instead of the landing.

    Raises:
        EmptyLanding: nothing has landed.
        DataProblems: the data cannot be used; all problems found are listed.
        SpecificationError: the split cannot work with this data, or `units` names an unknown
            feature.
        StorageError: the landing or the workspace could not be read or written, or a file changed
            meanwhile.
        Conflict: another process is committing the same dataset and does not end.
        Forbidden: whoever acts may not publish data versions; nothing was written.
    """
    registry.principal.require(Role.SCIENTIST, "publish data version")
    with registry.storing(), registry.lock(specification.name):
        listed = time.time()
        landing = made.landing if made else None
        with read_landing(workspace, registry, specification, rehash, landing) as (
            source,
            contents,
        ):
            _require_features(specification, contents)
            files = contents.files.sort_values("path", ignore_index=True)
            used, unread = _belonging(source.files, files["path"].tolist())
            # what earlier steps have given back, so that the next do not come on top of it
            pa.default_memory_pool().release_unused()
            singles = _single_objects(workspace, registry, specification.name)
            stored = store_files(registry, source, used, listed, rehash, singles)
            repaired: list[str] = []
            if rehash:
                stored, repaired = repair_packs(
                    registry, source, used, stored, specification.name, made is None
                )
            # both are in the order of the paths
            manifest = pd.concat([files, stored], axis=1)
            del files, stored  # hundreds of thousands of rows
            require_same_from_stored(source, manifest, specification.name)
        # files that were not read again are as they were listed, even if they change now
        whole = used is source.files
        _require_settled(
            source.landing,
            (
                used[index]
                for index, path in enumerate(used.paths)
                if path in source.read_again
                or (index not in source.known if whole else source.known_position(path) is None)
            ),
        )
        # a copy gets the split of its original, and a new name changes no split
        if contents.input.kind == "image":
            contents.samples["content"] = _checksums(manifest, contents.samples["path"])
        samples = assign_splits(contents, specification.split)
        if "content" in samples:  # checksums of as many files, which the manifest has
            del samples["content"], contents.samples["content"]
        _require_training_samples(contents, samples, specification)
        notes = [*contents.notes, *_unread(unread), *_absent(contents, samples, specification)]
        notes += repaired
        document = VersionDocument.draft(contents, specification)
        if made is not None:
            notes = [*made.notes, *notes]
            described = {
                "processing": made.processing,
                "origin": made.origin,
                "notes": [*made.notes, *document.notes],
            }
            document = document.model_copy(update=described)
        pa.default_memory_pool().release_unused()
        digest = digest_of_documents(manifest, samples, document)
        version = registry.data_version_with(specification.name, digest)
        if version is not None:
            return Commit(version, created=False, notes=notes, landed=source)
        document = document.model_copy(
            update={"digest": digest, "created_by": registry.principal.name}
        )
        version = publish(workspace, registry, document, samples, manifest, contents.pixels)
        return Commit(version, created=True, notes=notes, landed=source)


def _require_features(specification: DatasetSpecification, contents: Contents) -> None:
    """Check that units are declared of existing features, or of a label that is a number.

    Raises:
        SpecificationError: a feature does not exist, or not every band is described.
    """
    for name in ("center_wavelengths", "common_names"):
        entries = getattr(specification.bands, name)
        if entries is not None and len(entries) != len(contents.features):
            raise SpecificationError(
                f"bands.{name} has {len(entries)} entries, the data has"
                f" {len(contents.features)} bands"
            )
    known = [*contents.features]
    if contents.classes is None:
        known.append(label_name(specification.source))
    unknown = [name for name in specification.units if name not in known]
    if unknown:
        raise SpecificationError(
            f"units: there is no feature {', '.join(unknown)}; there are {named(known)}"
        )


@contextmanager
def read_landing(
    workspace: Workspace,
    registry: Registry,
    specification: DatasetSpecification,
    rehash: bool = False,
    landing: Landing | None = None,
) -> Iterator[tuple[Landed, Contents]]:
    """Read and check everything that has landed; nothing is stored.

    Use it under the lock of the dataset.

    Local copies of remote files last as long as the context. Arguments and errors are those of
    `commit`; `landing` is the declared one if not given.
    """
    landing = landing or open_landing(workspace, specification.source)
    with step(f"listing the landing of {specification.name}"):
        landed = landing.list()
    known = StoredObjects()
    if not rehash:
        known = known_files(workspace, registry, landing.url, landed)
    facts = _facts(workspace, registry, specification, landed, known)
    with scratch_folder(f"committing-{specification.name}", workspace.cache) as staging:
        source = Landed(
            workspace,
            landing,
            landed,
            staging,
            landing.scenes,
            known,
            facts,
        )
        pointers = source.pointers()
        if pointers:
            raise DataProblems(f"landing of {specification.name}", [pointer_problem(pointers)])
        try:
            contents = LAYOUTS[specification.source.layout].contents(source, specification)
        except EmptyLanding as error:
            raise EmptyLanding("; ".join([str(error), *_archives(landed.paths)])) from error
        yield source, contents


def _single_objects(workspace: Workspace, registry: Registry, dataset: str) -> NDArray[np.bytes_]:
    """Return the checksums of objects that are in a bucket by themselves, by the newest version.

    It has such in a release without packs, and small ones are not stored again in packs.
    """
    none = np.empty(0, "S64")
    if workspace.is_local or not workspace.pack_below:  # a folder is asked itself
        return none
    try:
        newest = registry.data_version(Reference(dataset))
        key = f"{version_folder(newest.dataset, newest.version)}/manifest.parquet"
        return single_objects(read_published(workspace, registry, key))
    except (NotFound, StorageError, IntegrityError):  # then objects are stored again
        return none


def _facts(
    workspace: Workspace,
    registry: Registry,
    specification: DatasetSpecification,
    listed: Listing,
    known: StoredObjects,
) -> pd.DataFrame:
    """Return facts of files whose bytes are known, from the newest version, indexed by path.

    They are reused only if the files were read in the same way.
    """
    if not known.count:
        return file_rows([]).set_index("path")
    try:
        newest = registry.data_version(Reference(specification.name))
    except NotFound:  # a first commit that was killed has stored them, or other datasets have
        return file_rows([]).set_index("path")
    if _reading(newest.specification) != _reading(specification.committed()):
        return file_rows([]).set_index("path")
    key = f"{version_folder(newest.dataset, newest.version)}/manifest.parquet"
    content = read_published(workspace, registry, key)
    if not knows_bands(content):  # of an earlier release
        return file_rows([]).set_index("path")
    parts = [known.same(listed, paths, sha256s) for paths, sha256s in checksums(content)]
    same = np.concatenate([np.empty(0, dtype=bool), *parts])
    pa.default_memory_pool().release_unused()
    facts = read_manifest(content, FILE_COLUMNS)
    del content
    lost = facts.loc[~same & (facts["role"] == "sidecar"), "scene"].dropna()
    # a raster is read together with its sidecars, so that a changed one changes its facts
    kept = same & ~facts["scene"].isin(lost)
    pa.default_memory_pool().release_unused()  # of decoding
    return (facts if kept.all() else facts[kept]).set_index("path")


def _reading(committed: JsonObject) -> tuple[Json, Json]:
    """Return the options that decide how files are read."""
    source = committed["source"]
    if isinstance(source, dict):
        source = {name: value for name, value in source.items() if name != "url"}
    return source, committed["classes"]


def _require_training_samples(
    contents: Contents, samples: pd.DataFrame, specification: DatasetSpecification
) -> None:
    if contents.classes is None or contents.input.kind == "window":
        return
    trained = set(samples.loc[samples["split"] == "train", "label"].unique())
    present = set(samples["label"].unique())
    problems = [
        f"class {entry['value']} ({entry['name']}) has "
        + (
            f"{(samples['label'] == str(entry['value'])).sum()} sample(s), none of them in"
            " training; land more of it, change the split's seed, block or fractions, or take the"
            " class out"
            if str(entry["value"]) in present
            else "no sample; land some or take it out of 'classes'"
        )
        for entry in contents.classes
        if str(entry["value"]) not in trained
    ]
    if problems:
        raise DataProblems(f"landing of {specification.name}", problems)


def _absent(
    contents: Contents, samples: pd.DataFrame, specification: DatasetSpecification
) -> list[str]:
    """Return a note on the classes that a split lacks."""
    if contents.classes is None:
        return []
    counts = landed_counts(samples, contents.classes, contents.pixels)
    absent = absent_text(absent_classes(counts))
    if not absent:
        return []
    split = specification.split
    other = (
        f"; 'mlops dataset preview {specification.name}' shows other seeds"
        if split.method in SEEDED
        else ""
    )
    return [f"split method {split.method!r} leaves classes out: {absent}{other}"]


def _unread(unread: list[str]) -> list[str]:
    notes = _archives(unread)
    others = [path for path in unread if not path.lower().endswith(ARCHIVES)]
    notes += [f"{path} is not read by this layout" for path in others[:_NOTED]]
    return notes + (
        [f"{len(others) - _NOTED} more files are not read by this layout"]
        if others[_NOTED:]
        else []
    )


def _archives(paths: list[str]) -> list[str]:
    """Return notes on archives.

    Archives are never unpacked, as what they hold may be anything, of any size.
    """
    found = [path for path in paths if path.lower().endswith(ARCHIVES)]
    return [
        f"{path} is an archive and is not read; unpack it into the landing"
        for path in found[:_NOTED]
    ]


def _belonging(listed: Listing, paths: list[str]) -> tuple[Listing, list[str]]:
    """Return the listed files with these paths, which are sorted, and the paths of all others."""
    if paths == listed.paths:
        return listed, []
    belonging, by_path = set(paths), listed.by_path
    others = [path for path in listed.paths if path not in belonging]
    return Listing(by_path[path] for path in paths), others


def _checksums(manifest: pd.DataFrame, paths: pd.Series) -> pd.Series:
    """Return the sha256 of each of these files."""
    rows = pc.index_in(pa.array(paths), value_set=pa.array(manifest["path"]))
    return manifest["sha256"].take(rows.to_numpy()).set_axis(paths.index)


def _require_settled(landing: Landing, files: Iterable[LandedFile]) -> None:
    changed = landing.changed(files)
    if changed:
        raise StorageError(
            f"{', '.join(changed[:5])} changed while being committed; nothing was published; wait"
            " until the landing is settled and commit again"
        )


def publish(
    workspace: Workspace,
    registry: Registry,
    draft: VersionDocument,
    samples: pd.DataFrame,
    manifest: pd.DataFrame,
    pixels: NDArray[np.int32] | None,
) -> DataVersion:
    """Write the documents of a data version and publish it; its bytes are in place.

    Use it under the lock of the dataset.

    Args:
        workspace: where the documents go.
        registry: where the version is published.
        draft: the document, without version and time; the summary is made if it has none.
        samples: of the version.
        manifest: of the version.
        pixels: number of labelled pixels by window and class, if samples are windows.

    Raises:
        StorageError: a document cannot be written.
    """
    number = registry.next_number(draft.dataset)
    version = f"v{number}"
    created = now()
    declared = DatasetSpecification.model_validate(draft.specification)
    interval = declared_interval(declared) or (None, None)
    folder = version_folder(draft.dataset, version)
    with scratch_folder(f"publishing-{draft.dataset}", workspace.cache) as scratch:
        rows, taken = scratch / "manifest.parquet", scratch / "samples.parquet"
        try:
            with rows.open("wb") as sink:
                write_manifest(sink, manifest, draft.dataset, version, created, interval)
            with taken.open("wb") as sink:
                write_samples(sink, samples, numbers=draft.classes is None)
        except OSError as error:
            raise StorageError(
                f"{scratch} could not be written: {error.strerror}; free space there, or set"
                " MLOPS_CACHE to another folder, and commit again"
            ) from error
        pa.default_memory_pool().release_unused()
        document = draft.model_copy(
            update={
                "version": version,
                "created": created.isoformat(),
                "summary": draft.summary or summarise(draft, rows, taken, pixels),
            }
        )
        files = [
            workspace.put(f"{folder}/manifest.parquet", rows),
            workspace.put(f"{folder}/samples.parquet", taken),
            workspace.put(f"{folder}/version.json", json_bytes(document.content())),
        ]
    row = DataVersion(
        dataset=document.dataset,
        version=version,
        number=number,
        digest=document.digest,
        created=created,
        created_by=document.created_by,
        files=len(manifest),
        samples=len(samples),
        size=int(manifest["size"].sum()),
        specification=document.specification,
        counts={name: int((samples["split"] == name).sum()) for name in SPLITS},
    )
    inputs = () if document.processing is None else document.processing.inputs
    registry.publish_data_version(row, files, [(given.dataset, given.version) for given in inputs])
    return row
