"""A map copied out of the workspace, to a file that the user has named: whole, or not at all."""

from __future__ import annotations

import shutil
from pathlib import Path, PurePosixPath

from mlops_assets.errors import SpecificationError, StorageError
from mlops_assets.prediction.predict import Prediction
from mlops_assets.storage.scratch import scratch_folder

_SUFFIXES = (".tif", ".tiff")


def require_writable(out: Path, scene: Path) -> None:
    """Check the name of a file for a map before the map is made.

    Raises:
        SpecificationError: it is not the name of a GeoTIFF in an existing folder, or is the scene.
    """
    if out.suffix.lower() not in _SUFFIXES:
        raise SpecificationError(f"{out} is not the name of a GeoTIFF; end it in .tif")
    if not out.parent.is_dir():
        raise SpecificationError(f"{out.parent} is not a folder; make it first")
    if out.exists() and out.samefile(scene):
        raise SpecificationError(f"{out} is the scene itself; name another file")


def copy_out(prediction: Prediction, out: Path) -> None:
    """Copy the files of a map beside each other; the GeoTIFF appears last.

    Args:
        prediction: the map.
        out: name of its GeoTIFF; the other files are named after it.

    Raises:
        StorageError: a file cannot be written.
    """
    name = PurePosixPath(prediction.raster.path).stem
    with scratch_folder("prediction", out.parent) as scratch:
        try:
            for file in reversed((prediction.raster, prediction.picture, *prediction.others)):
                rest = PurePosixPath(file.path).name.removeprefix(name)
                target = out.with_name(out.stem + rest.replace(".tif", out.suffix, 1))
                part = scratch / target.name
                shutil.copyfile(prediction.workspace.local_path(file.path), part)
                part.replace(target)
        except OSError as error:
            raise StorageError(
                f"{out} could not be written: {error.strerror}; the map is in the workspace,"
                f" {prediction.workspace.where(prediction.raster.path)}"
            ) from error
