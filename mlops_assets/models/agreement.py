"""Agreement of registry rows with each other and with published documents.

Derived columns of the chain are checked too. Documents are read through their checksums; one that
cannot be read is reported there, and not compared here.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial

from pydantic import Field

from mlops_assets.errors import IntegrityError, NotFound, StorageError
from mlops_assets.models.applicability.document import ApplicabilityDocument, other_files
from mlops_assets.models.run_documents import UNDOCUMENTED
from mlops_assets.names import Reference
from mlops_assets.paths import (
    applicability_key,
    model_folder,
    model_owner,
    record_owner,
    run_document_key,
)
from mlops_assets.registry import Alias, ModelVersion, Promotion, Run
from mlops_assets.registry.files.verified_read import read_published
from mlops_assets.registry.log.chain import kept
from mlops_assets.registry.log.replay import guarded, same
from mlops_assets.registry.model_documents import Document
from mlops_assets.registry.schema import STAGES, Tag
from mlops_assets.store import Store
from mlops_assets.text.json_values import JsonObject

_LATER = ("metrics", "phases")  # columns of a run that the stages of its model version add to


class _RunDocument(Document):
    """The fields of a `run.json` that are compared one by one."""

    metrics: dict[str, object] | None = None
    phases: dict[str, object] = Field(default={})
    series: object = None


class _Properties(Document):
    tasks: list[str] | None = Field(default=None, alias="mlm:tasks")
    framework: str | None = Field(default=None, alias="mlm:framework")


class _Record(Document):
    """The fields of a model version's STAC Item that repeat columns of its row."""

    properties: _Properties = _Properties()


def published_content(store: Store, key: str) -> bytes | None:
    """Return a file's content if it is as published, else None.

    A failed checksum has been reported already.
    """
    try:
        return read_published(store.workspace, store.registry, key)
    except (StorageError, IntegrityError):
        return None


def published_document(store: Store, key: str) -> JsonObject | None:
    """Return a JSON document if it is as published, else None."""
    content = published_content(store, key)
    document: JsonObject | None = None if content is None else json.loads(content)
    return document


def run_problems(store: Store, run: Run) -> Iterator[str]:
    """Yield the differences of a run's row from the document that is published when it ends."""
    document = published_document(store, run_document_key(run.run_id))
    if document is None or run.status == "running":
        return
    columns = {column.name: kept(getattr(run, column.name)) for column in Run.__table__.columns}
    facts = {
        name: value
        for name, value in columns.items()
        if name not in _LATER and name not in UNDOCUMENTED
    }
    yield from _differing(f"run {run.run_id}", facts, document, "run.json")
    recorded = _RunDocument.model_validate(document)
    made = _model_version_of(store, run)
    measured = {} if made is None else made.metrics
    if recorded.metrics is not None and not same(
        kept(run.metrics), kept({**recorded.metrics, **measured})
    ):
        yield (
            f"run {run.run_id}: the registry's metrics are not those of run.json and of its model"
            " version"
        )
    for name, seconds in recorded.phases.items():
        if name not in STAGES and not same(kept(run.phases.get(name)), seconds):
            yield (
                f"run {run.run_id}: {name} took {run.phases.get(name)} s in the registry and"
                f" {seconds} s in run.json"
            )
    if "series" in document and not same(
        kept(store.registry.series(run.run_id)), kept(recorded.series)
    ):
        yield f"run {run.run_id}: the registry's points are not those of run.json"


def _model_version_of(store: Store, run: Run) -> ModelVersion | None:
    if run.model_version is None:
        return None
    try:
        # what is compared is not returned
        return store.registry.unrestricted().model_version(Reference(run.model, run.model_version))
    except NotFound:
        return None


def model_version_problems(store: Store, row: ModelVersion) -> Iterator[str]:
    """Yield the differences of a model version's row from its documents, run and data version."""
    subject = f"{row.model}@{row.version}"
    for check in (_run_of, _data_of, _stage_of, _metrics_of, _record_of, _applicability_of):
        yield from guarded(subject, partial(check, store, row, subject))


def _applicability_of(store: Store, row: ModelVersion, subject: str) -> Iterator[str]:
    content = published_content(store, applicability_key(row.model, row.version))
    measured = (
        None if content is None else ApplicabilityDocument.model_validate_json(content).measured
    )
    if measured is None:
        return
    # that of a file that was exported before is not used
    for file in store.registry.files_at(f"{model_folder(row.model, row.version)}/model.onnx"):
        if file.sha256 == measured.onnx:
            for problem in other_files(store, row, measured):
                yield f"{subject}: {problem}"


def _run_of(store: Store, row: ModelVersion, subject: str) -> Iterator[str]:
    document = published_document(store, run_document_key(row.run_id))
    if document is not None:
        facts = {
            "signature": row.signature,
            "model_version": row.version,
            "dataset": row.dataset,
            "model": row.model,
        }
        yield from _differing(subject, facts, document, "run.json")
    try:
        run = store.registry.unrestricted().run(row.run_id)
    except NotFound as error:
        yield f"{subject}: {error}"
        return
    if (row.data_version, row.data_digest) != (run.data_version, run.data_digest):
        yield f"{subject}: model version and run name different data versions"
    if (run.status, run.model_version) != ("succeeded", row.version):
        yield f"{subject}: its run is {run.status} with model version {run.model_version}"


def _data_of(store: Store, row: ModelVersion, subject: str) -> Iterator[str]:
    try:
        data = store.registry.unrestricted().data_version(Reference(row.dataset, row.data_version))
    except NotFound as error:
        yield f"{subject}: was trained on {row.dataset}@{row.data_version}: {error}"
        return
    if data.digest != row.data_digest:
        yield (
            f"{subject}: was trained on digest {row.data_digest[:12]}…, {row.data_version} has"
            f" {data.digest[:12]}…"
        )


def _stage_of(store: Store, row: ModelVersion, subject: str) -> Iterator[str]:
    if row.stage not in STAGES:
        yield f"{subject}: the registry has stage {row.stage!r}; stages are {', '.join(STAGES)}"
        return
    folder = model_folder(row.model, row.version)
    published = {file.path for file in store.registry.files(model_owner(row.model, row.version))}
    records = store.registry.files(record_owner(row.model, row.version))
    has = {
        "exported": f"{folder}/model.onnx" in published,
        "evaluated": f"{folder}/metrics.json" in published,
        "recorded": bool(records),
    }
    for stage, done in has.items():
        if STAGES.index(row.stage) >= STAGES.index(stage) and not done:
            yield (
                f"{subject}: the registry has stage {row.stage}, but the files of stage {stage}"
                " were never published"
            )
    if has["recorded"] and row.stage != "recorded":
        yield f"{subject}: the registry has stage {row.stage}, but its record is published"


def _metrics_of(store: Store, row: ModelVersion, subject: str) -> Iterator[str]:
    document = published_document(store, f"{model_folder(row.model, row.version)}/metrics.json")
    if document is not None and not same(kept(row.metrics), kept(document.get("metrics"))):
        yield f"{subject}: the registry's metrics are not those of metrics.json"
    elif document is None and row.metrics:
        yield (f"{subject}: the registry has metrics, but no metrics.json was published")


def _record_of(store: Store, row: ModelVersion, subject: str) -> Iterator[str]:
    for file in store.registry.files(record_owner(row.model, row.version)):
        recorded = _Record.model_validate(published_document(store, file.path) or {}).properties
        tasks = [row.task] if recorded.tasks is None else recorded.tasks
        framework = row.framework if recorded.framework is None else recorded.framework
        if row.task not in tasks:
            yield f"{subject}: the registry has task {row.task!r}, its record {', '.join(tasks)}"
        # records spell frameworks as their makers do
        if framework.casefold() != row.framework.casefold():
            yield (
                f"{subject}: the registry has framework {row.framework!r}, its record {framework!r}"
            )


def alias_problems(
    promotions: Sequence[Promotion], aliases: Sequence[Alias], versions: Collection[tuple[str, str]]
) -> Iterator[str]:
    """Yield the aliases that are not where promotions have moved them.

    Args:
        promotions: of all models, oldest first.
        aliases: of all models.
        versions: every model version, as model and version.
    """
    expected: dict[tuple[str, str], str] = {}
    for promotion in promotions:
        expected[promotion.model, promotion.alias] = promotion.version
        if promotion.alias == "production" and promotion.previous not in (None, promotion.version):
            expected[promotion.model, "previous"] = promotion.previous
    found = {(row.model, row.alias): row.version for row in aliases}
    for model, alias in sorted(expected.keys() | found.keys(), key=repr):
        version = found.get((model, alias))
        moved = expected.get((model, alias))
        if version != moved:
            yield f"{model}@{alias} is {version}, by its promotions it is {moved}"
        elif (model, version) not in versions:
            yield f"{model}@{alias} is {version}, but there is no such model version"


def tag_problems(tags: Sequence[Tag], versions: Collection[tuple[str, str]]) -> Iterator[str]:
    """Yield the tags of data versions that do not exist.

    `versions` are all existing ones, as dataset and version.
    """
    for row in tags:
        if (row.dataset, row.version) not in versions:
            yield (
                f"tag {row.dataset}@{row.tag} names {row.version}, but there is no such data"
                " version"
            )


def _differing(
    subject: str, facts: Mapping[str, object], document: Mapping[str, object], name: str
) -> Iterator[str]:
    for fact, value in facts.items():
        if fact in document and not same(kept(value), kept(document[fact])):
            yield (
                f"{subject}: {fact} is {value!r} in the registry and {document[fact]!r} in {name}"
            )
