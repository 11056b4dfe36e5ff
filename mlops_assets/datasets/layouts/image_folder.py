"""Layout `image_folder`: one file is one sample; its folder is its class.

GeoTIFF, PNG and JPEG through rasterio, NPY through numpy; each file is opened once, and only if it is new.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops_assets.datasets.arrays import npy_facts, open_npy
from mlops_assets.datasets.contents import FILE_COLUMNS, ClassName, Contents, file_rows
from mlops_assets.datasets.landed import Landed
from mlops_assets.datasets.landings.base import LandedFile
from mlops_assets.datasets.rasters import band_names, dated, open_raster, raster_facts, require_finite, strips
from mlops_assets.datasets.source import ImageFolderLayout
from mlops_assets.datasets.specification import DatasetSpecification
from mlops_assets.errors import DataProblems, EmptyLanding, SpecificationError
from mlops_assets.progress import step

if TYPE_CHECKING:
    from mlops_assets.datasets.versions import FrozenDataset

SUFFIXES = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".npy")
THREADS = 4
_BATCH = 256


def contents(landed: Landed, specification: DatasetSpecification) -> Contents:
    """See `Layout.contents`."""
    layout = specification.source.image_folder_layout
    paths = pd.Series([file.path for file in landed.files])
    parts = paths.str.extract(_expression(layout.pattern), expand=True)
    ours = (parts["label"].notna() & paths.str.lower().str.endswith(SUFFIXES)).to_numpy()
    if not ours.any():
        raise EmptyLanding(
            f"no image found among {len(landed.files)} landed file(s); images end in {', '.join(SUFFIXES)} and lie as "
            f"{layout.pattern}"
        )
    images = [file for file, is_ours in zip(landed.files, ours, strict=True) if is_ours]
    parts = parts[ours].reset_index(drop=True)
    problems: list[str] = []
    names = {str(v): str(v) for v in specification.classes or {}}
    names |= {name: str(value) for value, name in (specification.classes or {}).items()}
    if specification.classes:
        problems += [
            f"{label}/: is no declared class; add it to 'classes' or rename the folder"
            for label in sorted(set(parts["label"].unique()) - set(names))
        ]
    files = _facts(landed, images, problems)
    problems += _differences(files, layout)
    if problems:
        raise DataProblems(f"landing of {specification.name}", problems)
    first = files.iloc[0]
    size = (layout.size, layout.size) if layout.size else (int(first["height"]), int(first["width"]))
    if layout.date:
        files["datetime"] = [
            dated(path, layout.date) if pd.isna(when) else when
            for path, when in zip(files["path"], files["datetime"], strict=True)
        ]
    longitude, latitude = _centres(files["bbox"])
    samples = pd.DataFrame(
        {
            "path": files["path"],
            "row": 0,
            "column": 0,
            "label": parts["label"].map(names) if specification.classes else parts["label"],
            "group": parts.get("group"),
            "longitude": longitude,
            "latitude": latitude,
            "time": files["datetime"],
        }
    )
    if "split" in parts:
        samples["declared_split"] = parts["split"].str.lower()
    classes: list[ClassName] = (
        [{"value": v, "name": n} for v, n in specification.classes.items()]
        if specification.classes
        else [{"value": name, "name": name} for name in sorted(parts["label"].unique())]
    )
    return Contents(
        samples=samples,
        files=files,
        classes=classes,
        features=_features(specification, landed, images[0]),
        input={"kind": "image", "height": size[0], "width": size[1]},
    )


def read(frozen: FrozenDataset, path: str, places: NDArray[np.int64], view: str) -> NDArray[Any]:
    """See `Layout.read`."""
    shape = frozen.document["input"]
    image = fitted(_pixels(frozen.local_path(path), path), shape["height"], shape["width"])
    return np.repeat(image[None], len(places), axis=0)


def read_labels(frozen: FrozenDataset, path: str, places: NDArray[np.int64]) -> NDArray[np.int64]:
    """Whole images have one label each.

    Raises:
        SpecificationError: always.
    """
    raise SpecificationError(f"{frozen.reference} has one label an image; they are in the samples")


def image_facts(local: Path, path: str) -> dict[str, Any]:
    """Read a whole image and return its facts, as a manifest row has them.

    Raises:
        ValueError: it cannot be read, is truncated, or holds what is no image.
    """
    if path.lower().endswith(".npy"):
        return {"path": path, "role": "image", **npy_facts(local)}
    with open_raster(local) as raster:
        for top, bottom in strips(raster):  # a truncated file opens well and fails only here
            require_finite(raster.read(window=((top, bottom), (0, raster.width))), raster.nodata)
        if len(set(raster.dtypes)) > 1:
            raise ValueError(f"has bands of several types ({', '.join(raster.dtypes)}); convert them to one")
        return {"path": path, "role": "image", **raster_facts(raster)}


def fitted(image: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """Cut an image (bands, rows, columns) to a size around its centre; one that is smaller is mirrored outwards."""
    for axis, size in ((1, height), (2, width)):
        spare = image.shape[axis] - size
        if spare > 0:
            image = np.take(image, range(spare // 2, spare // 2 + size), axis=axis)
        elif spare < 0:
            padding = [(0, 0), (0, 0), (0, 0)]
            padding[axis] = (-spare // 2, -spare - -spare // 2)
            image = np.pad(image, padding, mode="symmetric")
    return image


def _bands(local: Path, path: str) -> list[str]:
    if path.lower().endswith(".npy"):
        return [f"B{i:03d}" for i in range(1, len(open_npy(local)) + 1)]
    with open_raster(local) as raster:
        return band_names(raster)


def _pixels(local: Path, path: str) -> NDArray[Any]:
    if path.lower().endswith(".npy"):
        array = open_npy(local)
        return np.asarray(array, dtype=array.dtype.newbyteorder("="))  # what torch takes
    with open_raster(local) as raster:
        return np.asarray(raster.read())


def _expression(pattern: str) -> str:
    """A pattern of paths as a regular expression with its parts as named groups."""
    parts = re.split(r"(\{[a-z]+\}|\*)", pattern)
    inner = (f"(?P<{p[1:-1]}>[^/]+?)" if p.startswith("{") else "[^/]*" if p == "*" else re.escape(p) for p in parts)
    return f"^{''.join(inner)}$"


def _facts(landed: Landed, files: Sequence[LandedFile], problems: list[str]) -> pd.DataFrame:
    """Return the facts of all files that could be read, by path; only new files are opened."""
    new = [file for file in files if file.path not in landed.facts.index]
    landed.fetch_all(new)

    parts: list[pd.DataFrame] = []
    size = sum(file.size for file in new)
    with step("reading images", len(new), "files", size) as done, ThreadPoolExecutor(THREADS) as pool:

        def look(batch: Sequence[LandedFile]) -> list[dict[str, Any] | str]:
            found: list[dict[str, Any] | str] = []
            for file in batch:
                try:
                    found.append(image_facts(landed.local(file), file.path))
                except ValueError as error:
                    found.append(f"{file.path}: {error}")
                done.advance(size=file.size)
            return found

        for batch in pool.map(look, [new[i : i + _BATCH] for i in range(0, len(new), _BATCH)]):
            parts.append(file_rows([found for found in batch if isinstance(found, dict)]))
            problems += [found for found in batch if isinstance(found, str)]
    old = landed.facts.reset_index().reindex(columns=FILE_COLUMNS)
    ours = {file.path for file in files}  # not pandas' isin, which takes 10 µs a text
    old = old.loc[[path in ours for path in old["path"].tolist()]]
    parts = [part for part in [old, *parts] if len(part)] or [old]
    return pd.concat(parts).sort_values("path", ignore_index=True)


def _centres(boxes: pd.Series) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Longitude and latitude of the middle of boxes (west, south, east, north), NaN where there is none."""
    middle = np.full((len(boxes), 2), np.nan)
    known = boxes.notna().to_numpy()
    if known.any():
        west, south, east, north = np.array(boxes[known].tolist(), dtype=np.float64).T
        longitude = (west + np.where(east < west, east + 360, east)) / 2  # across the antimeridian
        middle[known] = np.column_stack([(longitude + 180) % 360 - 180, (south + north) / 2])
    return middle[:, 0], middle[:, 1]


def _differences(files: pd.DataFrame, layout: ImageFolderLayout) -> list[str]:
    columns = ["count", "dtype"] if layout.size else ["count", "dtype", "height", "width"]
    kinds = files.groupby(columns, dropna=False)["path"].agg(["size", "first"]).sort_values("size", ascending=False)
    if len(kinds) < 2:
        return []
    usual = kinds.index[0]
    remedy = "convert them to one kind" if layout.size else "convert them, or declare 'image_folder: {size: PIXELS}'"
    return [
        f"{row['first']}: {', '.join(f'{c} {v}' for c, v in zip(columns, kind, strict=True))} ({row['size']} file(s)), "
        f"but {kinds.iloc[0]['size']} have {', '.join(map(str, usual))}; {remedy}"
        for kind, row in zip(kinds.index[1:21].tolist(), kinds.iloc[1:21].to_dict(orient="records"), strict=True)
    ]


def _features(specification: DatasetSpecification, landed: Landed, first: LandedFile) -> list[str]:
    found = _bands(landed.local(first), first.path)
    declared = specification.bands.names
    if declared is not None and len(declared) != len(found):
        raise DataProblems(
            f"landing of {specification.name}",
            [f"bands.names has {len(declared)} entries, {first.path} has {len(found)} bands"],
        )
    return list(declared or found)
