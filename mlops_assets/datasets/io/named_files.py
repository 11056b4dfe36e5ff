"""Sidecars: files that GDAL finds by their names beside a raster."""

from __future__ import annotations

import os
import posixpath
import shutil
import tempfile
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

# read the same under any name; other formats may be recognised by their ending, or keep facts in
# their names (SRTM's .hgt)
SELF_CONTAINED = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".npy")
VRT = ".vrt"


def is_self_contained(path: str) -> bool:
    """Return whether a file that has no sidecar is read the same under any name."""
    return path.lower().endswith(SELF_CONTAINED)


def together(files: pd.DataFrame) -> Mapping[str, list[str]]:
    """Return the sidecars that may belong to each raster, by the raster's path.

    They are those of its scene, and those of no scene in particular.

    Args:
        files: columns path, role, scene and height, as a manifest has them.
    """
    sidecars = files[files["role"] == "sidecar"]
    if sidecars.empty:
        return {}
    shapefiles = {path[:-4] for path in files["path"] if path.lower().endswith(".shp")}
    shared = [
        path
        for path in sidecars.loc[sidecars["scene"].isna(), "path"]
        if path.rpartition(".")[0] not in shapefiles
    ]
    own = sidecars.dropna(subset=["scene"]).groupby("scene")["path"].agg(list).to_dict()
    rasters = files.loc[files["height"].notna(), ["path", "scene"]]
    found = {
        path: [*own.get(scene, []), *shared]
        for path, scene in zip(rasters["path"], rasters["scene"], strict=True)
    }
    return {path: others for path, others in found.items() if others}


def beside(path: str, paths: Sequence[str]) -> Sequence[str]:
    """Return the other paths that may belong to a raster: its name with another or one more ending.

    Args:
        path: of the raster.
        paths: those to choose from, sorted.
    """
    stem = posixpath.splitext(path)[0]
    # "/" is the character after "."
    start, end = bisect_left(paths, f"{stem}."), bisect_left(paths, f"{stem}/")
    return [other for other in paths[start:end] if other != path and "/" not in other[len(stem) :]]


def link_to(link: Path, target: Path) -> None:
    """Make a symbolic link, replacing one that exists.

    Another thread or process may make the same link at the same time, and an existing one may be
    dangling.

    Never a hard link: it changes the inode's time, by which a landing recognises its files, and a
    landing that was recalled shares its inodes with the workspace. A VRT is copied, as GDAL
    resolves the names in it from the target of a link.
    """
    link.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".link-", dir=link.parent) as folder:
        new = Path(folder, "link")
        if link.suffix.lower() == VRT:
            shutil.copyfile(target, new)
        else:
            new.symlink_to(target.resolve())
        os.replace(new, link)  # noqa: PTH105  atomic
