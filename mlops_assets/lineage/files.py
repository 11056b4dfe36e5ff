"""The way of a file: where it has landed, and the versions and runs it is part of."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from sqlalchemy import select

from mlops_assets.datasets.recall.ancestry import document_of
from mlops_assets.datasets.versions.manifest import files_with
from mlops_assets.errors import NotFound
from mlops_assets.lineage.chain import DataFile, files_of, landing_of
from mlops_assets.lineage.deployments import DeploymentLineage, deployments_of_file
from mlops_assets.lineage.maps import MapLineage, maps_with
from mlops_assets.names import Reference
from mlops_assets.paths import version_folder
from mlops_assets.registry import DataVersion, File
from mlops_assets.registry.files.verified_read import read_published
from mlops_assets.registry.schema import LandedIdentity
from mlops_assets.registry.visibility import sees_all
from mlops_assets.storage import sha256_of
from mlops_assets.store import Store

_SHA256 = re.compile("[0-9a-f]{64}")
_AT_ONCE = 4  # manifests that are read, so that a remote store is not waited for one by one


@dataclass(frozen=True, order=True)
class LandedPlace:
    """A landed file with these bytes."""

    landing: str
    path: str
    size: int


@dataclass(frozen=True)
class DataUse:
    """A data version that has the file, maybe under several paths.

    Attributes:
        reference: `dataset@version`.
        landing: URL where its files have landed; None if it was made from other data.
        files: its paths, with their samples by split.
    """

    reference: str
    landing: str | None
    files: list[DataFile]


@dataclass(frozen=True)
class RunUse:
    """A run on a data version that has the file; `model_version` is what it made."""

    run_id: str
    model: str
    data: str
    status: str
    model_version: str | None


@dataclass(frozen=True)
class PublishedPlace:
    """A published file of a version with these bytes, such as its ONNX model."""

    path: str
    owner: str


@dataclass(frozen=True)
class FileLineage:
    """All that a file is part of, as far as the principal may see it.

    Attributes:
        sha256: of its bytes.
        landed: where it has landed: as its data versions state, and as the last scans found it.
        data: data versions that have it.
        runs: runs on them, oldest first.
        models: references of model versions that were trained on them, have it among their own
            files, or predicted it.
        published: published files with the same bytes.
        maps: that have it or were made from it, newest first.
        deployments: of it, as the ONNX file of a model version, newest first.
    """

    sha256: str
    landed: list[LandedPlace]
    data: list[DataUse]
    runs: list[RunUse]
    models: list[str]
    published: list[PublishedPlace]
    maps: list[MapLineage]
    deployments: list[DeploymentLineage]


def checksum_of(text: str) -> str:
    """Return the sha256 that a text states, or that of the local file it names.

    Raises:
        NotFound: it is neither.
    """
    if _SHA256.fullmatch(text.lower()):
        return text.lower()
    path = Path(text)
    if not path.is_file():
        raise NotFound(f"{text} is neither a file nor a sha256 of 64 hex digits")
    return sha256_of(path)


def file_lineage(store: Store, sha256: str) -> FileLineage:
    """Return all that a file is part of.

    Args:
        store: workspace and registry.
        sha256: of its bytes, 64 hex digits.

    Raises:
        IntegrityError: a manifest is not as it was published.
        NotFound: nothing that the principal may see has these bytes.
        StorageError: a manifest cannot be read.
    """
    registry = store.registry
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        found_in = pool.map(lambda row: _use(store, row, sha256), registry.data_versions())
        used = [use for use in found_in if use is not None]
    uses = [use for _, use in used]
    rows = [row for row, _ in used]
    runs = [
        run for row in rows for run in registry.runs(dataset=row.dataset, data_version=row.version)
    ]
    with registry.reading() as session:
        landed = session.scalars(select(LandedIdentity).filter_by(sha256=sha256)).all()
        published = session.scalars(select(File).filter_by(sha256=sha256)).all()
    if not sees_all(registry.principal):
        # neither states a visibility: landed files are shown with a version that has them
        landed = landed if rows else []
        published = [file for file in published if _is_of_visible(store, file)]
    places = {LandedPlace(entry.source, entry.path, entry.size) for entry in landed}
    places |= {
        LandedPlace(use.landing, file.path, file.size)
        for use in uses
        if use.landing is not None
        for file in use.files
    }
    found = FileLineage(
        sha256=sha256,
        landed=sorted(places),
        data=uses,
        runs=[
            RunUse(
                run_id=run.run_id,
                model=run.model,
                data=f"{run.dataset}@{run.data_version}",
                status=run.status,
                model_version=run.model_version,
            )
            for run in runs
        ],
        models=list(
            dict.fromkeys(
                [
                    *(
                        f"{model.model}@{model.version}"
                        for row in rows
                        for model in registry.list_model_versions(
                            data=Reference(row.dataset, row.version)
                        )
                    ),
                    *map(_model_of, filter(_model_of, published)),
                ]
            )
        ),
        published=[PublishedPlace(file.path, file.owner) for file in published],
        maps=maps_with(store, sha256),
        deployments=deployments_of_file(registry, sha256),
    )
    if not (found.data or found.landed or found.published or found.maps):
        raise NotFound(
            f"nothing in {store.workspace.url} has the sha256 {sha256}; a file that is kept by"
            " reference, or was never committed, may have changed since"
        )
    return found


def _model_of(file: File) -> str:
    """Return the reference of the model version that has or predicted a file; else nothing."""
    kind, _, reference = file.owner.partition(":")
    return reference if kind in ("model", "prediction") else ""


def _is_of_visible(store: Store, file: File) -> bool:
    """Return whether a file is one of a version that the principal sees."""
    kind, _, name = file.owner.partition(":")
    if kind not in ("data", "model", "prediction", "record"):
        return False
    reference = Reference.parse(name)
    visible = {row.version for row in store.registry.data_versions(reference.name)}
    visible |= {row.version for row in store.registry.list_model_versions(reference.name)}
    return reference.what in visible


def _use(store: Store, row: DataVersion, sha256: str) -> tuple[DataVersion, DataUse] | None:
    """Return a data version with its use of a file; None if it does not have the file.

    All manifests are read, of 100 versions with 10,000 files each in less than a second of the
    processor: an index of checksums would cost every commit a row for each of its files.
    """
    folder = version_folder(row.dataset, row.version)
    manifest = files_with(
        read_published(store.workspace, store.registry, f"{folder}/manifest.parquet"), sha256
    )
    if manifest.empty:
        return None
    content = read_published(store.workspace, store.registry, f"{folder}/samples.parquet")
    samples = pq.ParquetFile(pa.BufferReader(content)).read(columns=["path", "split"])
    own = pc.is_in(samples["path"], pa.array(manifest["path"]))
    document = document_of(store.workspace, store.registry, row)
    use = DataUse(
        reference=f"{row.dataset}@{row.version}",
        landing=landing_of(store, row, document),
        files=files_of(manifest, samples.filter(own).to_pandas()),
    )
    return row, use
