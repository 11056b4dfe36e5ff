"""The model version of this workspace that an MLM Item describes, wherever the Item lies."""

from __future__ import annotations

from pathlib import Path

from mlops_assets.errors import ImportRefused
from mlops_assets.integrations.mlm.fetch import sha256_of_item
from mlops_assets.paths import model_folder
from mlops_assets.registry import ModelVersion
from mlops_assets.store import Store
from mlops_assets.text.json_values import JsonObject


def known_model(store: Store, item: JsonObject, place: str, scratch: Path) -> ModelVersion | None:
    """Return the newest model version whose ONNX file is that of an Item; None if there is none.

    It is the file that this workspace has published, or that a model was imported from. So the Item
    of a catalogue that was moved, or of another workspace, leads to a model version whose bytes are
    verified here.

    Args:
        store: workspace and registry.
        item: the document.
        place: path or URL of the Item.
        scratch: a folder for a copy of the ONNX file.

    Raises:
        StorageError: the file cannot be read.
    """
    try:
        sha256 = sha256_of_item(item, place, scratch)
    except ImportRefused:
        # whoever needs the file reports that, with all else that the Item lacks
        return None
    registry = store.registry
    for row in sorted(registry.model_versions(), key=lambda row: row.created, reverse=True):
        files = registry.files_at(f"{model_folder(row.model, row.version)}/model.onnx")
        imported = registry.run(row.run_id).imported
        if sha256 in {*(file.sha256 for file in files), imported.get("sha256")}:
            return row
    return None
