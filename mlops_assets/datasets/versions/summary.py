"""A data version at a glance: place, time, and samples of each class in each split.

Light to import, for commands that only show a version. `summarise` computed it when
the version was committed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from mlops_assets.datasets.versions.documents import published_documents
from mlops_assets.datasets.versions.version_document import VersionDocument, VersionSummary
from mlops_assets.names import Reference
from mlops_assets.paths import version_folder
from mlops_assets.registry import DataVersion, Registry
from mlops_assets.registry.files.verified_read import read_published
from mlops_assets.storage import Workspace

LEFT_OUT = "left_out"  # what samples in no split are counted as


@dataclass(frozen=True)
class Summary:
    """One data version by its document, which is checked against its published checksum.

    Attributes:
        row: its row in the registry.
        document: `version.json`.
        facts: place, time and class counts, also for documents without a summary.
    """

    row: DataVersion
    document: VersionDocument
    facts: VersionSummary

    @classmethod
    def open(cls, workspace: Workspace, registry: Registry, reference: Reference) -> Summary:
        """Open `dataset@version`.

        Raises:
            NotFound: no such version.
            IntegrityError: its document is not as it was published.
        """
        row = registry.data_version(reference)
        folder = version_folder(row.dataset, row.version)
        document = VersionDocument.model_validate_json(
            read_published(workspace, registry, f"{folder}/version.json")
        )
        facts = document.summary
        if facts is None:  # of an earlier release
            from mlops_assets.datasets.versions.summarise import summarise

            facts = summarise(*published_documents(workspace, registry, row))
        return cls(row, document, facts)

    @property
    def interval(self) -> list[datetime | None] | None:
        """First and last time: of its files, else of its samples, else as declared, else None."""
        ends = self.facts.interval
        if ends is None:
            return None
        return [None if end is None else datetime.fromisoformat(end) for end in ends]
