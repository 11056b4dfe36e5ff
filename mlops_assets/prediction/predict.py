"""A model version run over a whole scene, into a map on the scene's grid.

The map is a Cloud-Optimised GeoTIFF of classes or values, with a picture of it, and on request a
second one of probabilities and their measures. It has the scene's georeference if there is one, and
no data where the scene has none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mlops_assets.datasets.io.rasterio_types import Raster, WritableRaster
from mlops_assets.datasets.io.rasters import open_raster
from mlops_assets.datasets.versions.columns import label_name
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.errors import SpecificationError
from mlops_assets.models.evaluation.calibration import Scores
from mlops_assets.models.onnx.session import OnnxModel
from mlops_assets.models.signing.verify import require_signature
from mlops_assets.names import Reference
from mlops_assets.paths import model_folder, prediction_owner, predictions_folder
from mlops_assets.prediction.bands import Band, Found, Wanted, find_bands
from mlops_assets.prediction.geotiff import (
    Layer,
    MapClass,
    class_layer,
    map_classes,
    number_layer,
    open_layer,
    write_cog,
)
from mlops_assets.prediction.outputs import Output, measure, number_bands
from mlops_assets.prediction.picture import draw
from mlops_assets.prediction.scene import Scene
from mlops_assets.prediction.strips import Strip, pixel_strips, window_strips
from mlops_assets.prediction.windows import Overlap
from mlops_assets.progress import step
from mlops_assets.registry import ModelVersion
from mlops_assets.registry.files.publication import publication
from mlops_assets.registry.files.verified_read import published_path
from mlops_assets.registry.model_documents import Signature
from mlops_assets.storage import FileStat, Workspace, sha256_of
from mlops_assets.storage.scratch import scratch_folder
from mlops_assets.store import Store

if TYPE_CHECKING:
    from mlops_assets.stac.mlm.onnx_graph import OnnxGraph

SCORES = ".scores"  # in the name of the file with the outputs beside the classes


@dataclass(frozen=True)
class Options:
    """Choices for a map.

    Attributes:
        outputs: of the map; classes or values always are.
        by_position: take bands in file order where they cannot be identified.
    """

    outputs: tuple[Output, ...] = ("class",)
    by_position: bool = False


@dataclass(frozen=True)
class Prediction:
    """The map of a scene.

    Attributes:
        raster: the published GeoTIFF of classes or values.
        picture: the published PNG.
        others: further published files: class names for GDAL, and the GeoTIFF of other outputs.
        notes: remarks for people.
        workspace: the workspace that has them.
    """

    raster: FileStat
    picture: FileStat
    others: tuple[FileStat, ...]
    notes: tuple[str, ...]
    workspace: Workspace

    @property
    def files(self) -> tuple[FileStat, ...]:
        """All published files."""
        return (self.raster, self.picture, *self.others)

    @property
    def classes(self) -> NDArray[np.number]:
        """The whole map, (height, width): class values or numbers, and nodata elsewhere."""
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
        digest.update(bytes.fromhex(sha256_of(file)))
    return f"{scene.stem}-{digest.hexdigest()[:8]}"


def predict_scene(
    store: Store, row: ModelVersion, scene: Path, name: str, options: Options | None = None
) -> Prediction:
    """Predict every pixel of a scene that has data and publish the result under `predictions/`.

    A pixel has data where each of the model's bands has: nodata, alpha, masks and NaN hide it.
    Pixels with scores that are not numbers get no class.

    Args:
        store: workspace and registry.
        row: the model version.
        scene: a raster.
        name: name of the map; a map of the same name is replaced.
        options: outputs, and how bands are found.

    Raises:
        SignatureRefused: a signature of the model is required, and none is accepted.
        SpecificationError: the model does not take scenes, or the scene has other bands, no pixel
            with data, or ground control points only.
        ValueError: the scene cannot be read.
    """
    options = options or Options()
    signature = Signature.of(row)
    if signature.view == "image":
        raise SpecificationError(
            f"{row.model}@{row.version} does not predict scenes; it takes whole images"
        )
    require_signature(store, row)
    model_key = f"{model_folder(row.model, row.version)}/model.onnx"
    onnx_file = published_path(store.workspace, store.registry, model_key)
    mapped = _Mapped.of(store, row, onnx_file, options)
    folder = predictions_folder(row.model, row.version)
    with scratch_folder("prediction") as scratch:
        found, present = _write(store, mapped, scene, scratch)
        with step("writing the map"):
            files = [
                file
                for suffix, layer in mapped.layers.items()
                for file in write_cog(
                    scratch / f"plain{suffix}.tif", scratch / f"map{suffix}.tif", layer
                )
            ]
        legend = [entry for entry in mapped.classes if entry.value in present]
        picture = draw(scratch / "map.tif", legend, f"{row.model}@{row.version}, {name}")
        contents: dict[str, Path | bytes] = {
            f"{folder}/{name}{file.name.removeprefix('map')}": file for file in files
        }
        with publication(store.workspace, store.registry) as publishing:
            raster, *others = publishing.put_all(contents)
            png = publishing.put(f"{folder}/{name}.png", picture)
            store.registry.add_files(prediction_owner(row.model, row.version), publishing.files)
    notes = () if found.note is None else (found.note,)
    return Prediction(raster, png, tuple(others), notes, store.workspace)


@dataclass(frozen=True)
class _Mapped:
    """A model version and the layers of its map.

    Attributes:
        row: of the registry.
        signature: of the row.
        onnx_file: local path.
        graph: facts of the file.
        classes: of the map; empty for numbers.
        first: the layer of classes or values.
        scores: kind of the model's scores; None if unknown.
        options: of the map.
    """

    row: ModelVersion
    signature: Signature
    onnx_file: Path
    graph: OnnxGraph
    classes: Sequence[MapClass]
    first: Layer
    scores: Scores | None
    options: Options

    @classmethod
    def of(cls, store: Store, row: ModelVersion, onnx_file: Path, options: Options) -> _Mapped:
        """Return a model version for a map with some outputs.

        Raises:
            SpecificationError: it cannot give them.
        """
        from mlops_assets.stac.mlm.onnx_graph import read_graph

        signature = Signature.of(row)
        graph = read_graph(onnx_file)
        classes = map_classes(signature.classes) if signature.classes else []
        more = [output for output in options.outputs if output != "class"]
        scores: Scores | None = None
        if graph.scores in ("probabilities", "logits"):
            scores = "probabilities" if graph.scores == "probabilities" else "logits"
        if more and (scores is None or not classes):
            reason = "predicts numbers" if not classes else "has no scores that are probabilities"
            raise SpecificationError(
                f"{row.model}@{row.version} {reason}, so a map has no {', '.join(more)}; leave out"
                " --outputs"
            )
        first = class_layer(classes) if classes else _value_layer(store, row)
        return cls(row, signature, onnx_file, graph, classes, first, scores, options)

    @property
    def layers(self) -> dict[str, Layer]:
        """Suffix of the file name → layer."""
        bands = number_bands(self.options.outputs, self.classes)
        return {"": self.first} | ({SCORES: number_layer(bands, "1")} if bands else {})

    @property
    def overlap(self) -> Overlap | None:
        """The overlap of its windows; None if it takes no windows."""
        if self.signature.view != "window":
            return None
        return Overlap.of(self.signature.shape[1], self.graph.reach)

    def strips(self, scene: Scene) -> Iterator[Strip]:
        """Yield the outputs of the model over a scene."""
        model = OnnxModel(self.onnx_file)
        shape = self.signature.shape
        if self.overlap is None:
            return pixel_strips(scene, model, shape, len(self.classes))
        return window_strips(scene, model, shape, self.overlap)


def _value_layer(store: Store, row: ModelVersion) -> Layer:
    """Return the layer of the numbers of a regression model, with their name and unit."""
    committed = _committed(store, row)
    label = label_name(committed.specification.source)
    return number_layer((label,), committed.specification.units.get(label, ""))


def _committed(store: Store, row: ModelVersion) -> CommittedDataset:
    return CommittedDataset.open(
        store.workspace, store.registry, Reference(row.dataset, row.data_version)
    )


def _write(store: Store, mapped: _Mapped, scene: Path, folder: Path) -> tuple[Found, set[int]]:
    """Write the layers of a map as `plain<suffix>.tif`.

    Returns:
        The bands that were read, and the class values in the map.
    """
    with ExitStack() as stack:
        raster = stack.enter_context(open_raster(scene))
        _require_located(raster, scene)
        found = find_bands(raster, scene, _wanted(store, mapped), mapped.options.by_position)
        opened = Scene(raster, found.roles, mapped.signature.apply_scale)
        tags = _tags(mapped, scene)
        written = {
            suffix: stack.enter_context(
                open_layer(folder / f"plain{suffix}.tif", raster, layer, tags)
            )
            for suffix, layer in mapped.layers.items()
        }
        pixels = raster.height * raster.width
        done = stack.enter_context(step(f"predicting {scene.name}", pixels, "pixels"))
        present: set[int] = set()
        with_data = predicted = 0
        for strip in mapped.strips(opened):
            with_data += int(strip.known.sum())
            values, usable = _decided(mapped, strip)
            predicted += int(usable.sum())
            _write_rows(written[""], strip.first, values[None])
            if mapped.classes:
                present |= set(np.unique(values[usable]).tolist())
            if SCORES in written:
                _write_rows(written[SCORES], strip.first, _measured(mapped, strip, usable))
            done.advance(strip.known.size)
    if not predicted:
        reason = (
            "its model gives no number for any pixel"
            if with_data
            else "no pixel has data in all bands of the model (by nodata, masks, alpha and NaN)"
        )
        raise SpecificationError(f"{scene.name} has no map: {reason}; choose another scene")
    return found, present


def _decided(mapped: _Mapped, strip: Strip) -> tuple[NDArray[np.number], NDArray[np.bool_]]:
    """Return the first layer's rows, and which pixels have a value: NaN is not a decision."""
    layer = mapped.first
    usable = strip.known
    rows = np.full(usable.shape, layer.nodata, dtype=layer.dtype)
    if not strip.outputs:
        return rows, usable
    if "value" in strip.outputs:
        values = strip.outputs["value"]
        usable = usable & np.isfinite(values)
        rows[usable] = values[usable]
        return rows, usable
    if "label" in strip.outputs:
        indices = strip.outputs["label"].astype(np.int64)
    else:
        scores = strip.outputs["scores"]
        usable = usable & np.isfinite(scores).all(axis=0)
        indices = scores.argmax(axis=0)
    values = np.array([entry.value for entry in mapped.classes], dtype=layer.dtype)
    rows[usable] = values[indices[usable]]
    return rows, usable


def _measured(mapped: _Mapped, strip: Strip, usable: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the rows of the layer of numbers."""
    layer = mapped.layers[SCORES]
    rows = np.full((len(layer.bands), *usable.shape), np.nan, dtype=np.float32)
    if usable.any() and mapped.scores is not None:
        scores = strip.outputs["scores"].astype(np.float32, copy=False)
        rows[:, usable] = measure(scores[:, usable], mapped.scores, mapped.options.outputs)
    return rows


def _write_rows(raster: WritableRaster, first: int, rows: NDArray[np.number]) -> None:
    from rasterio.windows import Window

    raster.write(rows, window=Window(0, first, rows.shape[2], rows.shape[1]))


def _require_located(raster: Raster, scene: Path) -> None:
    """Refuse ground control points, as a map on the scene's grid would have no place.

    Raises:
        SpecificationError: the scene has them, and nothing else.
    """
    if raster.gcps[0] and raster.transform.is_identity:
        raise SpecificationError(
            f"{scene.name} is located by ground control points only; warp it to a grid first:"
            f" gdalwarp -tps {scene.name} warped.tif"
        )


def _wanted(store: Store, mapped: _Mapped) -> Wanted:
    row, signature = mapped.row, mapped.signature

    def describe() -> list[Band]:
        from mlops_assets.stac.asset_fields import shared_bands

        known = {str(band["name"]): band for band in shared_bands(_committed(store, row))}
        return [_described(name, known.get(name, {})) for name in signature.features]

    return Wanted(
        f"{row.model}@{row.version}", signature.features, signature.source_features, describe
    )


def _described(name: str, fields: dict[str, object]) -> Band:
    common, wavelength = fields.get("eo:common_name"), fields.get("eo:center_wavelength")
    return Band(
        name,
        common if isinstance(common, str) else None,
        float(wavelength) if isinstance(wavelength, int | float) else None,
    )


def _tags(mapped: _Mapped, scene: Path) -> dict[str, str]:
    row = mapped.row
    tags = {
        "MLOPS_MODEL": f"{row.model}@{row.version}",
        "MLOPS_DATA": f"{row.dataset}@{row.data_version}",
        "MLOPS_RUN": row.run_id,
        "MLOPS_MODEL_SHA256": sha256_of(mapped.onnx_file),
        "MLOPS_SOURCE": scene.name,
        "MLOPS_SOURCE_SHA256": sha256_of(scene),
    }
    if mapped.overlap is not None:
        tags["MLOPS_WINDOWS"] = str(mapped.overlap)
    return tags
