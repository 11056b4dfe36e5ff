"""Use of a model version of another workspace: a version here, whose ONNX file stays there.

Nothing is written before its signatures were verified and it has run on samples of the data.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.datasets.versions.documents import json_bytes
from mlops_assets.errors import (
    ExportError,
    ImportRefused,
    IntegrityError,
    SignatureRefused,
    SpecificationError,
)
from mlops_assets.integrations.external.recording import specification_for
from mlops_assets.integrations.imported_version import (
    id_of_import,
    imported_run,
    publish_imported,
)
from mlops_assets.integrations.shared_models.record import PublishedModel, read_record
from mlops_assets.models.export.trial import require_runs_on
from mlops_assets.models.frameworks import ModelDescription
from mlops_assets.models.lifecycle import Outcome, Reporter, complete
from mlops_assets.models.publish import Artefact, FinishedRun
from mlops_assets.models.signature import fitting_data
from mlops_assets.models.signing.statements import SignedVersion
from mlops_assets.models.signing.trust import Trust
from mlops_assets.models.signing.verify import check_bundles, shared_problems
from mlops_assets.models.specification import ModelSpecification
from mlops_assets.names import Reference, check_name
from mlops_assets.paths import (
    SHARED,
    model_folder,
    model_owner,
    provenance_key,
    shared_key,
    signature_key,
)
from mlops_assets.principals import Role
from mlops_assets.progress import step
from mlops_assets.registry import DataVersion, ModelVersion, Run
from mlops_assets.registry.files.publication import publication
from mlops_assets.registry.model_documents import SharedModel
from mlops_assets.registry.runs import NO_FACTS
from mlops_assets.registry.schema import IMPORTED
from mlops_assets.stac.models import record_signatures
from mlops_assets.storage import FileStat
from mlops_assets.storage.other_workspace import open_other_workspace
from mlops_assets.store import Store
from mlops_assets.text.json_values import JsonObject

_NAMESPACE = uuid.UUID("0b3f6a1e-6a2e-4a52-9a0c-0f0f7f5f4c6d")


@dataclass(frozen=True)
class ModelUse:
    """What a caller asks to use.

    Attributes:
        record: URL of the version's Item in the static catalogue of the other workspace.
        model: name of the model here.
        data: the data version that it is evaluated on.
        user: who asks.
    """

    record: str
    model: str
    data: Reference
    user: str


@dataclass(frozen=True)
class UsedModel:
    """What came of it.

    Attributes:
        model: its name here.
        version: its version here.
        shared: what it is in the other workspace.
        new: False if the same was used before.
        signatures: names of the signatures that were copied now.
        notes: for people.
        outcome: of its stages; None if it was recorded before.
    """

    model: str
    version: str
    shared: SharedModel
    new: bool
    signatures: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    outcome: Outcome | None = None

    def document(self) -> JsonObject:
        """Return this as JSON values."""
        return {**asdict(self), "shared": self.shared.model_dump(mode="json")}


def use_model(
    store: Store,
    request: ModelUse,
    declared: ModelSpecification | None,
    reporter: Callable[[ModelSpecification], Reporter],
) -> UsedModel:
    """Publish a model version of another workspace as one of a model here; no model is copied.

    The stages that follow are done: it is evaluated on the test split of a data version here,
    recorded, and compared with its gates. The same version on the same data is published once;
    again, signatures that it has got since are copied.

    Args:
        store: workspace and registry.
        request: what is used.
        declared: the model as the project declares it, if it does.
        reporter: returns the receiver of reports of the stages.

    Raises:
        NotFound: the URL is not that of such a record, or there is no such data version.
        StorageError: the other workspace cannot be read, or this one not be written.
        IntegrityError: a file there is not as its record states.
        ImportRefused: the model does not suit the data, or does not run on it.
        SignatureRefused: `MLOPS_TRUST` requires a signature, and none of it is accepted.
        Forbidden: the principal may not publish models.
    """
    store.registry.principal.require(Role.SCIENTIST, "use model")
    check_name(request.model, "model")
    data = store.registry.data_version(request.data)
    with step(f"reading {request.record}"):
        found = read_record(request.record, store.workspace.cache)
        _require_signature(found)
        specification, finished = _prepared(store, request, data, declared, found)
    run = finished.run
    with store.registry.lock(f"import-{request.model}"):
        row = next(iter(store.registry.model_versions(run.model, run_id=run.run_id)), None)
        new = row is None
        if row is None:
            row = _publish(store, specification, finished, found)
            signatures = sorted(found.bundles)
        else:
            signatures = _add_signatures(store, row, found)
    notes = []
    if found.deprecated:
        notes.append(f"{found.shared.reference} is deprecated in {found.shared.workspace}")
    if found.shared.data_digest != data.digest:
        notes.append(
            f"it was trained on {found.shared.dataset}@{found.shared.data_version} there, which may"
            f" have test samples of {request.data}"
        )
    outcome = None
    if row.stage != "recorded":
        outcome = complete(store, specification, row, reporter(specification))
    elif signatures:
        record_signatures(store.workspace, store.registry, row)
    return UsedModel(row.model, row.version, found.shared, new, signatures, notes, outcome)


def _require_signature(found: PublishedModel) -> None:
    trust = Trust.configured()
    if trust is None or not trust.required:
        return
    expected = SignedVersion.of_shared(found.shared, found.shared.onnx_file.sha256)
    checked = check_bundles(found.bundles, expected, trust)
    if problems := shared_problems(found.shared, checked, trust):
        raise SignatureRefused(f"{'; '.join(problems)}; nothing was written")


def _prepared(
    store: Store,
    request: ModelUse,
    data: DataVersion,
    declared: ModelSpecification | None,
    found: PublishedModel,
) -> tuple[ModelSpecification, FinishedRun]:
    """Check that the model suits the data, and runs on it; return how it is declared, and its run.

    Raises:
        ImportRefused: it does not.
    """
    shared = found.shared
    try:
        specification = _specification(declared, request, found)
        committed = CommittedDataset.open(
            store.workspace, store.registry, Reference(data.dataset, data.version)
        )
        samples = fitting_data(shared.reference, found.task, found.signature, committed)
        other = open_other_workspace(shared.workspace, store.workspace.cache)
        # what is fetched from elsewhere is compared anyway
        if other.is_local and other.stat(shared.onnx_key).sha256 != shared.onnx_file.sha256:
            raise IntegrityError(
                f"{other.where(shared.onnx_key)} is not as its record {shared.record} states; ask"
                " whoever runs that workspace to verify it"
            )
        require_runs_on(other.local_path(shared.onnx_key, shared.onnx_file.sha256), samples)
    except (ExportError, SpecificationError) as error:
        raise ImportRefused(
            f"{shared.reference} of {shared.workspace} cannot be used as {request.model} on"
            f" {request.data}: {error}; nothing was written"
        ) from error
    return specification, FinishedRun(_run(request, data, found), samples, {}, lambda: NO_FACTS)


def _specification(
    declared: ModelSpecification | None, request: ModelUse, found: PublishedModel
) -> ModelSpecification:
    """Return the model as the project declares it, else as its record describes it."""
    if declared is not None:
        if declared.task != found.task:
            raise SpecificationError(
                f"{request.model} is declared for {declared.task}, and it is for {found.task}"
            )
        return specification_for(declared, request.model, request.data.name, {})
    attributes: dict[str, object] = {
        "task": found.task,
        "inputs": found.signature.view,
        "bands": found.signature.features,
    }
    described = {"description": found.description, "license": found.license}
    attributes |= {name: value for name, value in described.items() if value}
    return specification_for(None, request.model, request.data.name, attributes)


def _run(request: ModelUse, data: DataVersion, found: PublishedModel) -> Run:
    """Return the row of the use; its id is that of model, version there, ONNX file and samples."""
    shared = found.shared
    made_of = [shared.record, shared.run_id, shared.onnx_file.sha256]
    tags = {
        "source": shared.record,
        "sha256": shared.onnx_file.sha256,
        "record": shared.record,
        "parity": "not claimed",
        "workspace": shared.workspace,
        "version": shared.reference,
        "trained_on": f"{shared.dataset}@{shared.data_version}",
        "trained_on_digest": shared.data_digest,
    }
    run = imported_run(
        id_of_import(_NAMESPACE, request.model, data, made_of),
        request.model,
        data,
        {f"{IMPORTED}.{name}": value for name, value in tags.items()},
        request.user,
    )
    run.parameters, run.seed = found.parameters, found.seed
    return run


def _publish(
    store: Store, specification: ModelSpecification, finished: FinishedRun, found: PublishedModel
) -> ModelVersion:
    """Publish the model version with what it is in the other workspace.

    Raises:
        MlopsError: it cannot be written; then the run has failed.
    """
    shared = found.shared

    def save(native: str) -> list[FileStat]:
        _, model, version, _ = native.split("/")
        onnx = f"{model_folder(model, version)}/model.onnx"
        contents = {shared_key(model, version): json_bytes(shared.model_dump(mode="json"))}
        contents |= _signatures(model, version, found)
        return [
            *(store.workspace.put(key, content) for key, content in contents.items()),
            # it is read where it is
            FileStat(onnx, shared.onnx_file.sha256, shared.onnx_file.size),
        ]

    description = ModelDescription(found.signature.architecture, found.signature.parameters)
    artefact = Artefact(found.framework, description, save)
    return publish_imported(store, specification, finished, artefact)


def _signatures(model: str, version: str, found: PublishedModel) -> dict[str, bytes]:
    """Return key → content of the copies of its signatures."""
    contents = {}
    for name, bundles in found.bundles.items():
        contents[signature_key(model, version, name, SHARED)] = bundles.files()
        contents[provenance_key(model, version, name, SHARED)] = bundles.provenance()
    return contents


def _add_signatures(store: Store, row: ModelVersion, found: PublishedModel) -> list[str]:
    """Copy the signatures that are not here yet, and return their names."""
    owner = model_owner(row.model, row.version)
    known = {file.path for file in store.registry.files(owner)}
    names = [
        name
        for name in found.bundles
        if signature_key(row.model, row.version, name, SHARED) not in known
    ]
    if names:
        with publication(store.workspace, store.registry) as publishing:
            publishing.put_all(_signatures(row.model, row.version, found))
            store.registry.add_files(owner, publishing.files)
    return names
