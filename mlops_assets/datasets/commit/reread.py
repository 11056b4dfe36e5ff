"""Check before publication that rasters read the same from their stored bytes alone.

Self-contained rasters, which read the same under any name, are not read again.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from mlops_assets.datasets.io.named_files import is_self_contained, link_to, together
from mlops_assets.datasets.io.rasters import open_raster, raster_facts, strips
from mlops_assets.datasets.sources.base import below
from mlops_assets.datasets.sources.snapshot import Landed
from mlops_assets.errors import DataProblems
from mlops_assets.progress import each
from mlops_assets.storage.packs import Place


def require_same_from_stored(landed: Landed, files: pd.DataFrame, dataset: str) -> None:
    """Check that rasters read the same from the stored bytes as from the landing.

    The stored bytes of the files beside a raster are read with it.

    Args:
        landed: what was read.
        files: `FILE_COLUMNS`, sha256, size, href, pack and offset of all files of the version.
        dataset: its name, for the message.

    Raises:
        DataProblems: some raster cannot be read, or gives something else.
    """
    others = together(files)
    rasters = files.loc[files["height"].notna(), "path"]
    wanted = [path for path in rasters if path in others or not is_self_contained(path)]
    wanted = [
        path
        for path in wanted
        if any(own not in landed.facts.index for own in (path, *others.get(path, ())))
    ]
    if not wanted:
        return
    files = files.set_index("path")
    problems = []
    for path in each("reading stored rasters", wanted, "files"):
        with tempfile.TemporaryDirectory(prefix=".stored-", dir=landed.staging) as folder:
            for own in (path, *others.get(path, ())):
                link_to(below(Path(folder), own), _stored(landed, own, files.loc[own]))
            problem = _difference(landed.raster(path), below(Path(folder), path), Path(folder))
        if problem:
            problems.append(
                f"{path}: {problem} when it is read from its stored bytes alone; land all that it"
                " needs beside it, or convert it to one GeoTIFF"
            )
    if problems:
        raise DataProblems(f"landing of {dataset}", problems)


def _stored(landed: Landed, path: str, file: pd.Series) -> Path:
    # a file kept by reference was hashed as it was fetched
    if isinstance(file["href"], str):
        return landed.local(landed.by_path[path])
    place = None if pd.isna(file["pack"]) else Place(file["pack"], int(file["offset"]))
    return landed.workspace.local_object(file["sha256"], int(file["size"]), place)


def _difference(landed: Path, stored: Path, folder: Path) -> str | None:
    try:
        before, now = _content(landed), _content(stored, within=folder)
    except ValueError as error:
        return str(error)
    different = [name for name, value in before.items() if now[name] != value]
    return f"has another {' and '.join(different)}" if different else None


def _content(local: Path, within: Path | None = None) -> Mapping[str, object]:
    """Return all facts of a raster, and a digest of its pixels and masks."""
    with open_raster(local) as raster:
        outside = [
            own
            for own in raster.files
            if within is not None and not Path(own).is_relative_to(within)
        ]
        if outside:
            raise ValueError(f"needs {Path(outside[0]).name} of another folder")
        digest = hashlib.sha256()
        for top, bottom in strips(raster):
            window = ((top, bottom), (0, raster.width))
            digest.update(raster.read(window=window).tobytes())
            digest.update(raster.read_masks(window=window).tobytes())
        return {**raster_facts(raster), "pixels": digest.hexdigest()}
