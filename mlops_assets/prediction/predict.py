"""A model version run over a whole scene, into a map on the scene's grid.

The map is a Cloud-Optimised GeoTIFF of classes or values, with a picture of it, and on request a
second one of probabilities and their measures. It has the scene's georeference if there is one, and
no data where the scene has none.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlops_assets.datasets.io.rasters import acquired, open_raster
from mlops_assets.errors import SpecificationError
from mlops_assets.models.signing.verify import require_signature
from mlops_assets.paths import map_key, model_folder
from mlops_assets.prediction.mapped import MappedModel, Options
from mlops_assets.prediction.maps.geotiff import write_cog
from mlops_assets.prediction.maps.made import MadeMap, MappedScene
from mlops_assets.prediction.maps.picture import draw
from mlops_assets.prediction.maps.publish import publish_map
from mlops_assets.prediction.scenes.found import FoundScene, SourceFile
from mlops_assets.prediction.writing import write_layers
from mlops_assets.progress import step
from mlops_assets.registry import ModelVersion
from mlops_assets.registry.files.verified_read import published_path
from mlops_assets.registry.model_documents import Signature
from mlops_assets.storage import FileStat, Workspace, sha256_of
from mlops_assets.storage.scratch import scratch_folder
from mlops_assets.store import Store
from mlops_assets.text.json_values import JsonObject


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


def _mapped_scene(scene: Path) -> MappedScene:
    """Return a scene of this machine, with the checksums of its files and sidecar files."""
    with open_raster(scene) as raster:
        paths = [file for file in map(Path, raster.files) if file.is_file()]
        acquired_at = acquired(raster)
    files = tuple(
        SourceFile("", file.absolute().as_uri(), sha256_of(file), file.stat().st_size)
        for file in paths
    )
    found = FoundScene(scene.stem, scene.absolute().as_uri(), acquired_at)
    return MappedScene(found, files)


def _settings(mapped: MappedModel) -> JsonObject:
    return {
        "outputs": list(mapped.options.outputs),
        "by_position": mapped.options.by_position,
        "windows": None if mapped.overlap is None else str(mapped.overlap),
    }


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
    mapped = MappedModel.of(store, row, onnx_file, options)
    with scratch_folder("prediction") as scratch:
        found, present = write_layers(store, mapped, scene, scratch)
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
        (scratch / "map.png").write_bytes(picture)
        made = MadeMap(
            name=name,
            row=row,
            files={file.name.removeprefix("map"): file for file in (*files, scratch / "map.png")},
            layers={f"{suffix}.tif": layer for suffix, layer in mapped.layers.items()},
            scenes=(_mapped_scene(scene),),
            settings=_settings(mapped),
        )
        publish_map(store, made)
    keys = [map_key(row.model, row.version, name, end) for end in made.files]
    published = {file.path: file for file in store.registry.files_at(*keys)}
    raster, *others = (published[key] for key in keys[:-1])
    png = published[keys[-1]]
    notes = () if found.note is None else (found.note,)
    return Prediction(raster, png, tuple(others), notes, store.workspace)
