"""Everything that the record of a model version is made from, read from workspace and registry."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Self

from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.names import Reference
from mlops_assets.paths import model_folder, model_owner
from mlops_assets.registry import ModelVersion, Registry, Run
from mlops_assets.registry.files.verified_read import (
    published_metrics,
    published_path,
    read_published,
    shared_model,
)
from mlops_assets.registry.model_documents import Metrics, SharedModel, Signature
from mlops_assets.stac.catalog import version_tags
from mlops_assets.stac.migration.recorded import described_by_record
from mlops_assets.stac.mlm.onnx_graph import OnnxGraph, read_graph
from mlops_assets.storage import FileStat, Workspace


@dataclass(frozen=True)
class ModelDeclaration:
    """What is declared of a model for people and catalogues.

    Attributes:
        title: one line; its name if not given.
        description: what it is for; may be empty.
        license: SPDX identifier, or `other`; None if not declared.
        providers: STAC Provider Objects.
        doi: of the model.
        citation: how to cite it.
        keywords: further ones.
        pretrained: what its weights were pre-trained on; None if not declared.
    """

    title: str | None = None
    description: str = ""
    license: str | None = None
    providers: list[dict[str, object]] = field(default_factory=list)
    doi: str | None = None
    citation: str | None = None
    keywords: list[str] = field(default_factory=list)
    pretrained: str | None = None


@dataclass(frozen=True)
class ModelFacts:
    """A model version with everything that its record is made from.

    Attributes:
        row: the model version.
        run: the run that trained it.
        committed: the data version it was trained on, described as its record says.
        declared: what is declared of the model.
        graph: facts of its ONNX file.
        files: its published files.
        metrics: on the test split; None if it was not measured.
        packages: versions of the packages that the run had installed; empty if unknown.
        tags: of the data version.
        deprecated: whether the version is.
        shared: what it is in the workspace that it is used from; None if it is of here.
    """

    row: ModelVersion
    run: Run
    committed: CommittedDataset
    declared: ModelDeclaration
    graph: OnnxGraph
    files: list[FileStat]
    metrics: Metrics | None
    packages: Mapping[str, str]
    tags: list[str]
    deprecated: bool
    shared: SharedModel | None

    @classmethod
    def read(
        cls,
        workspace: Workspace,
        registry: Registry,
        row: ModelVersion,
        declared: ModelDeclaration,
    ) -> Self:
        """Read the facts of an evaluated model version.

        Raises:
            IntegrityError: a published file is not as it was published.
            StorageError: one is missing.
        """
        data = Reference(row.dataset, row.data_version)
        onnx = f"{model_folder(row.model, row.version)}/model.onnx"
        return cls(
            row=row,
            run=registry.run(row.run_id),
            committed=described_by_record(
                workspace, registry, CommittedDataset.open(workspace, registry, data)
            ),
            declared=declared,
            graph=read_graph(published_path(workspace, registry, onnx)),
            files=registry.files(model_owner(row.model, row.version)),
            metrics=published_metrics(workspace, registry, row.model, row.version),
            packages=_packages(workspace, registry, row),
            tags=version_tags(registry, row.dataset, row.data_version),
            deprecated=(row.model, row.version) in registry.deprecated_versions(row.model),
            shared=shared_model(workspace, registry, row.model, row.version),
        )

    @cached_property
    def signature(self) -> Signature:
        """Inputs and outputs, as they were recorded when it was trained."""
        return Signature.of(self.row)


def _packages(workspace: Workspace, registry: Registry, row: ModelVersion) -> Mapping[str, str]:
    key = f"{model_folder(row.model, row.version)}/environment.json"
    if not registry.files_at(key):
        return {}
    packages = json.loads(read_published(workspace, registry, key)).get("packages")
    return packages if isinstance(packages, dict) else {}
