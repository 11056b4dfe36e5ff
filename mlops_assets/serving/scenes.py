"""A model version run over a whole scene, strip by strip, into a classified map.

The map is a Cloud-Optimised GeoTIFF, with a picture of it. It has the scene's grid, the scene's
georeference if there is one, and no data where the scene has none. Memory grows with the width of a
scene, not with its pixels.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mlops_assets.datasets.io.rasters import (
    BandRoles,
    band_roles,
    open_raster,
    physical_values,
    read_strip,
    require_real,
    strips,
    valid_pixels,
)
from mlops_assets.errors import SpecificationError
from mlops_assets.models.onnx.session import OnnxModel, decide
from mlops_assets.models.signing.verify import require_signature
from mlops_assets.paths import model_folder, prediction_owner, predictions_folder
from mlops_assets.progress import step
from mlops_assets.registry import ModelVersion
from mlops_assets.registry.files.publication import publication
from mlops_assets.registry.files.verified_read import published_path
from mlops_assets.registry.model_documents import OutputClass, Signature, unused_value
from mlops_assets.storage import FileStat, Workspace
from mlops_assets.storage.scratch import scratch_folder
from mlops_assets.store import Store
from mlops_assets.text.figures import drawn
from mlops_assets.text.listing import named
from mlops_assets.text.palette import class_colours

if TYPE_CHECKING:
    from rasterio.io import DatasetReader
    from rasterio.windows import Window

PIXELS_AT_ONCE = 4096  # patches of 200 bands and 5 x 5 pixels then take 80 MB
PICTURE_SIDE = 1000  # pixels of the longer side of the map in a picture


@dataclass(frozen=True)
class Prediction:
    """A classified scene.

    Attributes:
        raster: the published GeoTIFF.
        picture: the published PNG.
        workspace: the workspace that has both.
    """

    raster: FileStat
    picture: FileStat
    workspace: Workspace

    @property
    def classes(self) -> NDArray[np.integer]:
        """The whole map, (height, width): class values, and nodata where the scene has no data."""
        with open_raster(self.workspace.local_path(self.raster.path)) as raster:
            return np.asarray(raster.read(1))


def scene_name(scene: Path) -> str:
    """Return a unique name for a scene's map: the scene's own, with a digest of path and bytes.

    Raises:
        ValueError: the scene cannot be read.
    """
    digest = hashlib.sha256(str(scene.resolve()).encode())
    with open_raster(scene) as raster:
        # with its sidecar files; members of archives and URLs have no file of their own here
        files = [file for file in map(Path, raster.files) if file.is_file()]
    for file in files:
        with file.open("rb") as content:
            digest.update(hashlib.file_digest(content, "sha256").digest())
    return f"{scene.stem}-{digest.hexdigest()[:8]}"


def predict_scene(store: Store, row: ModelVersion, scene: Path, name: str) -> Prediction:
    """Classify every pixel of a scene that has data and publish the result under `predictions/`.

    Pixels without data (nodata, alpha, masks, NaN) get no class, nor do those with scores that are
    not numbers.

    Args:
        store: workspace and registry.
        row: the model version.
        scene: a raster.
        name: name of the map; a map of the same name is replaced.

    Raises:
        SignatureRefused: a signature of the model is required, and none is accepted.
        SpecificationError: the model does not take scenes, or the scene has other bands.
        ValueError: the scene cannot be read.
    """
    signature = Signature.of(row)
    classes = signature.classes
    if signature.view in ("row", "image") or classes is None:
        raise SpecificationError(
            f"{row.model}@{row.version} does not classify scenes; it takes {signature.view}s"
        )
    require_signature(store, row)
    model_key = f"{model_folder(row.model, row.version)}/model.onnx"
    model = OnnxModel(published_path(store.workspace, store.registry, model_key))
    folder = predictions_folder(row.model, row.version)
    title = f"{row.model}@{row.version}, {name}"
    with scratch_folder("prediction") as scratch:
        plain = scratch / "plain.tif"
        path = scratch / "map.tif"
        present = _classify(model, row, classes, scene, plain)
        with step("writing the map"):
            _write_cog(plain, path)
        picture = _picture(path, classes, present, title)
        with publication(store.workspace, store.registry) as publishing:
            tif, png = publishing.put_all(
                {f"{folder}/{name}.tif": path, f"{folder}/{name}.png": picture}
            )
            store.registry.add_files(prediction_owner(row.model, row.version), publishing.files)
    return Prediction(tif, png, store.workspace)


def _classify(
    model: OnnxModel, row: ModelVersion, classes: Sequence[OutputClass], scene: Path, path: Path
) -> set[int]:
    """Write the class values of a scene, strip by strip; return the indices of its classes."""
    signature = Signature.of(row)
    values = np.array([entry.value for entry in classes])
    nodata = unused_value(values.tolist())
    present: set[int] = set()
    with open_raster(scene) as raster:
        require_real(raster)
        roles = _roles(raster, row, scene)
        # rasterio gives the identity where a file has no transform; writing it would make a
        # georeference up
        georeference: dict[str, object] = {}
        if not raster.transform.is_identity:
            georeference["transform"] = raster.transform
        if raster.crs:
            georeference["crs"] = raster.crs
        kind = np.result_type(*(np.min_scalar_type(int(value)) for value in (*values, nodata)))
        profile = {
            "driver": "GTiff",
            "height": raster.height,
            "width": raster.width,
            "count": 1,
            "dtype": kind.name,
            "nodata": nodata,
            **georeference,
        }
        parts = _windows if signature.view == "window" else _pixels
        pixels = raster.height * raster.width
        with (
            open_raster(path, "w", **profile) as written,
            step(f"classifying {scene.name}", pixels, "pixels") as done,
        ):
            for window, decided, known in parts(raster, model, signature, roles):
                present |= set(np.unique(decided[known]).tolist())
                written.write(
                    np.where(known, values[decided], nodata).astype(kind), 1, window=window
                )
                done.advance(decided.size)
            written.update_tags(
                MLOPS_MODEL=f"{row.model}@{row.version}",
                MLOPS_DATA=f"{row.dataset}@{row.data_version}",
                MLOPS_RUN=row.run_id,
            )
            written.write_colormap(1, _colormap(classes, nodata))
    return present


def _roles(raster: DatasetReader, row: ModelVersion, scene: Path) -> BandRoles:
    """Return the scene's bands that the model takes, in its order, counted from 1, and alpha.

    They are found by their names if the scene has them, else by their positions in the data that
    the model was trained on; a scene may also have just these bands. A scene with some band names
    of that data is never read by position. Alpha is not one of them, unless the model's data names
    it.
    """
    signature = Signature.of(row)
    wanted = signature.features
    source = signature.source_features
    numbered = all(re.fullmatch(r"B\d{3}", name) for name in source)
    roles = band_roles(raster, None if numbered else source)
    names: list[str | None] = list(raster.descriptions)
    if all(names.count(name) == 1 for name in wanted):
        return BandRoles(tuple(names.index(name) + 1 for name in wanted), roles.alpha)
    described = [name for name in names if name]
    if {name.casefold() for name in described} & {name.casefold() for name in source}:
        raise SpecificationError(
            f"{scene.name} names its bands {named(described)}, {row.model}@{row.version} takes"
            f" {named(wanted)}; give each band its name in the model, or remove the names if the"
            " bands are in that order"
        )
    if len(roles.measured) == len(source):
        return BandRoles(tuple(roles.measured[source.index(name)] for name in wanted), roles.alpha)
    if len(roles.measured) == len(wanted):
        return roles
    found = f"{len(roles.measured)} bands" + (" and alpha" if roles.alpha else "")
    taken = f"takes {len(wanted)}" + (
        f" of {len(source)}: {named(wanted)}" if wanted != source else ""
    )
    raise SpecificationError(f"{scene.name} has {found}, {row.model}@{row.version} {taken}")


# window, its class indices, and a mask of the pixels that have one
Strip = tuple["Window", NDArray[np.int64], NDArray[np.bool_]]


def _as_trained(
    raster: DatasetReader, signature: Signature, roles: BandRoles, pixels: NDArray[np.generic]
) -> NDArray[np.float32]:
    """Return values of a scene in the units that the model was trained on."""
    if signature.apply_scale:
        return physical_values(raster, pixels, roles.measured)
    return pixels.astype(np.float32)


def _pixels(
    raster: DatasetReader, model: OnnxModel, signature: Signature, roles: BandRoles
) -> Iterator[Strip]:
    """Yield strips of decisions of a model that takes pixels or patches."""
    from rasterio.windows import Window

    size = signature.shape[1] if signature.view == "patch" else 1
    half = size // 2
    height = max(PIXELS_AT_ONCE // raster.width, 1)
    for first, last in strips(raster):
        padded = read_strip(raster, first, last, half, roles.measured)
        window = Window(0, first, raster.width, last - first)
        known = valid_pixels(
            raster, window, roles, padded[:, half : half + last - first, half : half + raster.width]
        )
        decided = np.zeros(known.shape, dtype=np.int64)
        for top in range(0, last - first, height):
            rows = slice(top, top + height)
            part = _as_trained(raster, signature, roles, padded[:, top : top + height + 2 * half])
            around = np.lib.stride_tricks.sliding_window_view(part, (size, size), axis=(1, 2))
            wanted = known[rows].copy()
            X = np.ascontiguousarray(around.transpose(1, 2, 0, 3, 4)[wanted])
            if len(X):
                found = _decided(model, X if signature.view == "patch" else X[:, :, 0, 0])
                decided[rows][wanted], known[rows][wanted] = found
        yield window, decided, known


def _windows(
    raster: DatasetReader, model: OnnxModel, signature: Signature, roles: BandRoles
) -> Iterator[Strip]:
    """Yield windows of decisions of a segmentation model; beyond the edges pixels are mirrored."""
    from rasterio.windows import Window

    size = signature.shape[1]
    for top in range(0, raster.height, size):
        for left in range(0, raster.width, size):
            height = min(size, raster.height - top)
            width = min(size, raster.width - left)
            window = Window(left, top, width, height)
            own = raster.read(list(roles.measured), window=window)
            known = valid_pixels(raster, window, roles, own)
            decided = np.zeros(known.shape, dtype=np.int64)
            if known.any():
                edges = ((0, 0), (0, size - height), (0, size - width))
                padded = np.pad(_as_trained(raster, signature, roles, own), edges, mode="symmetric")
                whole, usable = _decided(model, padded[None])
                decided = whole[0, :height, :width]
                known = known & usable[0, :height, :width]
            yield window, decided, known


def _decided(
    model: OnnxModel, X: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return class indices, and a mask of the valid ones: NaN among scores is not a decision.

    Args:
        model: gives `label` or `scores`.
        X: samples, (n, *sample_shape), raw.

    Returns:
        Both (n,), or (n, height, width).
    """
    outputs = model.predict(X)
    decided = decide(outputs).astype(np.int64, copy=False)
    if "scores" not in outputs:
        return decided, np.ones_like(decided, dtype=bool)
    return decided, np.asarray(np.isfinite(outputs["scores"]).all(axis=1))


def _write_cog(plain: Path, path: Path) -> None:
    from rasterio.shutil import copy

    with open_raster(plain) as raster:
        copy(raster, path, driver="COG", compress="deflate")


def _colours(count: int) -> NDArray[np.uint8]:
    """Return a colour for each class, (count, 4), opaque."""
    return np.array([(*bytes.fromhex(text), 255) for text in class_colours(count)], dtype=np.uint8)


def _colormap(classes: Sequence[OutputClass], nodata: int) -> dict[int, tuple[int, ...]]:
    colours = [tuple(colour) for colour in _colours(len(classes)).tolist()]
    found = {int(entry.value): colour for entry, colour in zip(classes, colours, strict=True)} | {
        nodata: (0,) * 4
    }
    return {value: colour for value, colour in found.items() if 0 <= value < 256}


def _picture(path: Path, classes: Sequence[OutputClass], present: set[int], title: str) -> bytes:
    """Return a map as a PNG with a legend, however large it is."""
    import io

    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    with open_raster(path) as raster:
        shrunk = max(raster.height, raster.width, PICTURE_SIDE) / PICTURE_SIDE
        shape = (max(1, round(raster.height / shrunk)), max(1, round(raster.width / shrunk)))
        values = raster.read(1, out_shape=shape)
    colours = _colours(len(classes))
    pixels = np.zeros((*shape, 4), dtype=np.uint8)  # transparent where there is no class
    for index in present:
        pixels[values == classes[index].value] = colours[index]
    figure = Figure(figsize=(6 * max(shape[1] / shape[0], 0.5) + 2.8, 6), layout="constrained")
    axes = figure.subplots()
    axes.imshow(pixels, interpolation="nearest")
    axes.set(title=drawn(title), xticks=[], yticks=[])
    handles = [
        Patch(color=colours[index] / 255, label=drawn(classes[index].name))
        for index in sorted(present)
    ]
    axes.legend(
        handles=handles, loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8, frameon=False
    )
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100, metadata={"Software": None})
    return buffer.getvalue()
