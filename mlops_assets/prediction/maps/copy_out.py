"""A map copied out of the workspace, to where the user wants it: each file whole, or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from mlops_assets.datasets.io.raster_formats import GEOTIFFS
from mlops_assets.errors import SpecificationError, StorageError
from mlops_assets.storage import Workspace
from mlops_assets.storage.scratch import scratch_folder
from mlops_assets.storage.stores import BUCKETS, join, local_folder


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


def copy_out(
    workspace: Workspace,
    name: str,
    files: Mapping[str, str],
    out: str,
    scenes: Collection[str] = (),
) -> str:
    """Copy the files of a map; its GeoTIFF appears last.

    Args:
        workspace: that has the map.
        name: of the map, which its files have in a folder.
        files: end of a file's name, such as `.tif` → its key; the main GeoTIFF first.
        out: see `require_writable`; files beside a GeoTIFF are named after it.
        scenes: URLs of the files that the map was made from, which it never replaces.

    Returns:
        Path or URL of the GeoTIFF.

    Raises:
        SpecificationError: a file of the map would replace a scene.
        StorageError: a file cannot be written.
    """
    if is_file(out):
        targets = [_beside(Path(out), end).resolve().as_uri() for end in files]
        _require_no_scene(targets, scenes)
        return _copy_beside(workspace, files, Path(out))
    url = out if "://" in out else Path(out).resolve().as_uri()
    _require_no_scene([join(url, f"{name}{end}") for end in files], scenes)
    target = Workspace(url, workspace.cache)
    for end, key in reversed([*files.items()]):
        target.put(f"{name}{end}", workspace.local_path(key))
    return target.where(f"{name}{next(iter(files))}")


def _require_no_scene(targets: Sequence[str], scenes: Collection[str]) -> None:
    """Refuse targets that are scenes, by their URLs or, on this machine, also by other names.

    Raises:
        SpecificationError: one is.
    """
    local = [local_folder(url) for url in scenes if url.startswith("file:")]
    for target in targets:
        same = target in scenes
        if target.startswith("file:") and (path := local_folder(target)).exists():
            same = same or any(scene.exists() and path.samefile(scene) for scene in local)
        if same:
            raise SpecificationError(
                f"{target} is a scene of the map, and was not replaced; name another place, the map"
                " is in the workspace"
            )


def _beside(out: Path, end: str) -> Path:
    """Return the path of a file of a map beside its GeoTIFF."""
    return out.with_name(out.stem + end.replace(".tif", out.suffix, 1))


def _copy_beside(workspace: Workspace, files: Mapping[str, str], out: Path) -> str:
    with scratch_folder("prediction", out.parent) as scratch:
        try:
            for end, key in reversed([*files.items()]):
                target = _beside(out, end)
                part = scratch / target.name
                shutil.copyfile(workspace.local_path(key), part)
                part.replace(target)
        except OSError as error:
            raise StorageError(
                f"{out} could not be written: {error.strerror}; the map is in the workspace,"
                f" {workspace.where(next(iter(files.values())))}"
            ) from error
    return str(out)
