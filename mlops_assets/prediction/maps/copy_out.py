"""A map copied out of the workspace, to where the user wants it: each file whole, or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from mlops_assets.datasets.io.raster_formats import GEOTIFFS
from mlops_assets.errors import SpecificationError, StorageError
from mlops_assets.storage import Workspace
from mlops_assets.storage.scratch import scratch_folder
from mlops_assets.storage.stores import BUCKETS


def require_writable(out: str, sources: Sequence[str]) -> None:
    """Check the place of a map before the map is made.

    Args:
        out: name of a GeoTIFF in an existing folder, a folder, or the URL of one.
        sources: paths and URLs of the scenes.

    Raises:
        SpecificationError: nothing can be written there, or it is a scene.
    """
    scheme, given, _ = out.partition("://")
    if given:
        if scheme not in ("file", *BUCKETS):
            raise SpecificationError(
                f"{out} cannot be written; name a folder, or one of a bucket by"
                f" {', '.join(f'{name}://' for name in BUCKETS)}"
            )
        return
    path = Path(out)
    if not is_file(out):
        if path.exists() and not path.is_dir():
            raise SpecificationError(
                f"{out} is not the name of a GeoTIFF; end it in .tif, or name a folder"
            )
        return
    if not path.parent.is_dir():
        raise SpecificationError(f"{path.parent} is not a folder; make it first")
    if path.exists() and any(Path(each).exists() and path.samefile(each) for each in sources):
        raise SpecificationError(f"{out} is the scene itself; name another file")


def is_file(out: str) -> bool:
    """Return whether a place is that of one GeoTIFF, and not a folder."""
    return "://" not in out and Path(out).suffix.lower() in GEOTIFFS


def copy_out(workspace: Workspace, name: str, files: Mapping[str, str], out: str) -> str:
    """Copy the files of a map; its GeoTIFF appears last.

    Args:
        workspace: that has the map.
        name: of the map, which its files have in a folder.
        files: end of a file's name, such as `.tif` → its key; the main GeoTIFF first.
        out: see `require_writable`; files beside a GeoTIFF are named after it.

    Returns:
        Path or URL of the GeoTIFF.

    Raises:
        StorageError: a file cannot be written.
    """
    if is_file(out):
        return _beside(workspace, files, Path(out))
    url = out if "://" in out else Path(out).resolve().as_uri()
    target = Workspace(url, workspace.cache)
    for end, key in reversed([*files.items()]):
        target.put(f"{name}{end}", workspace.local_path(key))
    return target.where(f"{name}{next(iter(files))}")


def _beside(workspace: Workspace, files: Mapping[str, str], out: Path) -> str:
    with scratch_folder("prediction", out.parent) as scratch:
        try:
            for end, key in reversed([*files.items()]):
                target = out.with_name(out.stem + end.replace(".tif", out.suffix, 1))
                part = scratch / target.name
                shutil.copyfile(workspace.local_path(key), part)
                part.replace(target)
        except OSError as error:
            raise StorageError(
                f"{out} could not be written: {error.strerror}; the map is in the workspace,"
                f" {workspace.where(next(iter(files.values())))}"
            ) from error
    return str(out)
