"""A model version run over a whole scene, strip by strip, into a classified Cloud-Optimised GeoTIFF and a picture.

The output has the scene's grid and georeference; where the scene has none, neither has the output.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlops_assets.datasets.rasters import open_raster, read_strip
from mlops_assets.datasets.scaling import named
from mlops_assets.errors import SpecificationError
from mlops_assets.progress import step
from mlops_assets.registry import ModelVersion
from mlops_assets.storage import FileStat
from mlops_assets.training.onnx_model import OnnxModel, decide
from mlops_assets.training.store import Store, model_folder, published_path

PIXELS_AT_ONCE = 4096  # patches of 200 bands and 5 x 5 pixels then take 80 MB


@dataclass(frozen=True)
class Prediction:
    """A classified scene: the published GeoTIFF and picture, and the map itself (height, width) with class values."""

    raster: FileStat
    picture: FileStat
    classes: NDArray[Any]


def predict_scene(store: Store, row: ModelVersion, scene: Path, name: str) -> Prediction:
    """Classify every pixel of a scene and publish the result under `predictions/`.

    Raises:
        SpecificationError: the model does not take scenes, or the scene has other bands.
        ValueError: the scene cannot be read.
    """
    signature = row.signature
    if signature["view"] in ("row", "image") or signature["classes"] is None:
        raise SpecificationError(f"{row.model}@{row.version} does not classify scenes; it takes {signature['view']}s")
    model = OnnxModel(published_path(store, f"{model_folder(row)}/model.onnx"))
    values = np.array([entry["value"] for entry in signature["classes"]])
    with open_raster(scene) as raster:
        bands = _bands(raster, row, scene)
        indices = np.empty((raster.height, raster.width), dtype=np.int64)
        strips = _windows if signature["view"] == "window" else _pixels
        with step(f"classifying {scene.name}", indices.size, "pixels") as done:
            for rows, columns, decided in strips(raster, model, signature, bands):
                indices[rows, columns] = decided
                done.advance(decided.size)
        # rasterio gives the identity where a file has no transform; writing it would make a georeference up
        georeference = {} if raster.transform.is_identity else {"transform": raster.transform}
        georeference |= {"crs": raster.crs} if raster.crs else {}
    classes = values[indices].astype(np.result_type(*(np.min_scalar_type(int(value)) for value in values)))
    folder = f"predictions/{row.model}/{row.version}"
    writing = step("writing the map")
    with writing, tempfile.TemporaryDirectory(prefix="mlops-prediction-") as scratch:
        _write_cog(Path(scratch) / "map.tif", classes, georeference, row)
        tif = store.workspace.put(f"{folder}/{name}.tif", Path(scratch) / "map.tif")
    png = store.workspace.put(
        f"{folder}/{name}.png", _picture(indices, signature, f"{row.model}@{row.version}, {name}")
    )
    store.registry.add_files(f"prediction:{row.model}@{row.version}", [tif, png])
    return Prediction(tif, png, classes)


def _bands(raster: Any, row: ModelVersion, scene: Path) -> list[int]:
    """Return the scene's bands that the model takes, in its order, counted from 1.

    They are found by their names if the scene has them, else by their places in the data it was trained on; a scene
    may also have just these bands.
    """
    wanted: list[str] = row.signature["features"]
    source: list[str] = row.signature.get("source_features", wanted)
    names = list(raster.descriptions)
    if all(names.count(name) == 1 for name in wanted):
        return [names.index(name) + 1 for name in wanted]
    if raster.count == len(source):
        return [source.index(name) + 1 for name in wanted] if wanted != source else list(range(1, raster.count + 1))
    if raster.count == len(wanted):
        return list(range(1, raster.count + 1))
    taken = f"takes {len(wanted)}" + (f" of {len(source)}: {named(wanted)}" if wanted != source else "")
    raise SpecificationError(f"{scene.name} has {raster.count} bands, {row.model}@{row.version} {taken}")


def _pixels(
    raster: Any, model: OnnxModel, signature: dict[str, Any], bands: Sequence[int]
) -> Iterator[tuple[slice, slice, NDArray[Any]]]:
    """Yield strips of decisions of a model that takes pixels or patches."""
    size = signature["shape"][1] if signature["view"] == "patch" else 1
    half, height = size // 2, max(PIXELS_AT_ONCE // raster.width, 1)
    for top in range(0, raster.height, height):
        bottom = min(top + height, raster.height)
        padded = read_strip(raster, top, bottom, half, bands).astype(np.float32)
        patches = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(1, 2))
        patches = np.ascontiguousarray(patches.transpose(1, 2, 0, 3, 4)).reshape(-1, len(bands), size, size)
        decided = decide(model.predict(patches if signature["view"] == "patch" else patches[:, :, 0, 0]))
        yield slice(top, bottom), slice(None), decided.reshape(bottom - top, raster.width)


def _windows(
    raster: Any, model: OnnxModel, signature: dict[str, Any], bands: Sequence[int]
) -> Iterator[tuple[slice, slice, NDArray[Any]]]:
    """Yield windows of decisions of a segmentation model; beyond the edges pixels are mirrored."""
    from rasterio.windows import Window

    size = signature["shape"][1]
    for top in range(0, raster.height, size):
        for left in range(0, raster.width, size):
            height, width = min(size, raster.height - top), min(size, raster.width - left)
            window = raster.read(bands, window=Window(left, top, width, height)).astype(np.float32)
            padded = np.pad(window, ((0, 0), (0, size - height), (0, size - width)), mode="symmetric")
            decided = decide(model.predict(padded[None]))[0, :height, :width]
            yield slice(top, top + height), slice(left, left + width), decided


def _write_cog(path: Path, classes: NDArray[Any], georeference: dict[str, Any], row: ModelVersion) -> None:
    from rasterio.shutil import copy

    plain = path.with_name("plain.tif")
    height, width = classes.shape
    with open_raster(
        plain, "w", driver="GTiff", height=height, width=width, count=1, dtype=classes.dtype.name,
        **georeference,
    ) as raster:  # fmt: skip
        raster.write(classes, 1)
        raster.update_tags(
            **{"MLOPS_MODEL": f"{row.model}@{row.version}", "MLOPS_DATA": f"{row.dataset}@{row.data_version}",
               "MLOPS_RUN": row.run_id}
        )  # fmt: skip
        raster.write_colormap(1, _colormap(row.signature["classes"]))
    with open_raster(plain) as raster:
        copy(raster, path, driver="COG", compress="deflate")


def _colours(count: int) -> NDArray[np.float64]:
    from matplotlib import colormaps

    names = ["tab20", "tab20b", "tab20c"]
    wheel = np.concatenate([colormaps[name](np.linspace(0, 1, 20)) for name in names])
    return np.asarray(wheel[np.arange(count) % len(wheel)])


def _colormap(classes: list[dict[str, Any]]) -> dict[int, tuple[int, ...]]:
    colours = (_colours(len(classes)) * 255).astype(int)
    return {int(entry["value"]): tuple(colour) for entry, colour in zip(classes, colours.tolist(), strict=True)
            if 0 <= int(entry["value"]) < 256}  # fmt: skip


def _picture(indices: NDArray[np.int64], signature: dict[str, Any], title: str) -> bytes:
    """Return the map as a PNG with a legend."""
    import io

    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    colours = _colours(len(signature["classes"]))
    height, width = indices.shape
    figure = Figure(figsize=(6 * max(width / height, 0.5) + 2.8, 6), layout="constrained")
    axes = figure.subplots()
    axes.imshow(colours[indices], interpolation="nearest")
    axes.set(title=title, xticks=[], yticks=[])
    present = set(np.unique(indices).tolist())
    handles = [
        Patch(color=colours[i], label=entry["name"]) for i, entry in enumerate(signature["classes"]) if i in present
    ]
    axes.legend(handles=handles, loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8, frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100, metadata={"Software": None})
    return buffer.getvalue()
