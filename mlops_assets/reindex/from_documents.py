"""Rows of a registry from the documents of a workspace.

They are for workspaces that have no log, or have lost it.

Nothing proves documents but their own contents: missing values are set to the most likely ones, and
listed.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pandas as pd
from pydantic import ValidationError

from mlops_assets.datasets.specification.dataset import SPLITS
from mlops_assets.datasets.versions.manifest import read_manifest
from mlops_assets.datasets.versions.version_document import VersionDocument
from mlops_assets.errors import StorageError
from mlops_assets.models.run_documents import UNDOCUMENTED
from mlops_assets.paths import (
    CATALOG_OWNER,
    CHECKPOINT,
    LOG_SEGMENT,
    MAP_DOCUMENT,
    PUBLISHED,
    RUN_DOCUMENT,
    VERSION_DOCUMENT,
    data_owner,
    dataset_collection_key,
    maps_owner,
    model_folder,
    model_item_key,
    model_owner,
    owner_of,
    prediction_owner,
    record_owner,
    run_document_key,
    run_owner,
    version_folder,
)
from mlops_assets.principals import Visibility
from mlops_assets.progress import each
from mlops_assets.registry.log.chain import AUDITED, kept
from mlops_assets.registry.log.replay import Columns, Key
from mlops_assets.registry.model_documents import Signature
from mlops_assets.registry.runs import LoggedPoint
from mlops_assets.registry.schema import Map, Run
from mlops_assets.stac.maps.document import MapDocument
from mlops_assets.stac.mlm.properties import FRAMEWORKS
from mlops_assets.storage import Workspace
from mlops_assets.text.listing import named

UNKNOWN = "unknown"
_MAP_KEY = ("model", "version", "name")
# owners of files that are of no version
_OF_NO_ROW = ("sweep:", "inference:", "truth:", "monitoring:")
NAMED = 5  # subjects of a note on lost or unproven values; more are counted
# columns of a run whose document lacks them, as those of earlier releases do
_RUN_DEFAULTS: Columns = {
    "error": None,
    "host": UNKNOWN,
    "pid": 0,
    "source": "platform",
    "tags": {},
    "created_by": None,
    "seconds": None,
    "phases": {},
    "usage": {},
    "code": {},
    "attempts": 1,
    "user_tags": {},
}


@dataclass
class Documented:
    """The content of the documents.

    Attributes:
        rows: table → key → columns, as entries of the log have them.
        unproven: missing or unproven values, for people.
    """

    rows: dict[str, dict[Key, Columns]] = field(
        default_factory=lambda: {name: {} for name in AUDITED}
    )
    unproven: list[str] = field(default_factory=list)


def published_keys(workspace: Workspace) -> list[str]:
    """Return the keys below the folders of published files."""
    keys = (key for folder in PUBLISHED for key in workspace.list(folder))
    return sorted(
        key for key in keys if not CHECKPOINT.fullmatch(key) and not LOG_SEGMENT.fullmatch(key)
    )


def points_of_series(document: Mapping[str, Any]) -> list[LoggedPoint]:
    """Return the points in the document of a run, one metric after the other.

    Their times are unknown: that of the run's end stands for them.

    Args:
        document: `run.json`, parsed.
    """
    logged = datetime.fromisoformat(document.get("finished") or document["started"]).timestamp()
    points = (
        (name, step, value)
        for name, series in document.get("series", {}).items()
        for step, value in series
    )
    return [(seq, name, step, value, logged) for seq, (name, step, value) in enumerate(points)]


def documented_rows(workspace: Workspace) -> Documented:
    """Return the rows that the documents of a workspace give.

    Every published file is read for its checksum.
    """
    return _Reader(workspace).read()


class _Reader:
    """Reads the documents of one workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._keys = published_keys(workspace)
        self._there = set(self._keys)
        self._found = Documented()
        self._missing: dict[tuple[str, ...], list[str]] = {}  # columns → subjects that lack them

    def read(self) -> Documented:
        """Return all that is found."""
        for key in self._keys:
            if match := VERSION_DOCUMENT.fullmatch(key):
                self._data_version(*match.groups())
        for key in self._keys:
            if match := RUN_DOCUMENT.fullmatch(key):
                self._run(match[1])
        for key in self._keys:
            if match := MAP_DOCUMENT.fullmatch(key):
                self._map(key, match.groups())
        self._files()
        found = self._found.unproven
        found[:0] = [
            (
                "there is no log: all is as the documents in the workspace state, and checksums are"
                " those of the files as they are now"
            ),
            "tags, aliases, promotions, checkpoints, notes on runs and tags set later, external"
            " records and tokens are in no document, and are lost",
            (
                "versions are private if their record is in the private catalogue, else visible in"
                " the workspace; what was published to guests, or is private without a record, is"
                " in no document"
            ),
        ]
        for missing, subjects in self._missing.items():
            found.append(f"{', '.join(missing)}: in no document of {named(subjects, NAMED)}")
        return self._found

    def _data_version(self, dataset: str, version: str, number: str) -> None:
        folder = version_folder(dataset, version)
        try:
            document = VersionDocument.model_validate_json(
                self._workspace.get(f"{folder}/version.json")
            )
            manifest = read_manifest(self._workspace.get(f"{folder}/manifest.parquet"))
            samples = pd.read_parquet(
                io.BytesIO(self._workspace.get(f"{folder}/samples.parquet")), columns=["split"]
            )
        except (StorageError, ValueError, KeyError) as error:
            self._found.unproven.append(
                f"{dataset}@{version} is left out, as its documents cannot be read:"
                f" {_reason(error)}"
            )
            return
        if document.created is None:  # of an earlier release
            self._missing.setdefault(("created", "created_by"), []).append(f"{dataset}@{version}")
        private = dataset_collection_key(dataset, version, private=True) in self._there
        self._found.rows["data_versions"][dataset, version] = {
            "number": int(number),
            "digest": document.digest,
            "created": (
                document.created or self._workspace.written(f"{folder}/version.json").isoformat()
            ),
            "created_by": document.created_by or UNKNOWN,
            "files": len(manifest),
            "samples": len(samples),
            "size": int(manifest["size"].sum()),
            "specification": document.specification,
            "counts": {name: int((samples["split"] == name).sum()) for name in SPLITS},
            "visibility": Visibility.PRIVATE if private else Visibility.WORKSPACE,
        }

    def _run(self, run_id: str) -> None:
        key = run_document_key(run_id)
        try:
            document: dict[str, Any] = json.loads(self._workspace.get(key))
            last = {name: series[-1][1] for name, series in document.get("series", {}).items()}
            made = document.get("model_version")
            environment = f"{model_folder(document['model'], str(made))}/environment.json"
            further = {
                "metrics": last,
                "finished": self._workspace.written(key).isoformat(),
                "environment": (
                    self._workspace.stat(environment).sha256 if environment in self._there else None
                ),
            }
            names = [column.name for column in Run.__table__.columns if column.name != "run_id"]
            stated = {name: document[name] for name in names if name in document}
            row = {**_RUN_DEFAULTS, **further, **stated}
            row = {name: row[name] for name in names}
            if made is not None:
                row["metrics"] = {**row["metrics"], **self._model_version(run_id, document, row)}
        except (StorageError, ValueError, KeyError, TypeError) as error:
            self._found.unproven.append(
                f"run {run_id} is left out, as its documents cannot be read: {_reason(error)}"
            )
            return
        self._found.rows["runs"][run_id,] = row
        if missing := tuple(name for name in names if name not in stated.keys() | UNDOCUMENTED):
            self._missing.setdefault(missing, []).append(f"run {run_id}")

    def _model_version(
        self, run_id: str, document: dict[str, Any], run: Columns
    ) -> dict[str, float]:
        """Add the model version of a run; return its metrics."""
        model = document["model"]
        version = document["model_version"]
        signature = Signature.model_validate(document["signature"])
        folder = model_folder(model, version)
        hidden = model_item_key(model, version, private=True)
        private = hidden in self._there
        item = hidden if private else model_item_key(model, version)
        recorded = (
            json.loads(self._workspace.get(item))["properties"] if item in self._there else {}
        )
        metrics: dict[str, float] = {}
        stage = "exported" if f"{folder}/parity.json" in self._there else "trained"
        if f"{folder}/metrics.json" in self._there:
            metrics = json.loads(self._workspace.get(f"{folder}/metrics.json"))["metrics"]
            stage = "evaluated"
        names = {label: name for name, (label, _) in FRAMEWORKS.items()}
        framework = str(recorded.get("mlm:framework", UNKNOWN))
        self._found.rows["model_versions"][model, version] = {
            "run_id": run_id,
            "dataset": document["dataset"],
            "data_version": document["data_version"],
            "data_digest": document["data_digest"],
            "task": document.get("task") or recorded.get("mlm:tasks", [_likely_task(signature)])[0],
            "framework": document.get("framework") or names.get(framework, framework),
            "signature": document["signature"],
            "stage": "recorded" if recorded else stage,
            "metrics": metrics,
            "created": recorded.get("created") or run["finished"],
            "visibility": Visibility.PRIVATE if private else Visibility.WORKSPACE,
        }
        return metrics

    def _map(self, key: str, stated: tuple[str, ...]) -> None:
        try:
            row = MapDocument.model_validate_json(self._workspace.get(key)).row()
            if (row.model, row.version, row.name) != stated:
                raise ValueError(f"it is of {row.name} by {row.model}@{row.version}")
        except (StorageError, ValueError) as error:
            self._found.unproven.append(
                f"the map of {key} is left out, as its document cannot be read: {_reason(error)}"
            )
            return
        if stated[:2] in self._found.rows["model_versions"]:
            names = [column.name for column in Map.__table__.columns]
            values = {name: kept(getattr(row, name)) for name in names}
            columns = {name: value for name, value in values.items() if name not in _MAP_KEY}
            self._found.rows["maps"][stated] = columns

    def _files(self) -> None:
        """Add every file that belongs to something that is found."""
        rows = self._found.rows
        known = {
            owner(*map(str, key))
            for key in rows["data_versions"]
            for owner in (data_owner, record_owner)
        }
        known |= {
            owner(*map(str, key))
            for key in rows["model_versions"]
            for owner in (maps_owner, model_owner, prediction_owner, record_owner)
        }
        known |= {run_owner(str(run_id)) for (run_id,) in rows["runs"]}
        left: list[str] = []
        for key in each("reading published files", self._keys, "files"):
            owner = self._owner(key)
            if owner in known or owner == CATALOG_OWNER or owner.startswith(_OF_NO_ROW):
                file = self._workspace.stat(key)
                rows["files"][key,] = {"owner": owner, "sha256": file.sha256, "size": file.size}
            else:
                left.append(key)
        if left:
            self._found.unproven.append(
                f"left out, as they belong to nothing that documents have: {named(left, NAMED)}"
            )

    def _owner(self, key: str) -> str:
        owner = owner_of(key) or ""
        run = (
            self._found.rows["runs"].get((owner.removeprefix("run:"),))
            if owner.startswith("run:")
            else None
        )
        if run is not None and run["model_version"] is not None and not key.endswith("/log.txt"):
            return model_owner(str(run["model"]), str(run["model_version"]))
        return owner


def _reason(error: Exception) -> str:
    """Return on one line why a document cannot be read."""
    if isinstance(error, ValidationError):
        return "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
    return str(error) if isinstance(error, StorageError) else repr(error)


def _likely_task(signature: Signature) -> str:
    if signature.classes is None:
        return "regression"
    return "semantic-segmentation" if signature.view == "window" else "classification"
