"""Finished parts of a map, in the workspace until the map is published.

A part is its layers and, written last, a document with their checksums: with the document it is
whole. Documents begin with a checksum of their own. Processes on several machines share nothing
else. Nothing here runs models.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from mlops_assets.datasets.io.rasterio_types import WritableRaster
from mlops_assets.datasets.io.rasters import open_raster
from mlops_assets.errors import IntegrityError
from mlops_assets.paths import part_key, parts_folder, scene_key
from mlops_assets.prediction.job import Part, as_json, from_json
from mlops_assets.prediction.maps.geotiff import Layer, MapGrid
from mlops_assets.prediction.scenes.found import SourceFile
from mlops_assets.storage import Workspace, sha256_of

# bytes that are compressed together: of nothing but nodata Zstandard makes 22, and of larger blocks
# more than `open_raster` believes
_BLOCK_BYTES = 64 << 10
_DOCUMENT = ".json"
_CONTINUED = "continued"  # an empty file, whose time counts
T = TypeVar("T")


@dataclass(frozen=True)
class PlannedScene:
    """A scene of a job that was opened.

    Attributes:
        files: its files, with their checksums.
        grid: of its map.
        tops: the first row of each part.
        notes: remarks for people on its bands.
    """

    files: tuple[SourceFile, ...]
    grid: MapGrid
    tops: tuple[int, ...]
    notes: tuple[str, ...] = ()

    def parts(self, index: int) -> list[Part]:
        """Return its parts.

        Args:
            index: of the scene in the job.
        """
        ends = (*self.tops[1:], self.grid.height)
        digest = files_digest(self.files)
        return [
            Part(index, digest, first, last) for first, last in zip(self.tops, ends, strict=True)
        ]


@dataclass(frozen=True)
class SceneState:
    """The outcome of opening or reading a scene of a job.

    Attributes:
        planned: what it has; None if it is broken.
        broken: why it cannot be read, for people.
    """

    planned: PlannedScene | None = None
    broken: str | None = None


@dataclass(frozen=True)
class PartResult:
    """A part that was predicted, or is of a scene that cannot be read.

    Attributes:
        part: its rows.
        with_data: pixels with data in all bands of the model.
        predicted: pixels with a class or a number.
        present: the class values among them.
        layers: name of each layer → sha256 of its file.
        broken: why the scene cannot be read; None for a part that was predicted.
    """

    part: Part
    with_data: int = 0
    predicted: int = 0
    present: tuple[int, ...] = ()
    layers: dict[str, str] | None = None
    broken: str | None = None


def files_digest(files: Sequence[SourceFile]) -> str:
    """Return the sha256 over the checksums of a scene's files."""
    return hashlib.sha256("\n".join(file.sha256 for file in files).encode()).hexdigest()


@dataclass(frozen=True)
class Parts:
    """The finished parts of one job.

    Attributes:
        workspace: where they are.
        key: of the job.
    """

    workspace: Workspace
    key: str
    _checked: dict[str, Path] = field(default_factory=dict)

    def touch(self) -> None:
        """Note that the job is continued now, so that parts it has are not taken for abandoned.

        Hold `Registry.storing` meanwhile.
        """
        folder = parts_folder(self.key)
        if any(True for _ in self.workspace.list(folder)):
            self.workspace.put(f"{folder}/{_CONTINUED}", b"")

    def scene(self, index: int) -> SceneState | None:
        """Return the outcome of opening a scene; None if it was not opened yet."""
        return self._read(SceneState, scene_key(self.key, index))

    def put_scene(self, index: int, state: SceneState) -> None:
        """Write the outcome of opening or reading a scene."""
        self._write(scene_key(self.key, index), state)

    def result(self, part: Part) -> PartResult | None:
        """Return a part that was predicted; None if it was not."""
        return self._read(PartResult, self._key(part, _DOCUMENT))

    def put(self, result: PartResult, layers: dict[str, Path]) -> PartResult:
        """Write a part that was predicted.

        Args:
            result: without its layers.
            layers: name → file.
        """
        written = {
            name: self.workspace.put(self._key(result.part, f"{name}.tif"), file).sha256
            for name, file in layers.items()
        }
        whole = PartResult(result.part, result.with_data, result.predicted, result.present, written)
        self._write(self._key(result.part, _DOCUMENT), whole)
        return whole

    def layer(self, result: PartResult, name: str) -> Path:
        """Return the local file of a layer of a part.

        Raises:
            IntegrityError: it is not as it was written.
            StorageError: it is missing.
        """
        key = self._key(result.part, f"{name}.tif")
        if key in self._checked:
            return self._checked[key]
        sha256 = (result.layers or {}).get(name, "")
        path = self.workspace.local_path(key, sha256)
        if self.workspace.is_local and sha256_of(path) != sha256:
            raise self._changed(key)
        self._checked[key] = path
        return path

    def remove(self) -> None:
        """Remove all parts, once the map is published."""
        folder = parts_folder(self.key)
        # a part with a document counts as finished: its layers go last
        for key in list(self.workspace.list(folder)):
            if key.endswith(_DOCUMENT):
                self.workspace.remove(key)
        self.workspace.remove_folder(folder)

    def _key(self, part: Part, end: str) -> str:
        return part_key(self.key, f"{part.scene}-{part.digest[:16]}", (part.first, part.last)) + end

    def _read(self, kind: type[T], key: str) -> T | None:
        if not self.workspace.exists(key):
            return None
        digest, _, text = self.workspace.get(key).partition(b"\n")
        if digest.decode(errors="replace") != sha256_of(text):
            raise self._changed(key)
        return from_json(kind, json.loads(text))

    def _write(self, key: str, value: object) -> None:
        text = json.dumps(as_json(value)).encode()
        self.workspace.put(key, sha256_of(text).encode() + b"\n" + text)

    def _changed(self, key: str) -> IntegrityError:
        return IntegrityError(
            f"{key} has changed since it was written; remove {parts_folder(self.key)} from the"
            " workspace and run it again"
        )


@contextmanager
def open_part(path: Path, shape: tuple[int, int], layer: Layer) -> Iterator[WritableRaster]:
    """Open a layer of a part, to be written row by row.

    Args:
        path: of the new file.
        shape: rows and columns.
        layer: the bands.
    """
    row_bytes = shape[1] * np.dtype(layer.dtype).itemsize
    profile = {
        "driver": "GTiff",
        "height": shape[0],
        "width": shape[1],
        "count": len(layer.bands),
        "dtype": np.dtype(layer.dtype).name,
        "nodata": layer.nodata,
        "bigtiff": "if_safer",
        "interleave": "band",
        "blockysize": max(1, min(shape[0], _BLOCK_BYTES // row_bytes)),
        # a third of the time of deflate, and only we read it
        **(
            {"compress": "zstd", "zstd_level": 1}
            if row_bytes <= _BLOCK_BYTES
            else {"compress": "deflate", "zlevel": 1}
        ),
    }
    with open_raster(path, "w", **profile) as raster:
        yield raster
