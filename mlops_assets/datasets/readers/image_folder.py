"""Layout `image_folder`: one file is one sample; its folder is its class.

GeoTIFF, PNG and JPEG through rasterio, NPY through numpy; each file is opened once, and only if it
is new and no GeoTIFF with the same header was opened before.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mlops_assets.datasets.io.geotiff_headers import SimilarGeotiffs, geotiff_header
from mlops_assets.datasets.io.named_files import beside
from mlops_assets.datasets.io.npy import npy_facts, open_npy
from mlops_assets.datasets.io.raster_formats import GEOTIFFS
from mlops_assets.datasets.io.raster_places import georeference
from mlops_assets.datasets.io.rasterio_types import Crs
from mlops_assets.datasets.io.rasters import (
    band_names,
    band_roles,
    dated,
    is_masked,
    open_raster,
    raster_facts,
    require_finite,
    require_real,
    strips,
    valid_pixels,
    value_mask,
)
from mlops_assets.datasets.io.remarks import EMPTY, remark_notes
from mlops_assets.datasets.readers.band_order import alpha_notes, order_bands, repeated_names
from mlops_assets.datasets.readers.scenes.read_samples import read_image
from mlops_assets.datasets.readers.scenes.validation import scale_notes
from mlops_assets.datasets.readers.table_columns import values_by_text
from mlops_assets.datasets.readers.table_roles import texts_of
from mlops_assets.datasets.sources.snapshot import Landed
from mlops_assets.datasets.specification.dataset import DatasetSpecification
from mlops_assets.datasets.specification.source import ImageFolderLayout
from mlops_assets.datasets.versions.contents import (
    FILE_COLUMNS,
    NO_PIXEL,
    ClassName,
    Contents,
    FileRow,
    ascends,
    bands_read,
    file_rows,
    sidecar_rows,
    unknown,
)
from mlops_assets.datasets.versions.manifest import item_id
from mlops_assets.datasets.versions.sample_shape import ImageShape
from mlops_assets.errors import DataProblems, EmptyLanding, SpecificationError
from mlops_assets.progress import step

if TYPE_CHECKING:
    from mlops_assets.datasets.versions.committed_dataset import CommittedDataset

SUFFIXES = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".npy")
THREADS = min(4, os.cpu_count() or 1)  # more threads than cores only wait for each other
_BATCH = 256
_ROWS_AT_ONCE = 1 << 14  # facts that are Python objects at a time


def contents(landed: Landed, specification: DatasetSpecification) -> Contents:
    """Find the images below the folders of their classes; see `Layout.contents`.

    Args:
        landed: the files of the landing.
        specification: the declared dataset, with its image_folder layout.

    Returns:
        One sample an image; bands in one order, by their names where the files have them.

    Raises:
        EmptyLanding: no landed file is an image in such a folder.
        DataProblems: every problem found, each with its file and the remedy.
        StorageError: files cannot be fetched.
    """
    layout = specification.source.image_folder_layout
    paths = pd.Series(landed.files.paths)
    parts = paths.str.extract(_expression(layout.pattern), expand=True)
    ours = (parts["label"].notna() & paths.str.lower().str.endswith(SUFFIXES)).to_numpy()
    if not ours.any():
        raise EmptyLanding(
            f"no image found among {len(landed.files)} landed file(s); images end in"
            f" {', '.join(SUFFIXES)}, under paths like {layout.pattern}"
        )
    images = paths[ours]
    parts = parts[ours].reset_index(drop=True).apply(texts_of)  # accents are written in two ways
    problems: list[str] = []
    names = values_by_text(
        [{"value": v, "name": n} for v, n in (specification.classes or {}).items()]
    )
    if specification.classes:
        problems += [
            f"{label}/: is not a declared class; add it to 'classes' or rename the folder"
            for label in sorted(set(parts["label"].unique()) - set(names))
        ]
    declared = specification.bands.names
    files, sidecars, notes = _facts(landed, images, declared, problems)
    problems += _differences(files, layout)
    if problems:
        raise DataProblems(f"landing of {specification.name}", problems)
    features = _features(files, landed, declared, problems)
    if problems:
        raise DataProblems(f"landing of {specification.name}", problems)
    first = files.iloc[0]
    size = (
        (layout.size, layout.size) if layout.size else (int(first["height"]), int(first["width"]))
    )
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
            "reason": files["remarks"].map(
                lambda remarks: NO_PIXEL if EMPTY in remarks else None, na_action="ignore"
            ),
        }
    )
    if "split" in parts:
        samples["declared_split"] = parts["split"].str.lower()
    classes: list[ClassName] = (
        [{"value": v, "name": n} for v, n in specification.classes.items()]
        if specification.classes
        else [{"value": name, "name": name} for name in sorted(parts["label"].unique())]
    )
    notes += remark_notes(_rows(files[files["remarks"].notna()]))
    if not layout.apply_scale and files[["scales", "offsets"]].notna().any(axis=None):
        notes += scale_notes(_rows(files))
    return Contents(
        samples=samples,
        files=pd.concat([files, file_rows(sidecars)]) if sidecars else files,
        classes=classes,
        features=features,
        input=ImageShape(height=size[0], width=size[1]),
        notes=notes,
    )


def read(
    committed: CommittedDataset, path: str, places: NDArray[np.int64], view: str
) -> NDArray[np.generic]:
    """Read a whole image; see `Layout.read`.

    Args:
        committed: the data version.
        path: landed path of the image.
        places: int64 of shape (n, 2); the image is repeated n times.
        view: always `image`.

    Returns:
        Shape (n, bands, height, width): the type of the file, or float32 in physical units.

    Raises:
        ValueError: the file cannot be read.
        StorageError: the file cannot be fetched.
    """
    image = fitted(_pixels(committed, path), *committed.document.input.sides)
    return np.repeat(image[None], len(places), axis=0)


def read_mask(
    committed: CommittedDataset, path: str, places: NDArray[np.int64], view: str
) -> NDArray[np.bool_]:
    """Read which values of an image are valid; see `Layout.read_mask`.

    Args:
        committed: the data version.
        path: landed path of the image.
        places: int64 of shape (n, 2); the mask is repeated n times.
        view: always `image`.

    Returns:
        Bool of shape (n, bands, height, width), true where a value is valid; all of an NPY file.

    Raises:
        ValueError: the file cannot be read.
        StorageError: the file cannot be fetched.
    """
    image = fitted(_pixels(committed, path, mask=True), *committed.document.input.sides)
    return np.repeat(image[None], len(places), axis=0)


def read_labels(
    committed: CommittedDataset, path: str, places: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Refuse: whole images have one label each, see `Layout.read_labels`.

    Args:
        committed: the data version.
        path: landed path of the image.
        places: int64 of shape (n, 2).

    Raises:
        SpecificationError: always.
    """
    raise SpecificationError(
        f"{committed.reference} has one label an image; they are in the samples"
    )


@dataclass(frozen=True)
class ImageFile:
    """One image.

    Attributes:
        facts: its manifest row.
        opened: the files that GDAL reads, its own first; none for NPY.
        alpha: number of a band that is alpha and not a feature, counted from 1.
        crs: CRS of its georeference.
    """

    facts: FileRow
    opened: list[str]
    alpha: int | None = None
    crs: Crs | None = None


def image_facts(local: Path, path: str, names: Sequence[str] | None = None) -> ImageFile:
    """Read a whole image once and return its manifest row.

    Args:
        local: local path of the file.
        path: its landed path.
        names: declared names of its bands.

    Raises:
        ValueError: it cannot be read, is truncated, or its values are not those of an image.
    """
    if path.lower().endswith(".npy"):
        return ImageFile(
            {"path": path, "role": "image", "band_names": None, "bands": None, **npy_facts(local)},
            [],
        )
    with open_raster(local) as raster:
        require_real(raster)
        roles = band_roles(raster, names)
        masked = is_masked(raster, roles)
        empty = True
        # a truncated file opens without an error and fails only when its pixels are read
        for top, bottom in strips(raster):
            window = ((top, bottom), (0, raster.width))
            pixels = raster.read(list(roles.measured), window=window)
            if pixels.dtype.kind == "f":
                require_finite(pixels, raster.nodata, value_mask(raster, window, roles, pixels))
            empty = empty and masked and not valid_pixels(raster, window, roles, pixels).any()
        if len(set(raster.dtypes)) > 1:
            raise ValueError(
                f"has bands of several types ({', '.join(raster.dtypes)}); convert them to one"
            )
        alpha = None if roles.alpha in roles.measured else roles.alpha
        facts: FileRow = {"path": path, "role": "image", **raster_facts(raster, roles)}
        if empty:
            facts["remarks"] = [EMPTY, *(facts["remarks"] or [])]
        return ImageFile(facts, raster.files, alpha, georeference(raster))


def _similar_image(
    local: Path, path: str, names: Sequence[str] | None, similar: SimilarGeotiffs
) -> ImageFile:
    """Return the manifest row of an image, if possible by that of a similar one.

    Args:
        local: local path of the file.
        path: its landed path.
        names: declared names of its bands.
        similar: the GeoTIFFs that were opened, to which this one is added.

    Raises:
        ValueError: it cannot be read, is truncated, or its values are not those of an image.
    """
    header = geotiff_header(local) if path.lower().endswith(GEOTIFFS) else None
    if header is None:
        return image_facts(local, path, names)
    facts = similar.facts(header)
    if facts is not None:
        return ImageFile({**facts, "path": path}, [str(local)])
    image = image_facts(local, path, names)
    if image.opened == [str(local)]:
        similar.remember(header, image.facts, image.crs)
    return image


def fitted(image: NDArray[np.generic], height: int, width: int) -> NDArray[np.generic]:
    """Cut an image to a size around its centre; a smaller one is mirrored outwards.

    Args:
        image: shape (bands, rows, columns).
        height: rows wanted.
        width: columns wanted.

    Returns:
        Shape (bands, height, width) of the same type.
    """
    for axis, size in ((1, height), (2, width)):
        spare = image.shape[axis] - size
        if spare > 0:
            image = np.take(image, range(spare // 2, spare // 2 + size), axis=axis)
        elif spare < 0:
            padding = [(0, 0), (0, 0), (0, 0)]
            padding[axis] = (-spare // 2, -spare - -spare // 2)
            image = np.pad(image, padding, mode="symmetric")
    return image


def _bands(local: Path, path: str, names: Sequence[str] | None) -> list[str]:
    if path.lower().endswith(".npy"):
        return [f"B{i:03d}" for i in range(1, len(open_npy(local)) + 1)]
    with open_raster(local) as raster:
        return band_names(raster, band_roles(raster, names))


def _pixels(committed: CommittedDataset, path: str, mask: bool = False) -> NDArray[np.generic]:
    if path.lower().endswith(".npy"):
        array = committed.npy(path)
        whole = np.asarray(array, dtype=array.dtype.newbyteorder("="))  # what torch takes
        return np.ones_like(whole, dtype=bool) if mask else whole
    return read_image(
        committed.raster_path(path), committed.bands(path), "mask" if mask else committed.reading
    )


def _expression(pattern: str) -> str:
    """Return a pattern of paths as a regular expression with its parts as named groups."""
    expression = ""
    for part in re.split(r"(\{[a-z]+\}|\*)", pattern):
        if part.startswith("{"):
            expression += f"(?P<{part[1:-1]}>[^/]+?)"
        elif part == "*":
            expression += "[^/]*"
        else:
            expression += re.escape(part)
    return f"^{expression}$"


def _facts(
    landed: Landed, paths: pd.Series, names: Sequence[str] | None, problems: list[str]
) -> tuple[pd.DataFrame, list[FileRow], list[str]]:
    """Return the rows of all images that could be read, by path, and of their sidecars; and notes.

    Only new images are opened, and those that may have got a sidecar.
    """
    listed = landed.files
    facts = landed.facts.reset_index().reindex(columns=FILE_COLUMNS)
    known = paths[_is_known(landed, paths, facts["path"])]
    old = facts if len(known) == len(facts) else facts[_is_in(facts["path"], known)]
    new = paths.index.difference(known.index).tolist()  # positions in the listing
    if landed.landing.copies:
        landed.fetch_all([listed[position] for position in new])

    parts = [old]
    rows: list[FileRow] = []
    sidecars: list[FileRow] = []
    alpha: list[tuple[str, int]] = []
    similar = SimilarGeotiffs()
    size = sum(listed.sizes[position] for position in new)
    with (
        step("reading images", len(new), "files", size) as done,
        ThreadPoolExecutor(THREADS) as pool,
    ):

        def read_batch(batch: Sequence[int]) -> list[tuple[ImageFile, list[str]] | str]:
            found: list[tuple[ImageFile, list[str]] | str] = []
            for position in batch:
                path = listed.paths[position]
                try:
                    local = landed.raster(path)
                    image = _similar_image(local, path, names, similar)
                    found.append((image, landed.sidecars(path, image.opened)))
                except ValueError as error:
                    found.append(f"{path}: {error}")
                done.advance(size=listed.sizes[position])
            return found

        batches = [new[i : i + _BATCH] for i in range(0, len(new), _BATCH)]
        for batch in pool.map(read_batch, batches):
            images = [found for found in batch if not isinstance(found, str)]
            problems += [found for found in batch if isinstance(found, str)]
            for image, others in images:
                if others:  # what belongs together is a scene
                    image.facts["scene"] = item_id(image.facts["path"])
                    sidecars += [{"path": own, "scene": image.facts["scene"]} for own in others]
                if image.alpha is not None:
                    alpha.append((image.facts["path"], image.alpha))
            rows += [image.facts for image, _ in images]
            if len(rows) >= _ROWS_AT_ONCE:
                parts.append(file_rows(rows).dropna(axis="columns", how="all"))
                rows.clear()
    parts.append(file_rows(rows).dropna(axis="columns", how="all"))
    theirs = facts[(facts["role"] == "sidecar") & facts["scene"].isin(old["scene"].dropna())]
    sidecars += [
        {"path": own, "scene": scene}
        for own, scene in zip(theirs["path"], theirs["scene"], strict=True)
    ]
    every = pd.concat([part for part in parts if len(part)] or [old], ignore_index=True)
    every = every.reindex(columns=FILE_COLUMNS)
    if not ascends(every["path"]):
        every = every.sort_values("path", ignore_index=True)
    for name in every.columns[every.isna().all()]:
        every[name] = unknown(len(every))
    return every, sidecar_rows(sidecars, every["path"]), alpha_notes(alpha)


def _is_known(landed: Landed, paths: pd.Series, before: pd.Series) -> NDArray[np.bool_]:
    """Return which images need not be opened again: those with facts, and without a new sidecar."""
    known = _is_in(paths, before)
    if not known.any():
        return known
    listed = pd.Series(landed.files.paths)
    others = set(listed[~(_is_in(listed, paths) | _is_in(listed, before))])
    if others:
        known &= [others.isdisjoint(beside(path, landed.files.paths)) for path in paths]
    return known


def _is_in(texts: pd.Series, found: pd.Series) -> NDArray[np.bool_]:
    """Return which texts are among others; pandas' own `isin` takes 10 µs a text."""
    among = pa.array(found.astype("str"))
    return np.asarray(pc.is_in(pa.array(texts.astype("str")), value_set=among))


def _centres(boxes: pd.Series) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return longitude and latitude of the centres of boxes, NaN where there is no box.

    A box is (west, south, east, north).
    """
    middle = np.full((len(boxes), 2), np.nan)
    known = boxes.notna().to_numpy()
    if known.any():
        west, south, east, north = np.array(boxes[known].tolist(), dtype=np.float64).T
        longitude = (west + np.where(east < west, east + 360, east)) / 2  # across the antimeridian
        middle[known] = np.column_stack([(longitude + 180) % 360 - 180, (south + north) / 2])
    return middle[:, 0], middle[:, 1]


def _differences(files: pd.DataFrame, layout: ImageFolderLayout) -> list[str]:
    columns = ["count", "dtype"] if layout.size else ["count", "dtype", "height", "width"]
    kinds = (
        files.groupby(columns, dropna=False)["path"]
        .agg(["size", "first"])
        .sort_values("size", ascending=False)
    )
    if len(kinds) < 2:
        return []
    usual = kinds.index[0]
    only_sizes = len({kind[:2] for kind in kinds.index}) == 1
    remedy = (
        "convert them, or declare 'image_folder: {size: PIXELS}'"
        if only_sizes
        else "convert them to one kind"
    )
    return [
        f"{row['first']}: {', '.join(f'{c} {v}' for c, v in zip(columns, kind, strict=True))}"
        f" ({row['size']} file(s)), but {kinds.iloc[0]['size']} have {', '.join(map(str, usual))};"
        f" {remedy}"
        for kind, row in zip(
            kinds.index[1:21].tolist(), kinds.iloc[1:21].to_dict(orient="records"), strict=True
        )
    ]


def _features(
    files: pd.DataFrame, landed: Landed, declared: Sequence[str] | None, problems: list[str]
) -> list[str]:
    """Return the names of the bands, and bring those of all files into one order."""
    first = files.iloc[0].to_dict()
    if declared is not None and len(declared) != len(bands_read(first)):
        problems.append(
            f"bands.names has {len(declared)} entries, {first['path']} has {len(bands_read(first))}"
            " bands"
        )
        return []
    if files["band_names"].isna().all():
        found = list(declared or _bands(landed.raster(first["path"]), first["path"], declared))
        problems += repeated_names(first["path"], found)
        return found
    rows = _rows(files)
    features, found = order_bands(
        rows, next(row["band_names"] for row in rows if row["band_names"]), declared
    )
    problems += found
    files["bands"] = pd.Series([row["bands"] for row in rows], index=files.index, dtype=object)
    return features


def _rows(files: pd.DataFrame) -> list[FileRow]:
    """Return the columns of rows that describe bands, and remarks, with None where unknown."""
    columns = ["path", "part", "count", "band_names", "bands", "scales", "offsets", "remarks"]
    found = [
        {
            name: value if isinstance(value, str | int | list) else None
            for name, value in row.items()
        }
        for row in files[columns].astype(object).to_dict("records")
    ]
    return cast("list[FileRow]", found)
