"""A plain folder: the version's files as they were published, its record, examples and a README.

The record's links are to the files beside it, so whoever runs models from STAC Items runs this one.
"""

from __future__ import annotations

import json
import posixpath
from pathlib import Path
from typing import cast

import numpy as np

from mlops_assets.integrations.model_export.source import ONNX, ExportSource
from mlops_assets.models.evaluation.card_page import card_page
from mlops_assets.models.evaluation.current_card import card_figures, current_card
from mlops_assets.models.onnx.session import OnnxModel
from mlops_assets.models.onnx.takers import described
from mlops_assets.models.signature import raw_data
from mlops_assets.models.signing.verify import signature_names
from mlops_assets.names import Reference
from mlops_assets.paths import model_folder, model_owner
from mlops_assets.principals import Visibility
from mlops_assets.stac.catalog import record_key
from mlops_assets.text.templates import template

RECORD = "item.json"
EXAMPLE = "example"
SAMPLES = 4


def write(source: ExportSource, folder: Path) -> list[str]:
    """Write the folder, and return what it could not have."""
    row, store = source.row, source.store
    published = f"{model_folder(row.model, row.version)}/"
    files = store.registry.files(model_owner(row.model, row.version))
    # those of its run lie elsewhere
    own = [file.path for file in files if file.path.startswith(published)]
    places = {key: key.removeprefix(published) for key in own}
    for key, place in places.items():
        source.copy_published(key, folder / place)
    item = relocated(source, {key: f"./{place}" for key, place in places.items()})
    (folder / RECORD).write_text(json.dumps(item, indent=2, ensure_ascii=False))
    (folder / "provenance.json").write_text(json.dumps(source.provenance, indent=2))
    page = card_page(current_card(store, row), card_figures(store, row))
    (folder / "card.html").write_text(page)
    warnings = _withheld(source)
    if not warnings:
        _write_examples(source, folder / EXAMPLE)
    text = template("mlops_assets.integrations.model_export", "README.md.j2").render(
        reference=source.reference,
        provenance=source.provenance,
        onnx=ONNX,
        sha256=source.sha256,
        graph=source.graph,
        features=source.signature.features,
        classes=[str(entry.name) for entry in source.signature.classes or []],
        apply_scale=source.signature.apply_scale,
        examples=EXAMPLE if not warnings else None,
        # those of another workspace are over files that are not in this folder
        signatures=[] if source.shared else signature_names(store, row),
        takers=described(source.takers),
    )
    (folder / "README.md").write_text(text)
    return warnings


def relocated(source: ExportSource, places: dict[str, str]) -> dict[str, object]:
    """Return the Item with those assets that are exported, and links that lead anywhere.

    Args:
        source: the model version.
        places: storage key of a file → its new href.
    """
    item = source.record
    folder = posixpath.dirname(record_key(source.row))
    assets: dict[str, dict[str, object]] = {}
    for name, asset in cast(dict[str, dict[str, object]], item["assets"]).items():
        href = str(asset["href"])
        key = posixpath.normpath(posixpath.join(folder, href))
        if name == "model":
            # the file of a version that is used from another workspace is copied, too
            key = f"{model_folder(source.row.model, source.row.version)}/model.onnx"
        if key in places:
            assets[name] = {**asset, "href": places[key]}
        elif "://" in href:
            assets[name] = asset
    links = cast(list[dict[str, object]], item["links"])
    # an Item without a link to its Collection must not name it
    own = {name: value for name, value in item.items() if name != "collection"}
    return {
        **own,
        "properties": {
            **source.properties,
            "mlops:workspace": source.provenance["mlops.workspace"],
        },
        "assets": assets,
        "links": [link for link in links if "://" in str(link["href"])],
    }


def _withheld(source: ExportSource) -> list[str]:
    """Return why no samples leave with the model: its data is private, and it is not."""
    row = source.row
    data = source.store.registry.data_version(Reference(row.dataset, row.data_version))
    if data.visibility != Visibility.PRIVATE or row.visibility == Visibility.PRIVATE:
        return []
    return [f"there are no examples, as {row.dataset}@{row.data_version} is private"]


def _write_examples(source: ExportSource, folder: Path) -> None:
    """Write some test samples as the model takes them, and what it gives for them."""
    data = raw_data(source.store.workspace, source.store.registry, source.row)
    X, _ = data.arrays("test", limit=SAMPLES)
    folder.mkdir()
    np.save(folder / "input.npy", X)
    for name, values in OnnxModel(source.onnx).predict(X).items():
        np.save(folder / f"{name}.npy", values)
