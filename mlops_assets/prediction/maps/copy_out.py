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
    local = {end: workspace.local_path(key) for end, key in files.items()}
    first = next(iter(files.values()))
    kept = f"the map is in the workspace, {workspace.where(first)}"
    return write_out(local, name, out, scenes, workspace.cache, kept)


def write_out(
    files: Mapping[str, Path],
    name: str,
    out: str,
    scenes: Collection[str],
    cache: Path,
    kept: str,
) -> str:
    """Copy local files of a map; its GeoTIFF appears last.

    Args:
        files: end of a file's name, such as `.tif` → the file; the main GeoTIFF first.
        name: of the map, which its files have in a folder.
        out: see `require_writable`; files beside a GeoTIFF are named after it.
        scenes: URLs of the files that the map was made from, which it never replaces.
        cache: folder for temporary files.
        kept: what is left of the map, for errors.

    Returns:
        Path or URL of the GeoTIFF.

    Raises:
        SpecificationError: a file of the map would replace a scene.
        StorageError: a file cannot be written.
    """
    if is_file(out):
        targets = [_beside(Path(out), end).resolve().as_uri() for end in files]
        _require_no_scene(targets, scenes, kept)
        return _copy_beside(files, Path(out), kept)
    url = out if "://" in out else Path(out).resolve().as_uri()
    _require_no_scene([join(url, f"{name}{end}") for end in files], scenes, kept)
    target = Workspace(url, cache)
    for end, path in reversed([*files.items()]):
        target.put(f"{name}{end}", path)
    return target.where(f"{name}{next(iter(files))}")


def _require_no_scene(targets: Sequence[str], scenes: Collection[str], kept: str) -> None:
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
                f"{target} is a scene of the map, and was not replaced; name another place: {kept}"
            )


def _beside(out: Path, end: str) -> Path:
    """Return the path of a file of a map beside its GeoTIFF."""
    return out.with_name(out.stem + end.replace(".tif", out.suffix, 1))


def _copy_beside(files: Mapping[str, Path], out: Path, kept: str) -> str:
    with scratch_folder("prediction", out.parent) as scratch:
        try:
            for end, path in reversed([*files.items()]):
                target = _beside(out, end)
                part = scratch / target.name
                shutil.copyfile(path, part)
                part.replace(target)
        except OSError as error:
            raise StorageError(f"{out} could not be written: {error.strerror}; {kept}") from error
    return str(out)
