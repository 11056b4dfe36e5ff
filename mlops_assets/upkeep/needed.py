"""The objects and packs that something recorded names: the mark of mark and sweep.

They are named by manifests of data versions, by the code that made a data version, and by runs. The
manifests are compared with their checksums: one that cannot be read stops everything, as what it
names would be taken for unneeded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sqlalchemy import select

from mlops_assets.datasets.versions.manifest import read_manifest
from mlops_assets.datasets.versions.version_document import VersionDocument
from mlops_assets.paths import version_folder
from mlops_assets.progress import each
from mlops_assets.registry import DataVersion, Run
from mlops_assets.registry.files.verified_read import read_published
from mlops_assets.store import Store

_DIGEST = "S32"  # a sha256, in binary: half the memory of its text
_COLUMNS = ("sha256", "size", "href", "pack")


class Needed:
    """Checksums of all objects and packs that something recorded names.

    Attributes:
        packs: checksums of packs, hexadecimal.
    """

    def __init__(self, store: Store) -> None:
        """Read all that is recorded now.

        Args:
            store: workspace and registry.

        Raises:
            IntegrityError: a manifest is not as it was published.
            StorageError: a manifest is missing.
        """
        self._store = store
        self._versions: set[tuple[str, str]] = set()
        self._of_runs: set[str] = set()
        self._objects: NDArray[np.bytes_] = np.empty(0, _DIGEST)
        self.packs: set[str] = set()
        self.refresh()

    def refresh(self) -> None:
        """Add what was recorded since; nothing that is recorded is ever deleted.

        Raises:
            IntegrityError: a manifest is not as it was published.
            StorageError: a manifest is missing.
        """
        new: list[NDArray[np.bytes_]] = []
        with self._store.registry.unrestricted().reading() as session:
            keys = session.execute(select(DataVersion.dataset, DataVersion.version)).all()
            runs = session.execute(select(Run.environment, Run.code)).all()
        versions = [(dataset, version) for dataset, version in keys]
        unread = [version for version in versions if version not in self._versions]
        for dataset, version in each("reading manifests", unread, "manifests"):
            files = manifest_files(self._store, dataset, version)
            self.packs.update(files["pack"].dropna().unique().tolist())
            new.append(_digests(files["sha256"].unique().tolist()))
            new.append(_digests(code_objects(self._store, dataset, version)))
            self._versions.add((dataset, version))
        of_runs = {name for environment, code in runs for name in run_objects(environment, code)}
        new.append(_digests(sorted(of_runs - self._of_runs)))
        self._of_runs |= of_runs
        if any(map(len, new)):
            self._objects = np.unique(np.concatenate([self._objects, *new]))

    def without(self, sha256s: Sequence[str]) -> NDArray[np.bool_]:
        """Return for each checksum (hex) whether no object of it is needed."""
        return ~np.isin(_digests(sha256s), self._objects)


def manifest_files(store: Store, dataset: str, version: str) -> pd.DataFrame:
    """Return sha256, size and pack of the files of a data version that are in the workspace.

    Those in packs may be there as single objects, too, where their pack was damaged.

    Args:
        store: workspace and registry.
        dataset: name of the dataset.
        version: its version.
    """
    key = f"{version_folder(dataset, version)}/manifest.parquet"
    content = read_published(store.workspace, store.registry, key)
    manifest = read_manifest(content, _COLUMNS)
    return manifest[manifest["href"].isna()]


def code_objects(store: Store, dataset: str, version: str) -> list[str]:
    """Return the checksums of objects with the code that made a data version."""
    key = f"{version_folder(dataset, version)}/version.json"
    content = read_published(store.workspace, store.registry, key)
    processing = VersionDocument.model_validate_json(content).processing
    return [] if processing is None else list(_named([processing.code.get("diff")]))


def run_objects(environment: str | None, code: dict[str, str] | None) -> list[str]:
    """Return the checksums of the objects that a run names: packages, module and patch.

    Args:
        environment: of its row.
        code: of its row.
    """
    code = code or {}
    return list(_named([environment, code.get("diff"), code.get("source")]))


def _named(values: Iterable[object]) -> Iterator[str]:
    """Yield the checksums among values; a run from elsewhere may have other texts there."""
    for value in values:
        if isinstance(value, str) and len(value) == 64 and set(value) <= set("0123456789abcdef"):
            yield value


def _digests(sha256s: Sequence[str]) -> NDArray[np.bytes_]:
    return np.frombuffer(bytes.fromhex("".join(sha256s)), _DIGEST)
