"""Maps of single images for those who ask for one: one GeoTIFF, and nothing is published.

They are made as those of `predict` are; what is unfinished is kept beside the result, not in the
workspace.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mlops_assets.datasets.io.rasters import open_raster
from mlops_assets.errors import Conflict, NoScenes
from mlops_assets.prediction.assemble import join_parts
from mlops_assets.prediction.job import MapJob
from mlops_assets.prediction.mapped import APPLICABILITY
from mlops_assets.prediction.maps.geotiff import Layer, MapGrid, open_layer, write_cog, write_rows
from mlops_assets.prediction.opened import OpenedJob
from mlops_assets.prediction.predict import predict_scenes
from mlops_assets.prediction.scenes.found import FoundScene
from mlops_assets.prediction.scenes.reading import Reading
from mlops_assets.prediction.scenes.sources.files import CallerLimits, Own, read_document
from mlops_assets.prediction.scenes.sources.items import is_raster, scene_of_item
from mlops_assets.registry import ModelVersion
from mlops_assets.storage import Workspace
from mlops_assets.store import Store

_ROWS = 256  # copied at once
# whole numbers beyond are not exact as float32
_EXACT = 1 << 24


@dataclass(frozen=True)
class Image:
    """An image of a caller of a server.

    Attributes:
        scene: its GeoTIFF or STAC Item.
        by_position: take bands in file order where they cannot be identified.
        limits: of its files.
    """

    scene: FoundScene
    limits: CallerLimits
    by_position: bool = False


def find_image(store: Store, url: str, limits: CallerLimits) -> FoundScene:
    """Return the scene of a URL that a caller of a server has named.

    Args:
        store: workspace and registry.
        url: http or https, of a STAC Item or a raster.
        limits: of its files.

    Raises:
        NoScenes: it is neither.
        SpecificationError: an asset of the Item is a file of this machine.
        StorageError: it cannot be read, or is in a network that is not public.
    """
    from mlops_assets.datasets.sources.stac.crawler import MAX_DOCUMENT, items_of

    own = Own(url, store.workspace.url, limits)
    if is_raster(url):
        return FoundScene("image", url)
    items = items_of(read_document(url, own, MAX_DOCUMENT), url)
    if len(items) != 1:
        raise NoScenes(
            f"{url} is not a STAC Item; name one, or a GeoTIFF, whose URL ends with .tif"
        )
    return replace(scene_of_item(items[0], url, own), name="image")


def map_image(
    store: Store, row: ModelVersion, sha256: str, image: Image, folder: Path
) -> tuple[Path, Sequence[str]]:
    """Map an image by a model version.

    The map is one Cloud-Optimised GeoTIFF with the bands `class`, or the name of the number that
    the model predicts, and `di` and `aoa` where the model's applicability is known. With these,
    all bands are floating-point, and NaN where there is no data.

    Args:
        store: workspace and registry.
        row: the model version.
        sha256: of the ONNX file that is served.
        image: to be mapped.
        folder: an empty folder for the map and for what is unfinished.

    Returns:
        The map, and remarks for people.

    Raises:
        BrokenScene: the image cannot be read, is too large, or lacks what the model takes.
        Conflict: the model version has another ONNX file now.
        SignatureRefused: a signature of the model is required, and none is accepted.
        SpecificationError: the model does not take images, or no pixel has data.
    """
    job = MapJob(
        image.scene.name,
        row.model,
        row.version,
        (image.scene,),
        reading=Reading(by_position=image.by_position),
    )
    unfinished = Workspace((folder / "parts").as_uri())
    opened = replace(OpenedJob.of(store, job), caller=image.limits, unfinished=unfinished)
    if opened.model_sha256 != sha256:
        raise Conflict(f"{row.model}@{row.version} has another ONNX file now; try again")
    predict_scenes(opened)
    joined = join_parts(opened, folder)
    layer = _joined_layer(opened.mapped.first, APPLICABILITY in joined.layers)
    plain = joined.layers[""]
    if APPLICABILITY in joined.layers:
        plain = _with_applicability(layer, plain, joined.layers[APPLICABILITY], folder)
    found = folder / "map.tif"
    write_cog(plain, found, layer)
    notes = [note for scene in joined.planned.values() for note in scene.notes]
    return found, notes


def _joined_layer(first: Layer, has_applicability: bool) -> Layer:
    """Return the layer of all bands, as a GeoTIFF has one type and one nodata value for them."""
    if not has_applicability:
        return first
    values = [abs(entry.value) for entry in first.classes]
    dtype = np.float64 if max(values, default=0) > _EXACT else np.float32
    bands = (*first.bands, "di", "aoa")
    return Layer(bands, dtype, float("nan"), classes=first.classes)


def _with_applicability(layer: Layer, first: Path, applicability: Path, folder: Path) -> Path:
    """Write the bands of two plain GeoTIFFs of one grid into one."""
    from rasterio.windows import Window

    found = folder / "all.tif"
    with open_raster(first) as values, open_raster(applicability) as others:
        grid, nodata, tags = MapGrid.of(values), values.nodata, values.tags()
        with open_layer(found, grid, layer, tags) as written:
            for top in range(0, grid.height, _ROWS):
                window = Window(0, top, grid.width, min(_ROWS, grid.height - top))
                own = values.read(window=window)
                rows = np.where(own == nodata, np.nan, own).astype(layer.dtype)
                both = np.concatenate([rows, others.read(window=window)])
                write_rows(written, top, both.astype(layer.dtype))
    return found
