"""What every export of a model version is made from, read and compared with its checksums."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self, cast

from mlops_assets.errors import ExportError
from mlops_assets.models.onnx.takers import Taker, checklist
from mlops_assets.models.signing.verify import require_signature
from mlops_assets.paths import model_folder
from mlops_assets.registry import ModelVersion
from mlops_assets.registry.files.verified_read import (
    published_path,
    read_published,
    shared_model,
)
from mlops_assets.registry.model_documents import SharedModel, Signature
from mlops_assets.stac.catalog import read_record, record_key
from mlops_assets.stac.mlm.onnx_graph import OnnxGraph, read_graph
from mlops_assets.store import Store
from mlops_assets.text.secret_urls import redacted

ONNX = "model.onnx"


@dataclass(frozen=True)
class ExportSource:
    """A recorded model version, as exports read it.

    Attributes:
        store: workspace and registry.
        row: the model version.
        onnx: local path of its published ONNX file.
        sha256: of that file.
        record: its STAC Item.
    """

    store: Store
    row: ModelVersion
    onnx: Path
    sha256: str
    record: dict[str, object]

    @classmethod
    def open(cls, store: Store, row: ModelVersion) -> Self:
        """Read a model version.

        Raises:
            ExportError: it is not recorded yet.
            IntegrityError: a file is not as it was published.
            SignatureRefused: `MLOPS_TRUST` requires a signature that it does not have.
        """
        if row.stage != "recorded":
            raise ExportError(
                f"{row.model}@{row.version} is only {row.stage}; record it first: materialise its"
                " missing assets"
            )
        require_signature(store, row)
        key = f"{model_folder(row.model, row.version)}/{ONNX}"
        path = published_path(store.workspace, store.registry, key)
        (file,) = store.registry.files_at(key)
        record = read_record(store.workspace, store.registry, record_key(row))
        return cls(store, row, path, file.sha256, cast(dict[str, object], record))

    @property
    def reference(self) -> str:
        """`model@version`."""
        return f"{self.row.model}@{self.row.version}"

    @property
    def properties(self) -> Mapping[str, object]:
        """The properties of the Item."""
        return cast(Mapping[str, object], self.record["properties"])

    @cached_property
    def signature(self) -> Signature:
        """Inputs and outputs, as they were recorded when it was trained."""
        return Signature.of(self.row)

    @cached_property
    def shared(self) -> SharedModel | None:
        """What it is in the workspace that it is used from; None if it is of here."""
        store, row = self.store, self.row
        return shared_model(store.workspace, store.registry, row.model, row.version)

    @cached_property
    def graph(self) -> OnnxGraph:
        """Facts of the ONNX file."""
        return read_graph(self.onnx)

    @cached_property
    def takers(self) -> list[Taker]:
        """What other software lacks to run the ONNX file."""
        return checklist(self.onnx, self.signature)

    @cached_property
    def provenance(self) -> dict[str, str]:
        """Where the export comes from, for whoever finds it."""
        row = self.row
        return {
            "mlops.model": row.model,
            "mlops.model_version": row.version,
            "mlops.onnx_sha256": self.sha256,
            "mlops.run_id": row.run_id,
            "mlops.data_version": f"{row.dataset}@{row.data_version}",
            "mlops.data_digest": row.data_digest,
            "mlops.workspace": redacted(self.store.workspace.url),
            **({"mlops.used_from": self.shared.record} if self.shared else {}),
        }

    def copy_onnx(self, target: Path) -> None:
        """Write the ONNX file to a path, whose folders are made."""
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.onnx, target)

    def copy_published(self, key: str, target: Path) -> None:
        """Write a published file to a path, whose folders are made.

        Raises:
            IntegrityError: it is not as it was published.
        """
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(read_published(self.store.workspace, self.store.registry, key))
