"""The model version of this workspace that an MLM Item describes, wherever the Item lies."""

from __future__ import annotations

from mlops_assets.errors import NotFound
from mlops_assets.integrations.mlm.fetch import read_record, sha256_of_item
from mlops_assets.paths import model_folder
from mlops_assets.registry import ModelVersion
from mlops_assets.storage.scratch import scratch_folder
from mlops_assets.store import Store
from mlops_assets.text.secret_urls import redacted


def known_model(store: Store, place: str) -> ModelVersion:
    """Return the newest model version whose ONNX file is that of an Item.

    It is the file that this workspace has published, or that a model was imported from. So the Item
    of a catalogue that was moved, or of another workspace, leads to a model version whose bytes are
    verified here.

    Args:
        store: workspace and registry.
        place: path or URL of the Item.

    Raises:
        ImportRefused: it is not an Item with one ONNX file.
        NotFound: no model version has that file.
        StorageError: it cannot be read.
    """
    with scratch_folder("model") as scratch:
        sha256 = sha256_of_item(read_record(place, scratch), place, scratch)
    registry = store.registry
    for row in sorted(registry.model_versions(), key=lambda row: row.created, reverse=True):
        files = registry.files_at(f"{model_folder(row.model, row.version)}/model.onnx")
        imported = registry.run(row.run_id).imported
        if sha256 in {*(file.sha256 for file in files), imported.get("sha256")}:
            return row
    raise NotFound(
        f"no model version of this workspace has the ONNX file of {redacted(place)} (sha256"
        f" {sha256}); import it: mlops model import {redacted(place)} --model NAME --data"
        " DATASET@VERSION"
    )
