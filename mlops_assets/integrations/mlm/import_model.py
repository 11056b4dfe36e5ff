"""Import of a model: an ONNX file and its record become a model version on a data version.

Nothing is written before all of it was checked and the model has run on samples of the data.
Whether the ONNX file gives what the model gave that it was made from is not claimed.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_assets.datasets.loading.training_data import TrainingData
from mlops_assets.datasets.versions.documents import json_bytes
from mlops_assets.errors import (
    ExportError,
    ImportRefused,
    SpecificationError,
)
from mlops_assets.integrations.external.recording import specification_for
from mlops_assets.integrations.imported_version import (
    id_of_import,
    imported_run,
    publish_imported,
)
from mlops_assets.integrations.mlm.adapt import adapt
from mlops_assets.integrations.mlm.compare import Adaptation, Samples, compare
from mlops_assets.integrations.mlm.fetch import (
    Fetched,
    fetch_model,
    model_of_item,
    read_record,
)
from mlops_assets.integrations.mlm.record import ModelRecord, parse_record
from mlops_assets.integrations.mlm.tensors import read_graph
from mlops_assets.models.export import uploaded_onnx
from mlops_assets.models.export.trial import require_runs_on
from mlops_assets.models.frameworks import ModelDescription
from mlops_assets.models.lifecycle import Outcome, Reporter, complete
from mlops_assets.models.publish import Artefact, FinishedRun
from mlops_assets.models.signature import data_for
from mlops_assets.models.specification import ModelSpecification
from mlops_assets.names import Reference, check_name
from mlops_assets.principals import Role
from mlops_assets.progress import step
from mlops_assets.registry import DataVersion, ModelVersion, Run
from mlops_assets.registry.runs import NO_FACTS
from mlops_assets.storage import FileStat, sha256_of
from mlops_assets.storage.scratch import scratch_folder
from mlops_assets.store import Store
from mlops_assets.text.json_values import JsonObject
from mlops_assets.text.secret_urls import redacted

if TYPE_CHECKING:
    import onnx

ORIGINAL = "original.onnx"  # native file: the bytes as they were fetched
RECORD = "record.json"  # native file: the record as it was read
_NAMESPACE = uuid.UUID("8d0d0b44-9c1c-4d53-8f9d-6f4e6a0d2f5b")


@dataclass(frozen=True)
class ModelImport:
    """What a caller asks to import.

    Attributes:
        source: path or URL of an Item that has an ONNX file, or of an ONNX file.
        record: path or URL of the record of an ONNX file; None if `source` is an Item.
        model: name of the model here.
        data: the data version that it is evaluated on.
        user: who asks.
    """

    source: str
    record: str | None
    model: str
    data: Reference
    user: str


@dataclass(frozen=True)
class ImportedModel:
    """What came of an import.

    Attributes:
        model: its name.
        version: its version.
        source: path or URL of the ONNX file.
        sha256: of the ONNX file.
        new: False if the same was imported before.
        assumed: what neither record nor ONNX file states.
        outcome: of its stages; None if it was recorded before.
    """

    model: str
    version: str
    source: str
    sha256: str
    new: bool
    assumed: list[str] = field(default_factory=list)
    outcome: Outcome | None = None


@dataclass(frozen=True)
class _Checked:
    """A model that can be imported.

    Attributes:
        specification: as the project declares it, or as its record describes it.
        data: raw samples that it takes.
        record: what was read of its record.
        document: the whole record, as it is kept.
        original: the ONNX file as it was fetched.
        adapted: the ONNX file with the platform's inputs and outputs.
        description: its architecture and size.
        tags: of its run.
    """

    specification: ModelSpecification
    data: TrainingData
    record: ModelRecord
    document: bytes
    original: Path
    adapted: Path
    description: ModelDescription
    tags: Mapping[str, str]
    assumed: list[str]


def import_model(
    store: Store,
    request: ModelImport,
    declared: ModelSpecification | None,
    reporter: Callable[[ModelSpecification], Reporter],
) -> ImportedModel:
    """Import a model, and do the stages that follow: export, evaluation, record, gates.

    The same model and record on the same data are imported once.

    Args:
        store: workspace and registry.
        request: what is imported.
        declared: the model as the project declares it, if it does.
        reporter: returns the receiver of reports of the stages.

    Raises:
        ImportRefused: record, ONNX file and data do not suit each other; all reasons are listed.
        StorageError: a file cannot be read.
        NotFound: there is no such data version.
        Forbidden: the principal may not import models.
    """
    store.registry.principal.require(Role.SCIENTIST, "import model")
    check_name(request.model, "model")
    data = store.registry.data_version(request.data)
    with scratch_folder("import") as scratch:
        with step(f"reading {redacted(request.source)}"):
            document, found = _fetched(request, scratch)
        checked = _checked(store, request, declared, document, found, scratch)
        run = _run(request, data, checked, found)
        with store.registry.lock(f"import-{request.model}"):
            row = _version_of(store, run)
            new = row is None
            if row is None:
                row = _publish(store, run, checked)
        specification = checked.specification
    outcome = None
    if row.stage != "recorded":
        outcome = complete(store, specification, row, reporter(specification))
    return ImportedModel(
        row.model, row.version, found.place, found.sha256, new, checked.assumed, outcome
    )


def _fetched(request: ModelImport, scratch: Path) -> tuple[JsonObject, Fetched]:
    if request.record is not None:
        return read_record(request.record, scratch), fetch_model(request.source, scratch)
    if request.source.lower().endswith(".onnx"):
        raise ImportRefused(
            f"{redacted(request.source)} is an ONNX file without a record; give an Item of the MLM"
            " extension, or its properties, with --record"
        )
    document = read_record(request.source, scratch)
    return document, model_of_item(document, request.source, scratch)


def _checked(
    store: Store,
    request: ModelImport,
    declared: ModelSpecification | None,
    document: JsonObject,
    found: Fetched,
    scratch: Path,
) -> _Checked:
    """Check record, ONNX file and data together.

    Raises:
        ImportRefused: they do not suit each other.
    """
    record, problems = parse_record(document)
    model, own = read_graph(found.path)
    problems += own
    specification = data = None
    if record is not None:
        try:
            specification = _specification(declared, request, record)
            data = data_for(store, specification, request.data.what, raw=True)
        except SpecificationError as error:
            problems.append(str(error))
    how = None
    # without a single input there is nothing to compare
    if model is not None and record is not None and data is not None and not own:
        how, differing = compare(model, record, Samples.of(data))
        problems += differing
    if (
        problems
        or model is None
        or how is None
        or data is None
        or record is None
        or specification is None
    ):
        listed = "\n".join(f"  - {problem}" for problem in problems)
        raise ImportRefused(
            f"{redacted(request.source)} cannot be imported as {request.model} on {request.data}:"
            f" {len(problems)} problem(s); nothing was written. Correct the record and give it with"
            f" --record, or export the model again:\n{listed}"
        )
    adapted = scratch / uploaded_onnx.FILE
    original = found.path.rename(scratch / ORIGINAL)
    description = uploaded_onnx.describe_sent(model)
    _adapted(model, how, data, adapted)
    assumed = [*record.assumed, *how.assumed]
    if found.unchecked:
        assumed.append(f"the file at {found.place} is the right one: no checksum is stated")
    return _Checked(
        specification=specification,
        data=data,
        record=record,
        document=json_bytes(document),
        original=original,
        adapted=adapted,
        description=ModelDescription(
            record.architecture or description.architecture, description.parameters
        ),
        tags=_tags(request, found, assumed),
        assumed=assumed,
    )


def _specification(
    declared: ModelSpecification | None, request: ModelImport, record: ModelRecord
) -> ModelSpecification:
    """Return the model as the project declares it, else as its record describes it."""
    if declared is not None:
        return specification_for(declared, request.model, request.data.name, {})
    attributes: dict[str, object] = {"task": record.task}
    if record.input is not None:
        attributes["bands"] = record.input.names
    if record.description:
        attributes["description"] = record.description
    if record.license:
        attributes["license"] = record.license
    return specification_for(None, request.model, request.data.name, attributes)


def _adapted(model: onnx.ModelProto, how: Adaptation, data: TrainingData, target: Path) -> None:
    """Write the model with the platform's inputs and outputs, and run it on samples.

    Raises:
        ImportRefused: it does not run on them, or gives other results in other batches.
    """
    try:
        adapt(model, how, data.sample_shape)
        target.write_bytes(model.SerializeToString())
        require_runs_on(target, data)
    except ExportError as error:
        raise ImportRefused(
            f"the ONNX file does not run on samples of {data.reference} as its record states:"
            f" {error}; nothing was written. Correct the record, or export the model again"
        ) from error


def _tags(request: ModelImport, found: Fetched, assumed: list[str]) -> dict[str, str]:
    tags = {
        "import.source": found.place,
        "import.sha256": found.sha256,
        "import.record": redacted(request.record or request.source),
        "import.parity": "not claimed",
    }
    return tags | ({"import.assumed": "; ".join(assumed)} if assumed else {})


def _run(request: ModelImport, data: DataVersion, checked: _Checked, found: Fetched) -> Run:
    """Return the row of the import; its id is that of model, ONNX file, record and samples."""
    made_of = [found.sha256, sha256_of(checked.document)]
    made_of += [checked.data.task, checked.data.view, *checked.data.features]
    run_id = id_of_import(_NAMESPACE, request.model, data, made_of)
    run = imported_run(run_id, request.model, data, checked.tags, request.user)
    hyperparameters = checked.record.hyperparameters
    seed = hyperparameters.get("seed")
    run.parameters = {name: value for name, value in hyperparameters.items() if name != "seed"}
    run.seed = seed if type(seed) is int and 0 <= seed < 2**31 else 0
    return run


def _version_of(store: Store, run: Run) -> ModelVersion | None:
    """Return the model version of the same import before."""
    return next(iter(store.registry.model_versions(run.model, run_id=run.run_id)), None)


def _publish(store: Store, run: Run, checked: _Checked) -> ModelVersion:
    """Publish the model version with the files of the import.

    Raises:
        MlopsError: it cannot be written; then the run has failed.
    """

    def save(folder: str) -> list[FileStat]:
        with scratch_folder("native") as native:
            shutil.copyfile(checked.adapted, native / uploaded_onnx.FILE)
            shutil.copyfile(checked.original, native / ORIGINAL)
            (native / RECORD).write_bytes(checked.document)
            return [
                store.workspace.put(f"{folder}/{path.name}", path)
                for path in sorted(native.iterdir())
            ]

    artefact = Artefact(uploaded_onnx.FRAMEWORK, checked.description, save)
    finished = FinishedRun(run, checked.data, {}, lambda: NO_FACTS)
    return publish_imported(store, checked.specification, finished, artefact)
