"""Verification of monitored days: from a live number to the files that it was measured from.

The bytes of the files themselves are read by `mlops_assets.models.verify`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sqlalchemy import select

from mlops_assets.errors import MlopsError
from mlops_assets.models.verify import Verification
from mlops_assets.monitoring.document import MonitoringDocument
from mlops_assets.monitoring.documents import read_documents
from mlops_assets.paths import MONITORING, model_folder, monitoring_key, requests_key, truth_key
from mlops_assets.registry import File, ModelVersion
from mlops_assets.store import Store

REMOVED = "published no more: it is older than it is kept for"
CHANGED = "made from a former state: requests were added or deleted, or labels, since"
OTHER = "made from a former state: it was published again since"


def verify_monitoring(store: Store, found: Verification) -> None:
    """Compare the documents of monitored days with the registry and with what they were made from.

    That requests were deleted on demand, or labels added, is a note: monitor the day again to have
    its numbers without them.

    Args:
        store: workspace and registry.
        found: gets problems and notes.
    """
    for model, days in _monitored(store).items():
        rows = {row.version: row for row in store.registry.unrestricted().model_versions(model)}
        for day in days:
            try:
                document = read_documents(store, model, [day])[day]
            except MlopsError as error:
                # its bytes are a problem that is listed already, or it was written by someone else
                found.problems.append(f"{monitoring_key(model, day)}: {error}")
                continue
            found.problems += _problems(document, (model, day), rows)
            found.notes += [
                f"{monitoring_key(model, day)} lists {path}: {why}"
                for path, why in former_inputs(store, document).items()
            ]


def former_inputs(store: Store, document: MonitoringDocument) -> dict[str, str]:
    """Return the files that a document was made from and that are not as they were then → why.

    Args:
        store: workspace and registry.
        document: of a day.
    """
    published = {file.path: file.sha256 for file in store.registry.files_at(*document.inputs)}
    own = (requests_key(document.model, document.day), truth_key(document.model, document.day))
    former = {}
    for path, sha256 in document.inputs.items():
        if path not in published:
            former[path] = REMOVED
        elif published[path] != sha256:
            former[path] = CHANGED if path in own else OTHER
    return former


def _monitored(store: Store) -> dict[str, list[str]]:
    """Return model → days that have a document."""
    query = (
        select(File.path)
        .where(File.path.startswith(f"{MONITORING}/"), File.path.endswith("/monitoring.json"))
        .order_by(File.path)
    )
    found: dict[str, list[str]] = {}
    with store.registry.reading() as session:
        for path in session.scalars(query):
            _, model, day, _ = path.split("/")
            found.setdefault(model, []).append(day)
    return found


def _problems(
    document: MonitoringDocument, key: tuple[str, str], rows: Mapping[str, ModelVersion]
) -> Iterator[str]:
    """Yield what a document states and the registry does not."""
    name = monitoring_key(*key)
    if (document.model, document.day) != key:
        yield f"{name} is of {document.model} on {document.day}"
    for own in document.versions:
        row = rows.get(own.version)
        if row is None:
            yield f"{name} lists {document.model}@{own.version}, which is not in the registry"
            continue
        stated = (own.run_id, own.data_version)
        if stated != (row.run_id, f"{row.dataset}@{row.data_version}"):
            yield (
                f"{name} states that {document.model}@{own.version} was trained by run"
                f" {own.run_id} on {own.data_version}, and the registry that it was by {row.run_id}"
                f" on {row.dataset}@{row.data_version}"
            )
        onnx = f"{model_folder(document.model, own.version)}/model.onnx"
        if document.inputs.get(onnx, own.onnx) != own.onnx:
            yield f"{name} states two checksums of {onnx}"
