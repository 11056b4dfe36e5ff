"""Code that reads a data version by other tools, to copy."""

from __future__ import annotations

import json
from dataclasses import dataclass

from mlops_assets.datasets.versions.version_document import VersionDocument
from mlops_assets.hub.views.data.published import document_in, file_of
from mlops_assets.names import Reference
from mlops_assets.paths import version_folder
from mlops_assets.store import Store
from mlops_assets.text.secret_urls import redacted

_HEADERS = ', headers={"Authorization": f"Bearer {os.environ[\'MLOPS_API_TOKEN\']}"}'
_MLOPS = """\
mlops dataset show {reference}
mlops dataset recall {reference} ./{dataset}-{version}
mlops dataset verify {reference}
"""
_PYTHON = """\
from mlops_assets import TrainingData
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.names import Reference
from mlops_assets.settings import Settings
from mlops_assets.store import open_store

store = open_store(Settings.from_environment())
reference = Reference.parse("{reference}")
committed = CommittedDataset.open(store.workspace, store.registry, reference)
data = TrainingData(committed, task="{task}")
X, y = data.arrays("train")
print(X.shape, y.shape)
"""
_PYSTAC = """\
{imports}from pystac_client import Client

client = Client.open({stac}{headers})
print(client.get_collection("{dataset}-{version}").title)
for item in client.search(collections=["{dataset}-{version}"]).items():
    print(item.id, item.datetime, list(item.assets))
"""
_GEOPANDAS = """\
import geopandas

files = geopandas.read_parquet({manifest})
print(files[["id", "datetime", "geometry"]].head())
"""
_DUCKDB = """\
import duckdb

files = duckdb.read_parquet({manifest})
largest = files.project(
    'assets.data."file:local_path" as path, assets.data."file:size" as bytes'
).order("bytes desc")
print(largest.limit(10))
"""


@dataclass(frozen=True)
class Snippet:
    """Code for one tool; `label` names the tool."""

    label: str
    code: str


def snippets(
    store: Store, reference: Reference, base_url: str, signed_in: bool = False
) -> list[Snippet]:
    """Return code that reads a data version.

    Args:
        store: has it.
        reference: to it; the code names its version.
        base_url: of the hub, for callers.
        signed_in: whether callers of the hub need a token.

    Raises:
        NotFound: there is no such version.
    """
    row = store.registry.data_version(reference)
    key = f"{version_folder(row.dataset, row.version)}/manifest.parquet"
    document = file_of(store, row, "version.json")
    named = {
        "task": "classification" if document is None else _task(document_in(document)),
        "reference": f"{row.dataset}@{row.version}",
        "dataset": row.dataset,
        "version": row.version,
        "stac": _quoted(f"{base_url.rstrip('/')}/stac"),
        "imports": "import os\n\n" if signed_in else "",
        "headers": _HEADERS if signed_in else "",
        "manifest": _quoted(redacted(store.workspace.where(key))),
    }
    codes = {
        "mlops": _MLOPS,
        "Python": _PYTHON,
        "pystac-client": _PYSTAC,
        "GeoPandas": _GEOPANDAS,
        "DuckDB": _DUCKDB,
    }
    return [Snippet(label, code.format(**named)) for label, code in codes.items()]


def _task(document: VersionDocument) -> str:
    """Return the task that labels of a data version are for."""
    if document.classes is None:
        return "regression"
    return "semantic-segmentation" if document.input.kind == "window" else "classification"


def _quoted(text: str) -> str:
    """Return a text as a literal of Python, whatever is in it."""
    return json.dumps(text, ensure_ascii=False)
