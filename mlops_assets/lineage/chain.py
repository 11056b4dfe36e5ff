"""The chain behind a model version: metrics, evaluation, run, code, data versions, files."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

import pandas as pd

from mlops_assets.datasets.sources import landing_url
from mlops_assets.datasets.specification.dataset import SPLITS
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.datasets.versions.version_document import VersionDocument
from mlops_assets.errors import Hidden, NotFound
from mlops_assets.lineage.deployments import DeploymentLineage, deployments_of_version
from mlops_assets.names import Reference
from mlops_assets.paths import model_folder
from mlops_assets.registry import DataVersion, ModelVersion
from mlops_assets.registry.records.maps import MapFilter
from mlops_assets.stac.catalog import version_tags
from mlops_assets.store import Store
from mlops_assets.text.json_values import JsonObject

LEFT_OUT = "left_out"  # samples of no split


@dataclass(frozen=True)
class DataFile:
    """A file of a data version.

    Attributes:
        path: its path in the data version.
        sha256: of its bytes.
        size: in bytes.
        role: what it holds: an image, labels, a table …
        samples: split → number of its samples; empty for files without samples of their own.
    """

    path: str
    sha256: str
    size: int
    role: str
    samples: dict[str, int]


@dataclass(frozen=True)
class SplitCounts:
    """Files and samples of a split; a file may have samples in several."""

    files: int
    samples: int


@dataclass(frozen=True)
class DataLineage:
    """A data version of the chain.

    Attributes:
        reference: `dataset@version`.
        digest: of its content.
        tags: its other names.
        visibility: who may see it.
        created: when it was committed.
        created_by: who has committed it.
        landing: URL where its files have landed, the commit they were imported from, or the record
            in another workspace that has them; None if it was made from other data.
        function: that has made it from other data.
        code: version of that function's code.
        parameters: of that function.
        inputs: references of the data versions it was made from.
        splits: split → counts.
        files: all of its files, by path.
    """

    reference: str
    digest: str
    tags: list[str]
    visibility: str
    created: datetime
    created_by: str
    landing: str | None
    function: str | None
    code: str | None
    parameters: JsonObject
    inputs: list[str]
    splits: dict[str, SplitCounts]
    files: list[DataFile]


@dataclass(frozen=True)
class RunLineage:
    """The training run of the chain.

    Attributes:
        run_id: its id.
        trainer: function or script.
        created_by: who has started it; None if unknown.
        started: when.
        seed: of its random numbers.
        parameters: of the trainer.
        code_version: of the trainer's package.
        code: `commit` of its repository, and `diff`, the sha256 of the object with uncommitted
            changes.
        environment: sha256 of the object that lists the installed packages.
        hardware: it ran on.
        imported: of a model that was imported, `source` (path or URL), `sha256` of its ONNX file,
            `record`, `parity` and what was `assumed`; empty of others.
    """

    run_id: str
    trainer: str
    created_by: str | None
    started: datetime
    seed: int
    parameters: JsonObject
    code_version: str
    code: dict[str, str]
    environment: str | None
    hardware: JsonObject
    imported: dict[str, str]


@dataclass(frozen=True)
class ModelLineage:
    """The chain behind a model version.

    Attributes:
        reference: `model@version`.
        aliases: its other names.
        visibility: who may see it.
        trained_on: reference of the data version it was trained on.
        task: classification, semantic segmentation or regression.
        framework: of its native artefact.
        metrics: of the test split, measured with the ONNX model.
        evaluation: `model.onnx` and `metrics.json` → sha256, as far as they are published.
        run: that has trained it; None if the principal may not see it.
        data: the data version it was trained on, then what that was made from.
        hidden: references of data versions that the principal may not see.
        unknown: references of data versions that the registry does not have.
        maps: names of the maps that it has made, newest first → digest of their files.
        deployments: of it, newest first.
    """

    reference: str
    aliases: list[str]
    visibility: str
    trained_on: str
    task: str
    framework: str
    metrics: dict[str, object]
    evaluation: dict[str, str]
    run: RunLineage | None
    data: list[DataLineage]
    hidden: list[str]
    unknown: list[str]
    maps: dict[str, str]
    deployments: list[DeploymentLineage]


def model_lineage(store: Store, reference: Reference, metric: str | None = None) -> ModelLineage:
    """Return the chain behind a model version.

    Args:
        store: workspace and registry.
        reference: to the model version.
        metric: the only metric to start from; all if None.

    Raises:
        NotFound: there is no such model version, or it has no such metric.
        IntegrityError: a document of a data version is not as it was published.
        StorageError: one cannot be read.
    """
    registry = store.registry
    row = registry.model_version(reference)
    name = f"{row.model}@{row.version}"
    if metric is not None and metric not in row.metrics:
        known = ", ".join(row.metrics) or "none"
        raise NotFound(f"{name} has no metric {metric!r}; it has {known}")
    data, hidden, unknown = _ancestry(store, Reference(row.dataset, row.data_version))
    found = lineage_without_data(store, row, metric)
    return replace(found, data=data, hidden=hidden, unknown=unknown)


def lineage_without_data(
    store: Store, row: ModelVersion, metric: str | None = None
) -> ModelLineage:
    """Return the chain behind a model version but for its data, whose documents are not read.

    Args:
        store: workspace and registry.
        row: the model version.
        metric: the only metric to start from; all if None.
    """
    registry = store.registry
    return ModelLineage(
        reference=f"{row.model}@{row.version}",
        aliases=registry.all_aliases().get((row.model, row.version), []),
        visibility=row.visibility,
        trained_on=str(Reference(row.dataset, row.data_version)),
        task=row.task,
        framework=row.framework,
        metrics={key: value for key, value in row.metrics.items() if metric in (None, key)},
        evaluation=_evaluation(store, row),
        run=_run(store, row),
        data=[],
        hidden=[],
        unknown=[],
        maps={
            made.name: made.digest
            for made in registry.maps(MapFilter(model=row.model, version=row.version))
        },
        deployments=deployments_of_version(registry, row.model, row.version),
    )


def _evaluation(store: Store, row: ModelVersion) -> dict[str, str]:
    folder = model_folder(row.model, row.version)
    files = store.registry.files_at(f"{folder}/model.onnx", f"{folder}/metrics.json")
    return {file.path.rpartition("/")[2]: file.sha256 for file in files}


def _run(store: Store, row: ModelVersion) -> RunLineage | None:
    try:
        run = store.registry.run_of(row)
    except Hidden:
        return None
    return RunLineage(
        run_id=run.run_id,
        trainer=run.trainer,
        created_by=run.created_by,
        started=run.started,
        seed=run.seed,
        parameters=run.parameters,
        code_version=run.code_version,
        code=run.code,
        environment=run.environment,
        hardware=run.hardware,
        imported=run.imported,
    )


def _ancestry(
    store: Store, trained_on: Reference
) -> tuple[list[DataLineage], list[str], list[str]]:
    """Return a data version with all it was made from, each once; hidden and unknown references."""
    found: list[DataLineage] = []
    hidden: list[str] = []
    unknown: list[str] = []
    waiting = [trained_on]
    # the list grows: breadth first
    for reference in waiting:
        try:
            row = store.registry.data_version(reference)
        except NotFound:
            left_out = hidden if store.registry.hides(reference) else unknown
            left_out.append(str(reference))
            continue
        lineage = data_lineage(store, row)
        found.append(lineage)
        waiting += [given for given in map(Reference.parse, lineage.inputs) if given not in waiting]
    return found, hidden, unknown


def data_lineage(store: Store, row: DataVersion) -> DataLineage:
    """Return a data version as part of a chain, with its files.

    Args:
        store: workspace and registry.
        row: the data version.

    Raises:
        IntegrityError: a document is not as it was published.
        StorageError: it cannot be read.
    """
    reference = Reference(row.dataset, row.version)
    committed = CommittedDataset.open(store.workspace, store.registry, reference)
    made = committed.document.processing
    files = files_of(committed.manifest, committed.samples)
    return DataLineage(
        reference=str(reference),
        digest=row.digest,
        tags=version_tags(store.registry, row.dataset, row.version),
        visibility=row.visibility,
        created=row.created,
        created_by=row.created_by,
        landing=landing_of(store, row, committed.document),
        function=None if made is None else made.function,
        code=None if made is None else made.code_version,
        parameters={} if made is None else made.parameters,
        inputs=[] if made is None else [given.reference for given in made.inputs],
        splits={
            split: SplitCounts(
                files=sum(split in file.samples for file in files),
                samples=sum(file.samples.get(split, 0) for file in files),
            )
            for split in dict.fromkeys(split for file in files for split in file.samples)
        },
        files=files,
    )


def landing_of(store: Store, row: DataVersion, document: VersionDocument) -> str | None:
    """Return where the files of a data version have landed or come from; None if it was made."""
    if document.processing is not None:
        return None
    if document.shared is not None:
        return document.shared.record
    if document.origin is not None:
        return document.origin.reference
    return landing_url(store.workspace, str(row.specification["source"]["url"]))


def files_of(manifest: pd.DataFrame, samples: pd.DataFrame) -> list[DataFile]:
    """Return files of a data version with their samples by split.

    Args:
        manifest: `path`, `sha256`, `size` and `role` of the files.
        samples: `path` and `split` of their samples.
    """
    splits = samples["split"].where(samples["split"].isin(SPLITS), LEFT_OUT)
    counted = samples.assign(split=splits).groupby(["path", "split"]).size().reset_index(name="n")
    counts: dict[str, dict[str, int]] = {}
    for path, split, count in zip(counted["path"], counted["split"], counted["n"], strict=True):
        counts.setdefault(str(path), {})[str(split)] = int(count)
    columns = (manifest[name] for name in ("path", "sha256", "size", "role"))
    return [
        DataFile(str(path), str(checksum), int(size), str(role), counts.get(str(path), {}))
        for path, checksum, size, role in zip(*columns, strict=True)
    ]
