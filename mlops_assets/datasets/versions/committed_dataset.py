"""A data version, opened: its manifest, samples and files, always from the committed bytes.

The landing is never read.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops_assets.datasets.io.named_files import is_self_contained, link_to, together
from mlops_assets.datasets.io.npy import open_npy
from mlops_assets.datasets.io.rasters import Reading
from mlops_assets.datasets.recall.objects import (
    StoredBytes,
    StoredFile,
    fetch_referenced,
    grouped,
    stored_files,
)
from mlops_assets.datasets.sources.base import below
from mlops_assets.datasets.specification.dataset import DatasetSpecification
from mlops_assets.datasets.versions.contents import ClassName
from mlops_assets.datasets.versions.documents import published_documents
from mlops_assets.datasets.versions.manifest import read_manifest
from mlops_assets.datasets.versions.version_document import VersionDocument
from mlops_assets.errors import IntegrityError
from mlops_assets.names import Reference
from mlops_assets.paths import object_key
from mlops_assets.registry import DataVersion, Registry
from mlops_assets.storage import Workspace, sha256_of
from mlops_assets.storage.packs import Place
from mlops_assets.storage.scratch import scratch_folder, write_scratch

SplitName = Literal["train", "validation", "test"]
# The description of a dataset for people and catalogues; not part of the content or the digest.
DESCRIPTION = (
    *("title", "description", "license", "providers", "doi", "citation", "keywords", "extent"),
    "units",
)
# of objects in packs, for a while: their folder, and their paths by checksum; a thread has its own
_COPIES: ContextVar[tuple[Path, Mapping[str, Path]]] = ContextVar("copies", default=(Path(), {}))


@dataclass(frozen=True)
class CommittedDataset:
    """One data version, opened.

    Every document is checked against its published checksum when it is read.
    """

    workspace: Workspace
    row: DataVersion
    document: VersionDocument
    manifest: pd.DataFrame
    samples: pd.DataFrame

    @classmethod
    def open(
        cls, workspace: Workspace, registry: Registry, reference: Reference
    ) -> CommittedDataset:
        """Open `dataset@version`.

        Args:
            workspace: where its documents and files are.
            registry: with their published checksums.
            reference: the data version; the newest if it names none.

        Raises:
            NotFound: no such version.
            IntegrityError: a document is not as it was published.
        """
        row = registry.data_version(reference)
        document, manifest, samples = published_documents(workspace, registry, row)
        return cls(
            workspace, row, document, read_manifest(manifest), pd.read_parquet(io.BytesIO(samples))
        )

    @property
    def reference(self) -> str:
        """`dataset@version`."""
        return f"{self.row.dataset}@{self.row.version}"

    @cached_property
    def _verified(self) -> set[str]:
        return set()

    @cached_property
    def specification(self) -> DatasetSpecification:
        """The declaration as it was when this version was committed."""
        return DatasetSpecification.model_validate(self.document.specification)

    def described_as(self, declared: DatasetSpecification) -> CommittedDataset:
        """Return this version with its description as declared now.

        The description is title, licence, providers, keywords, place, time, units, common names and
        wavelengths; reading options and splits stay as committed.

        Args:
            declared: the dataset as declared now.
        """
        committed, now = self.specification, declared.committed()
        kept = self.document.specification
        specification = {name: value for name, value in kept.items() if name not in DESCRIPTION}
        specification |= {name: now[name] for name in DESCRIPTION if name in now}
        bands = declared.bands
        described = [entry for entry in (bands.center_wavelengths, bands.common_names) if entry]
        if bands.names == committed.bands.names and all(
            len(entry) == len(self.document.features) for entry in described
        ):
            specification["bands"] = now["bands"]
        document = self.document.model_copy(update={"specification": specification})
        return replace(self, document=document)

    @property
    def classes(self) -> list[ClassName] | None:
        """Classes in the order of their indices, or None where the label is a number."""
        return self.document.classes

    @property
    def layout(self) -> str:
        """Layout of the source, which defines how files are read."""
        return self.specification.source.layout

    @cached_property
    def _files(self) -> Mapping[str, StoredFile]:
        return {file.path: file for file in stored_files(self.manifest)}

    @contextmanager
    def fetched(self, paths: Iterable[str]) -> Iterator[None]:
        """Fetch what belongs to samples from packs, by few requests, for this thread to read.

        The copies are removed at the end. Other files are left to `local_path`: one request each is
        little for a large one, and keeps the copy, as it may be read in parts.

        Args:
            paths: of the files that the samples are of, as in `samples`.

        Raises:
            IntegrityError: the bytes are not those that were committed.
            StorageError: they are missing.
        """
        packed: list[StoredFile] = []
        if self.manifest["pack"].notna().any():
            names = {own for path in paths for own in self._belonging(path)}
            packed += (file for name in names if (file := self._files[name]).pack is not None)
        if not packed:
            yield
            return
        content = StoredBytes(self.workspace)
        with scratch_folder("reading", self.workspace.cache) as folder:
            copies: dict[str, Path] = {}
            for group in grouped(packed):
                for file, chunks in content.read(group):
                    if file.sha256 not in copies:  # files may have equal bytes
                        copies[file.sha256] = folder / f"{len(copies)}"
                        write_scratch(copies[file.sha256], chunks)
            before = _COPIES.set((folder, copies))
            try:
                yield
            finally:
                _COPIES.reset(before)

    def _belonging(self, path: str) -> Iterator[str]:
        """Yield the files that the samples of one are read from, but for those that all need."""
        scene = self._scenes.get(path)
        yield from [path] if scene is None else scene["path"]
        if path in self.document.labels:
            yield self.document.labels[path]

    def local_path(self, path: str) -> Path:
        """Return a local path with the committed bytes of one landed file.

        The bytes are hashed again on the first call. A file that is kept by reference is fetched
        into the cache once.

        Args:
            path: of the file below the landing.

        Raises:
            IntegrityError: the bytes are not those that were committed.
            StorageError: they are missing.
        """
        file = self._files[path]
        sha256, href = file.sha256, file.href
        _, copies = _COPIES.get()
        if sha256 in copies:
            return copies[sha256]
        if file.pack is not None:
            return self.workspace.local_object(sha256, file.size, Place(file.pack, file.offset))
        key = object_key(sha256)
        local = (
            self.workspace.local_path(key, sha256) if href is None else self._referenced(file, href)
        )
        if key not in self._verified:
            if sha256_of(local) != sha256:
                if href is not None:
                    local.unlink(missing_ok=True)
                where = key if href is None else href
                raise IntegrityError(
                    f"{where} ({path} of {self.reference}) is not as it was published; restore it"
                    " from a backup, or land it again and commit with --rehash"
                )
            self._verified.add(key)
        return local

    def raster_path(self, path: str) -> Path:
        """Return a local path of a raster's committed bytes, with its sidecars beside it.

        Args:
            path: of the raster below the landing.

        Raises:
            IntegrityError: the bytes are not those that were committed.
            StorageError: they are missing.
        """
        others = self._together.get(path, [])
        if is_self_contained(path) and not others:
            return self.local_path(path)
        files = {own: self.local_path(own) for own in (path, *others)}
        key = hashlib.sha256(
            json.dumps({own: str(local) for own, local in files.items()}).encode()
        ).hexdigest()
        copied, _ = _COPIES.get()
        lasting = all(local.parent != copied for local in files.values())
        folder = (self.workspace.cache if lasting else copied) / "named" / f"{key[:2]}/{key[2:32]}"
        for own, local in files.items():
            link = below(folder, own)
            if not link.is_file() or not link.samefile(local):
                link_to(link, local)
        return below(folder, path)

    def npy(self, path: str) -> NDArray[np.number]:
        """Open an image that is an NPY file.

        Args:
            path: of the image below the landing.

        Returns:
            Shape (bands, height, width), read-only, of the file's own type.

        Raises:
            ValueError: it is not such an array.
            IntegrityError: the bytes are not those that were committed.
            StorageError: they are missing.
        """
        return open_npy(self.local_path(path))

    def bands(self, path: str) -> list[int] | None:
        """Return the bands of an image that are read.

        Args:
            path: of the image below the landing.

        Returns:
            Band numbers, counted from 1, in the order of the features; None for all in file order.
        """
        return self._bands.get(path)

    @cached_property
    def masked(self) -> bool:
        """True if alpha or a mask hides pixels of some image."""
        return bool(
            self.manifest["masked"].eq(True).any()
            or (self.is_scaled and self.manifest["nodata"].notna().any())
        )

    @property
    def is_scaled(self) -> bool:
        """True if scale and offset of the files are applied to values."""
        return self.specification.source.apply_scale

    @property
    def reading(self) -> Reading:
        """The reading of raster values: `physical` or `raw`."""
        return "physical" if self.is_scaled else "raw"

    @cached_property
    def _bands(self) -> Mapping[str, list[int]]:
        rows = self.manifest.loc[self.manifest["bands"].notna(), ["path", "bands"]]
        return dict(zip(rows["path"], rows["bands"], strict=True))

    @cached_property
    def _together(self) -> Mapping[str, list[str]]:
        return together(self.manifest)

    def _referenced(self, file: StoredFile, href: str) -> Path:
        name = f"{file.sha256[2:]}{Path(file.path).suffix}"
        kept = self.workspace.cache / "references" / file.sha256[:2] / name
        if not kept.is_file():
            fetch_referenced(file, href, kept, self.workspace.cache)
        return kept

    @cached_property
    def _scenes(self) -> Mapping[str, pd.DataFrame]:
        """The manifest rows of each scene by the path of its first image."""
        grouped = (
            self.manifest.dropna(subset=["scene"]).sort_values("part").groupby("scene", sort=False)
        )
        scenes = (rows for _, rows in grouped)
        return {
            str(rows.loc[rows["role"] == "image", "path"].iloc[0]): rows
            for rows in scenes
            if "image" in set(rows["role"])
        }

    def scene_images(self, path: str) -> list[str]:
        """Return the image files of a scene.

        Args:
            path: of the first image of the scene.

        Returns:
            Paths below the landing, in band order.
        """
        rows = self._scenes[path]
        return [str(p) for p in rows.loc[rows["role"] == "image", "path"]]

    def scene_labels(self, path: str) -> str:
        """Return the label file of a scene; one file may label several scenes.

        Args:
            path: of the first image of the scene.

        Returns:
            Path below the landing.
        """
        if path in self.document.labels:
            return self.document.labels[path]
        rows = self._scenes[path]
        own = rows.loc[rows["role"] == "labels", "path"]
        shared = self.manifest.loc[
            self.manifest["scene"].isna() & (self.manifest["role"] == "labels"), "path"
        ]
        return str((own if len(own) else shared).iloc[0])

    def sidecars(self, path: str) -> list[str]:
        """Return the other parts of a label file, such as `.dbf` and `.shx` of a Shapefile.

        Args:
            path: of the label file below the landing.
        """
        stem = path.rpartition(".")[0]
        rows = self.manifest[self.manifest["role"] == "sidecar"]
        return [str(p) for p in rows["path"] if str(p).rpartition(".")[0] == stem]

    def split(self, name: SplitName) -> pd.DataFrame:
        """Return the samples of one split, in manifest order.

        Args:
            name: `train`, `validation` or `test`.

        Returns:
            Rows with `SAMPLE_COLUMNS`.
        """
        return self.samples[self.samples["split"] == name]
