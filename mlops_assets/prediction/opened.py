"""A job whose model is checked and loaded, and its scenes, opened one at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mlops_assets.datasets.io.rasterio_types import Raster
from mlops_assets.datasets.io.rasters import open_raster
from mlops_assets.errors import (
    BrokenScene,
    DiskFull,
    IntegrityError,
    NotFound,
    SpecificationError,
    StorageError,
    StorageUnreachable,
)
from mlops_assets.models.signing.verify import require_signature
from mlops_assets.paths import model_folder
from mlops_assets.prediction.job import MapJob
from mlops_assets.prediction.mapped import MappedModel
from mlops_assets.prediction.maps.geotiff import MapGrid
from mlops_assets.prediction.parts import Parts
from mlops_assets.prediction.scenes.bands import Found, find_bands
from mlops_assets.prediction.scenes.found import LocalScene
from mlops_assets.prediction.scenes.scene import Scene
from mlops_assets.prediction.scenes.sources.files import CallerLimits
from mlops_assets.prediction.scenes.sources.open import open_scene
from mlops_assets.registry.files.verified_read import published_path
from mlops_assets.registry.model_documents import Signature
from mlops_assets.storage import Workspace, sha256_of
from mlops_assets.storage.scratch import scratch_folder
from mlops_assets.store import Store

# of a scene, and not of the model, the disk or the network
_OF_THE_SCENE = (SpecificationError, StorageError, IntegrityError, NotFound)


@dataclass(frozen=True)
class OpenedScene:
    """A scene of a job, open for reading.

    Attributes:
        index: in the job.
        local: its files.
        raster: the open raster.
        bands: that the model takes.
        rows: what the model reads.
    """

    index: int
    local: LocalScene
    raster: Raster
    bands: Found
    rows: Scene

    @property
    def name(self) -> str:
        """Its name, for people."""
        return self.local.found.name

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks for people on its bands."""
        return (*self.local.notes, *([] if self.bands.note is None else [self.bands.note]))

    @property
    def grid(self) -> MapGrid:
        """Its grid, which is that of its map."""
        return MapGrid.of(self.raster)


@dataclass(frozen=True)
class OpenedJob:
    """A job whose model may be used.

    Attributes:
        store: workspace and registry.
        job: the map to be made.
        mapped: the model, and the layers of the map.
        caller: limits of scenes that a caller of a server has named or sent; None for those of the
            user.
        unfinished: where finished parts are kept; the store's workspace if None.
    """

    store: Store
    job: MapJob
    mapped: MappedModel
    caller: CallerLimits | None = None
    unfinished: Workspace | None = None

    @classmethod
    def of(cls, store: Store, job: MapJob) -> OpenedJob:
        """Check and read the model of a job.

        Raises:
            NotFound: there is no such model version.
            SignatureRefused: a signature of the model is required, and none is accepted.
            SpecificationError: the model does not take scenes, or cannot give the outputs.
        """
        row = store.registry.model_version(job.reference)
        if Signature.of(row).view == "image":
            raise SpecificationError(
                f"{row.model}@{row.version} does not predict scenes; it takes whole images"
            )
        require_signature(store, row)
        model_key = f"{model_folder(row.model, row.version)}/model.onnx"
        onnx_file = published_path(store.workspace, store.registry, model_key)
        return cls(store, job, MappedModel.of(store, row, onnx_file, job.options))

    @cached_property
    def model_sha256(self) -> str:
        """Checksum of `model.onnx`."""
        return sha256_of(self.mapped.onnx_file)

    @cached_property
    def parts(self) -> Parts:
        """The finished parts of the map."""
        index = self.mapped.index
        made_by = self.model_sha256 + ("" if index is None else f"\n{index.sha256}")
        return Parts(self.unfinished or self.store.workspace, self.job.key(made_by))

    def continued(self) -> OpenedJob:
        """Keep the parts that it has from being removed as abandoned; return it."""
        with self.store.registry.storing():
            self.parts.touch()
        return self

    @property
    def is_mosaic(self) -> bool:
        """Whether scenes may overlap."""
        return len(self.job.scenes) > 1

    @contextmanager
    def scene(self, index: int) -> Iterator[OpenedScene]:
        """Open a scene; its files are here until the end.

        Args:
            index: of the scene in the job.

        Raises:
            BrokenScene: it cannot be read, or lacks what the model takes.
            StorageUnreachable: its host does not answer.
            DiskFull: it cannot be copied to this machine.
        """
        with ExitStack() as stack:
            folder = stack.enter_context(scratch_folder("scene"))
            with broken(self.job.scenes[index].name):
                scene = self._open(index, folder, stack)
            yield scene

    def _open(self, index: int, folder: Path, stack: ExitStack) -> OpenedScene:
        wanted = self.mapped.wanted
        found, reading = self.job.scenes[index], self.job.reading
        local = open_scene(self.store, found, wanted, reading, folder, self.caller)
        raster = stack.enter_context(open_raster(local.raster))
        _require_located(raster, local.raster)
        bands = find_bands(raster, local.raster, wanted, reading.by_position)
        rows = Scene(raster, bands.roles, self.mapped.signature.apply_scale)
        return OpenedScene(index, local, raster, bands, rows)


@contextmanager
def broken(name: str) -> Iterator[None]:
    """Raise what is wrong with a scene as `BrokenScene`.

    Args:
        name: of the scene.
    """
    try:
        yield
    except (StorageUnreachable, DiskFull):
        raise
    except _OF_THE_SCENE as error:
        raise BrokenScene(str(error)) from error
    except ValueError as error:
        # that of a raster lacks the name of its file
        text = str(error)
        raise BrokenScene(text if text.startswith(name) else f"{name}: {text}") from error


def _require_located(raster: Raster, scene: Path) -> None:
    """Refuse ground control points, as a map on the scene's grid would have no place.

    Raises:
        SpecificationError: the scene has them, and nothing else.
    """
    if raster.gcps[0] and raster.transform.is_identity:
        raise SpecificationError(
            f"{scene.name} is located by ground control points only; warp it to a grid first:"
            f" gdalwarp -tps {scene.name} warped.tif"
        )
