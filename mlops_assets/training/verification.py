"""Checking the chain: live metric → model version → training run → code → data version → every file's checksum.

It re-reads every byte and compares it with what was published, and what the registry says with what the files say.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from pydantic_core import to_json

from mlops_assets.datasets.documents import version_folder
from mlops_assets.datasets.freezing import digest_of
from mlops_assets.datasets.manifest import read_manifest
from mlops_assets.datasets.verifying import cache_damages
from mlops_assets.datasets.versions import FrozenDataset
from mlops_assets.errors import IntegrityError, StorageError
from mlops_assets.names import Reference
from mlops_assets.progress import step
from mlops_assets.registry import DataVersion, ModelVersion, Run
from mlops_assets.registry.published import read_published, stat_published
from mlops_assets.registry.schema import STAGES
from mlops_assets.storage import FileStat
from mlops_assets.storage.workspace import object_key
from mlops_assets.training.publishing import run_facts
from mlops_assets.training.store import Store, model_folder


@dataclass
class Verification:
    """What was checked, and everything that is not as it was published."""

    files: int = 0
    size: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether nothing was found."""
        return not self.problems


def verify_model(store: Store, row: ModelVersion) -> Verification:
    """Verify one model version, its run, its data version, their records, and its predictions."""
    found = Verification()
    data = store.registry.data_version(Reference(row.dataset, row.data_version))
    subject, source = f"{row.model}@{row.version}", f"{row.dataset}@{row.data_version}"
    owners = [
        f"model:{subject}",
        f"record:{subject}",
        f"prediction:{subject}",
        f"run:{row.run_id}",
        f"data:{source}",
        f"record:{source}",
        "catalog",
    ]
    objects = [*_objects(store, data), *_objects_of_run(store.registry.run(row.run_id))]
    _verify_files(store, found, [*store.registry.files(*owners), *objects], f"verifying {subject}")
    found.problems += [*_data_problems(store, data), *_cache_problems(store, data), *_model_problems(store, row)]
    return found


def verify_files_of_model(store: Store, row: ModelVersion) -> Verification:
    """Verify the own files of a recorded model version, its record, and what the registry says of it; not its data."""
    found = Verification()
    subject = f"{row.model}@{row.version}"
    files, records = store.registry.files(f"model:{subject}"), store.registry.files(f"record:{subject}")
    run = store.registry.files(f"run:{row.run_id}")
    published = {file.path for file in files}
    for name in ("model.onnx", "metrics.json"):
        if f"{model_folder(row)}/{name}" not in published:
            found.problems.append(f"{model_folder(row)}/{name} was never published; export and evaluate it again")
    if not records:
        found.problems.append(f"{subject} has no record; record it again")
    _verify_files(store, found, [*files, *records, *run], f"verifying {subject}")
    found.problems += _model_problems(store, row)
    return found


def verify_all(store: Store) -> Verification:
    """Verify everything the registry has published, and every object in the workspace."""
    found = Verification()
    stored = {key: FileStat(key, "".join(key.split("/")[-2:]), -1) for key in store.workspace.list("objects/sha256")}
    of_data = [o for data in store.registry.data_versions() for o in _objects(store, data)]
    of_runs = [o for run in store.registry.runs() for o in _objects_of_run(run)]
    listed = {o.path: o for o in (*of_data, *of_runs)}
    _verify_files(store, found, [*store.registry.files(), *{**stored, **listed}.values()], "verifying everything")
    for data in store.registry.data_versions():
        found.problems += [*_data_problems(store, data), *_cache_problems(store, data)]
    for row in store.registry.model_versions():
        found.problems += _model_problems(store, row)
    return found


def _verify_files(store: Store, found: Verification, files: list[FileStat], what: str) -> None:
    with step(what, len(files), "files") as done:
        for published in files:
            try:
                file, now = stat_published(store.workspace, store.registry, published)
            except StorageError as error:
                found.problems.append(str(error))
                done.advance()
                continue
            done.advance(size=now.size)
            found.files += 1
            found.size += now.size
            if now.sha256 != file.sha256:
                found.problems.append(
                    f"{file.path}: its bytes are not those that were published (sha256 {now.sha256[:12]}…, was "
                    f"{file.sha256[:12]}…); restore it from a backup"
                )


def _objects(store: Store, data: DataVersion) -> list[FileStat]:
    """Return the files of a data version; none where the manifest itself cannot be read, which is found elsewhere."""
    manifest = _manifest(store, data)
    if manifest is None:
        return []
    stored = manifest[manifest["href"].isna()]  # what is kept by reference is no object: 'mlops dataset verify' asks
    rows = zip(stored["sha256"], stored["size"], strict=True)
    return [FileStat(object_key(sha256), sha256, int(size)) for sha256, size in rows]


def _objects_of_run(run: Run) -> list[FileStat]:
    """Return what a run was made with: its list of packages, and code that was not committed."""
    found = [sha256 for sha256 in (run.environment, run.code.get("diff")) if sha256]
    return [FileStat(object_key(sha256), sha256, -1) for sha256 in found]


def _published(store: Store, key: str) -> bytes | None:
    """Return a file's content if it is as published; else None, as its checksum has told already."""
    try:
        return read_published(store.workspace, store.registry, key)
    except (StorageError, IntegrityError):
        return None


def _manifest(store: Store, data: DataVersion) -> pd.DataFrame | None:
    content = _published(store, f"{version_folder(data.dataset, data.version)}/manifest.parquet")
    return None if content is None else read_manifest(content)


def _samples(store: Store, data: DataVersion) -> pd.DataFrame | None:
    content = _published(store, f"{version_folder(data.dataset, data.version)}/samples.parquet")
    return None if content is None else pd.read_parquet(io.BytesIO(content))


def _document(store: Store, key: str) -> dict[str, Any] | None:
    content = _published(store, key)
    document: dict[str, Any] | None = None if content is None else json.loads(content)
    return document


def _data_problems(store: Store, data: DataVersion) -> Iterator[str]:
    """The digest in the registry must be the manifest's; files that cannot be read are found by their checksum."""
    manifest, samples = _manifest(store, data), _samples(store, data)
    document = _document(store, f"{version_folder(data.dataset, data.version)}/version.json")
    if manifest is None or samples is None or document is None:
        return
    source = document["specification"]["source"]
    parts = (document["classes"], document["features"], document["input"], source, document.get("labels"))
    digest = digest_of(manifest, samples, *parts)
    if not digest == data.digest == document["digest"]:
        yield (
            f"{data.dataset}@{data.version}: the registry says digest {data.digest[:12]}…, "
            f"the manifest has {digest[:12]}…; "
            "restore the registry or the manifest from a backup"
        )


def _cache_problems(store: Store, data: DataVersion) -> list[str]:
    """What this machine has decoded of a data version must be what its files hold."""
    try:
        frozen = FrozenDataset.open(store.workspace, store.registry, Reference(data.dataset, data.version))
    except (StorageError, IntegrityError):  # its documents are found by their checksum
        return []
    return [damage.detail for damage in cache_damages(frozen)]


def _model_problems(store: Store, row: ModelVersion) -> Iterator[str]:
    """What the registry says of a model version must be what its files say."""
    subject = f"{row.model}@{row.version}"
    run = store.registry.run(row.run_id)
    document = _document(store, f"runs/{row.run_id}/run.json")
    if document is not None:
        facts = {**run_facts(run), "model_version": row.version, "signature": row.signature}
        for name, value in facts.items():
            if document.get(name) != value:
                yield f"{subject}: the registry says {name} is {value!r}, run.json says {document.get(name)!r}"
    if (row.data_version, row.data_digest) != (run.data_version, run.data_digest):
        yield f"{subject}: model version and run name different data versions"
    data = store.registry.data_version(Reference(row.dataset, row.data_version))
    if data.digest != row.data_digest:
        yield f"{subject}: was trained on digest {row.data_digest[:12]}…, {row.data_version} has {data.digest[:12]}…"
    evaluated = STAGES.index(row.stage) >= STAGES.index("evaluated")
    measured = _document(store, f"{model_folder(row)}/metrics.json") if evaluated else None
    if measured is not None and _as_kept(measured.get("metrics")) != _as_kept(row.metrics):
        yield f"{subject}: the registry's metrics are not those of metrics.json"


def _as_kept(metrics: Any) -> Any:
    """Return metrics as the registry keeps them: NaN, which equals nothing, and infinities are texts."""
    return json.loads(to_json(metrics, inf_nan_mode="strings"))
