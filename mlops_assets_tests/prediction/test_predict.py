"""Prediction over whole scenes.

Every pixel as one would predict it alone, on the scene's own grid.
"""

from __future__ import annotations

import json
import tracemalloc
import warnings
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import onnx
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio import Affine
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning
from rasterio.shutil import copy

from mlops_assets.choices import MAP_OUTPUTS
from mlops_assets.datasets.commit.commit import commit
from mlops_assets.datasets.io.rasters import open_raster
from mlops_assets.datasets.readers.scenes.read_samples import read_patches
from mlops_assets.errors import BrokenScene, SignatureRefused, SpecificationError, StorageError
from mlops_assets.models.onnx.session import OnnxModel, decide
from mlops_assets.names import Reference
from mlops_assets.paths import Owner, model_folder
from mlops_assets.prediction import assemble
from mlops_assets.prediction.mapped import Options
from mlops_assets.prediction.maps.copy_out import copy_out, require_writable
from mlops_assets.prediction.maps.geotiff import map_classes
from mlops_assets.prediction.maps.picture import draw
from mlops_assets.prediction.windows import strips
from mlops_assets.prediction.windows.overlap import Overlap
from mlops_assets.principals import local
from mlops_assets.registry import ModelVersion, Registry
from mlops_assets.registry.model_documents import OutputClass
from mlops_assets.storage import Workspace, sha256_of
from mlops_assets.store import Store
from mlops_assets_tests.conftest import (
    crops_table,
    scenes_specification,
    table_specification,
    write_scene,
)
from mlops_assets_tests.models.signing.keys import make_key, trust
from mlops_assets_tests.prediction.jobs import map_scene
from mlops_assets_tests.training.example_trainers import (
    HERE,
    lifecycle,
    model_specification,
    windows_source,
)

CLASSES = {3: "water", 200: "land"}  # values are no indices
GRID = Affine(10, 0, 500_000, 0, -10, 4_700_000)
# so strong a penalty that every pixel of a patch has weight, not only its centre
SMOOTH = {
    "estimator": "sklearn.linear_model.LogisticRegression",
    "C": 1e-4,
    "preprocessing": ["sklearn.preprocessing.StandardScaler"],
}
FOREST: dict[str, Any] = {
    "trainer": "mlops_assets.training.trainers.sklearn:train",
    "params": {"estimator": "sklearn.ensemble.RandomForestRegressor", "n_estimators": 5},
}
MODELS: dict[str, dict[str, Any]] = {
    "pixel": {"dataset": "patches", "inputs": "pixel"},
    "patch": {
        "dataset": "patches",
        "trainer": "mlops_assets.training.trainers.sklearn:train",
        "params": SMOOTH,
    },
    "window": {"dataset": "windows", "task": "semantic-segmentation", "trainer": f"{HERE}:network"},
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A workspace with a model on pixels, patches of 5, windows of 8, and one on table rows."""
    root = tmp_path_factory.mktemp("models") / "workspace"
    store = Store(
        Workspace(root.as_uri()),
        Registry(f"sqlite:///{root / 'registry.db'}").acting(local("tester")),
    )
    for name in ("patches", "windows"):
        folder = root / "landing" / name
        labels = write_scene(folder)
        with open_raster(folder / "labels/a.tif", "r+") as raster:
            raster.write(np.choose(labels, [0, 3, 200]).astype(np.uint8), 1)
    patches = {"source": {"url": "landing/patches", "layout": "scenes", "scenes": {"size": 5}}}
    (root / "landing/fields").mkdir()
    crops_table().to_csv(root / "landing/fields/samples.csv", index=False)
    (root / "landing/yields").mkdir()
    yields = crops_table().drop(columns=["crop", "farm"])
    yields.assign(**{"yield": 2 * yields["ndvi_03"]}).to_csv(
        root / "landing/yields/samples.csv", index=False
    )
    for specification in (
        table_specification(
            "yields",
            source={"url": "landing/yields", "layout": "table", "table": {"label": "yield"}},
            units={"yield": "t/ha"},
        ),
        scenes_specification("patches", classes=CLASSES, **patches),
        scenes_specification("windows", classes=CLASSES, **windows_source("windows")),
        table_specification(),
    ):
        commit(store.workspace, store.registry, specification)
    for name, changes in MODELS.items():
        lifecycle(store, model_specification(name, **changes), **changes.get("params", {}))
    lifecycle(store, model_specification("row"))
    number = model_specification("number", dataset="yields", task="regression", **FOREST)
    lifecycle(store, number, **FOREST["params"])
    return store


def row_of(store: Store, model: str) -> ModelVersion:
    return store.registry.model_version(Reference(model))


def write(path: Path, image: NDArray[np.uint16], **georeference: Any) -> Path:
    profile = {
        "driver": "GTiff",
        "height": image.shape[1],
        "width": image.shape[2],
        "count": len(image),
    }
    with open_raster(path, "w", **profile, dtype="uint16", **georeference) as raster:
        raster.write(image)
    return path


def image(height: int, width: int, bands: int = 4) -> NDArray[np.uint16]:
    return np.random.default_rng(1).integers(0, 300, (bands, height, width)).astype(np.uint16)


def on_whole_array(store: Store, row: ModelVersion, X: NDArray[np.float32]) -> NDArray[np.float32]:
    """The scores of a convolutional network for one array of any size."""
    import onnxruntime

    key = f"{model_folder(row.model, row.version)}/model.onnx"
    model = onnx.load(store.workspace.local_path(key))
    for entry in (model.graph.input[0], model.graph.output[0]):
        for dim, name in zip(
            entry.type.tensor_type.shape.dim[2:], ("height", "width"), strict=True
        ):
            dim.dim_param = name
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return np.asarray(session.run(["scores"], {"input": X})[0])


def one_by_one(store: Store, model: str, scene: Path) -> NDArray[np.int64]:
    """The model's prediction of each pixel from its patch alone, or of each window."""
    row = row_of(store, model)
    model_file = OnnxModel(
        store.workspace.local_path(f"{model_folder(row.model, row.version)}/model.onnx")
    )
    values: NDArray[np.int64] = np.array([entry["value"] for entry in row.signature["classes"]])
    with open_raster(scene) as raster:
        height, width, whole = raster.height, raster.width, raster.read().astype(np.float32)
    if model == "window":
        size = row.signature["shape"][1]
        edges = ((0, 0), (0, max(0, size - height)), (0, max(0, size - width)))
        padded = np.pad(whole, edges, mode="symmetric")
        scores = on_whole_array(store, row, padded[None])
        return np.asarray(values[scores[0].argmax(axis=0)[:height, :width]])
    pixels = np.indices((height, width)).reshape(2, -1).T
    X = read_patches(scene, pixels, row.signature["shape"][1] if model == "patch" else 1).astype(
        np.float32
    )
    X = X if model == "patch" else X[:, :, 0, 0]
    predicted = decide(model_file.predict(np.ascontiguousarray(X))).astype(np.int64)
    return values[predicted].reshape(height, width)


@pytest.mark.parametrize(
    "at_once", [4096, 100, 1], ids=["one strip", "strips of a few rows", "strips of one row"]
)
@pytest.mark.parametrize("shape", [(16, 24), (21, 13), (1, 30), (30, 1), (3, 3)], ids=str)
@pytest.mark.parametrize("model", MODELS)
def test_every_pixel_is_as_predicted_alone(
    model: str,
    shape: tuple[int, int],
    at_once: int,
    models: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(strips, "PIXELS_AT_ONCE", at_once)
    monkeypatch.setattr(assemble, "draw", lambda *args: b"")  # it takes longer than all the rest
    scene = write(tmp_path / "scene.tif", image(*shape))
    found = map_scene(models, row_of(models, model), scene, "scene")
    expected = one_by_one(models, model, scene)
    np.testing.assert_array_equal(found.classes, expected)
    with open_raster(models.workspace.root / found.raster.path) as raster:
        np.testing.assert_array_equal(raster.read(1), expected)
    if min(shape) > 3:
        assert set(np.unique(expected)) == set(CLASSES)


@pytest.mark.parametrize("crs", ["EPSG:32630", "EPSG:3035"])
def test_georeference_is_kept(crs: str, models: Store, tmp_path: Path) -> None:
    scene = write(tmp_path / "scene.tif", image(16, 24), crs=crs, transform=GRID)
    found = map_scene(models, row_of(models, "pixel"), scene, "scene")
    with open_raster(models.workspace.root / found.raster.path) as raster:
        assert raster.crs is not None and raster.crs.to_string() == crs
        assert (raster.transform, raster.shape) == (GRID, (16, 24))


def test_georeference_is_not_invented(models: Store, tmp_path: Path) -> None:
    found = map_scene(
        models, row_of(models, "pixel"), write(tmp_path / "scene.tif", image(16, 24)), "scene"
    )
    path = models.workspace.root / found.raster.path
    with pytest.warns(NotGeoreferencedWarning), rasterio.open(path) as raster:
        assert raster.crs is None and raster.transform == Affine.identity() and not raster.gcps[0]


def test_the_map_is_a_cog_with_colours_and_its_origin(models: Store, tmp_path: Path) -> None:
    row = row_of(models, "pixel")
    found = map_scene(models, row, write(tmp_path / "scene.tif", image(600, 520)), "scene")
    assert found.raster.path == f"predictions/pixel/{row.version}/scene.tif"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(models.workspace.root / found.raster.path) as raster:
            assert raster.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
            assert raster.block_shapes == [(512, 512)] and raster.overviews(1)
            assert (raster.count, raster.dtypes[0], raster.colorinterp) == (
                1,
                "uint8",
                (ColorInterp.palette,),
            )
            colours = raster.colormap(1)
            assert colours[3] != colours[200] and colours[3][3] == colours[200][3] == 255
            assert (
                raster.tags().items()
                >= {
                    "MLOPS_MODEL": f"pixel@{row.version}",
                    "MLOPS_DATA": "patches@v1",
                    "MLOPS_RUN": row.run_id,
                }.items()
            )


def hole(shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the pixels where the scenes below have no data."""
    found = np.zeros(shape, dtype=bool)
    found[4:11, 3:15] = True
    return found


def with_hole(path: Path, kind: str) -> Path:
    """A scene that marks the hole as nodata, in one of the possible ways."""
    pixels, gone = image(16, 24), hole((16, 24))
    if kind in ("nodata", "NaN", "infinity"):
        mark = {"nodata": 255, "NaN": np.nan, "infinity": np.inf}[kind]
        values = np.where(gone, mark, pixels + 300.0).astype(np.float32)
        profile = {
            "height": 16,
            "width": 24,
            "count": 4,
            "dtype": "float32",
            "nodata": 255 if kind == "nodata" else None,
        }
        with open_raster(path, "w", driver="GTiff", **profile) as raster:
            raster.write(values)
        return path
    if kind == "alpha":
        write(path, np.concatenate([pixels, np.where(gone, 0, 65535)[None].astype(np.uint16)]))
        with open_raster(path, "r+") as raster:
            raster.colorinterp = (*[ColorInterp.gray] * 4, ColorInterp.alpha)
        return path
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=kind == "internal mask"),
        open_raster(write(path, pixels), "r+") as raster,
    ):
        raster.write_mask(~gone)
    return path


@pytest.mark.parametrize(
    "kind", ["nodata", "NaN", "infinity", "alpha", "internal mask", "mask beside it"]
)
@pytest.mark.parametrize("model", MODELS)
def test_where_a_scene_has_no_data_neither_has_its_map(
    model: str, kind: str, models: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assemble, "draw", lambda *args: b"")
    found = map_scene(
        models, row_of(models, model), with_hole(tmp_path / "scene.tif", kind), "hole"
    )
    with open_raster(models.workspace.root / found.raster.path) as raster:
        classes, has_data = raster.read(1), raster.dataset_mask() > 0
        assert raster.nodata == 255 and raster.colormap(1)[255] == (0, 0, 0, 0)
    gone = hole((16, 24))
    assert not has_data[gone].any() and set(np.unique(classes[has_data])) <= set(CLASSES)
    np.testing.assert_array_equal(has_data, ~gone)


def test_a_picture_of_a_large_map_takes_little_memory(tmp_path: Path) -> None:
    side = 4000
    profile = {
        "driver": "GTiff",
        "height": side,
        "width": side,
        "count": 1,
        "dtype": "uint8",
        "nodata": 255,
    }
    with open_raster(tmp_path / "map.tif", "w", **profile) as raster:
        raster.write(np.full((1, side, side), 3, np.uint8))
    classes = map_classes([OutputClass(value=value, name=name) for value, name in CLASSES.items()])
    draw(tmp_path / "map.tif", classes, "warm")  # what draws is imported
    tracemalloc.start()
    png = draw(tmp_path / "map.tif", classes, "large")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert png.startswith(b"\x89PNG")
    assert peak < 4 * side**2  # as RGBA of float64, the map takes 32 bytes a pixel


def test_map_and_picture_are_published_with_their_checksums(models: Store, tmp_path: Path) -> None:
    row = row_of(models, "patch")
    found = map_scene(models, row, write(tmp_path / "scene.tif", image(16, 24)), "with-checksum")
    assert {found.raster, found.picture} <= set(
        models.registry.files(Owner(f"prediction:patch@{row.version}"))
    )
    for file in (found.raster, found.picture):
        assert models.workspace.stat(file.path) == file
    assert models.workspace.get(found.picture.path).startswith(b"\x89PNG")


@pytest.mark.parametrize("bands", [3, 5])
@pytest.mark.parametrize("model", MODELS)
def test_a_scene_with_other_bands_is_refused(
    model: str, bands: int, models: Store, tmp_path: Path
) -> None:
    row = row_of(models, model)
    scene = write(tmp_path / "scene.tif", image(16, 24, bands))
    with pytest.raises(
        SpecificationError, match=rf"scene.tif has {bands} bands, {model}@{row.version} takes 4"
    ):
        map_scene(models, row, scene, "refused")
    assert not models.workspace.exists(f"predictions/{model}/{row.version}/refused.tif")


@pytest.mark.parametrize(
    ("descriptions", "order"),
    [
        (("B08", "B04", "B03", "B02"), (4, 3, 2, 1)),
        ((None, None, None, None), (1, 2, 3, 4)),
        (("blue", "green", "red", "nir"), None),  # other names do not identify these
        (("B02", "B03", "B04", "B05"), None),
        (("B08", "B04", None, None), None),
        (("B02", "B03", "B04", "B04"), None),
        (("b08", "b04", "b03", "b02"), None),
    ],
    ids=str,
)
def test_bands_with_names_are_never_taken_by_place(
    descriptions: tuple[str | None, ...],
    order: tuple[int, ...] | None,
    models: Store,
    tmp_path: Path,
) -> None:
    row = row_of(models, "pixel")
    bands = ["B02", "B03", "B04", "B08"]
    row.signature = {**row.signature, "features": bands, "source_features": bands}
    pixels = image(16, 24)
    scene = write(tmp_path / "scene.tif", pixels)
    with open_raster(scene, "r+") as raster:
        raster.descriptions = descriptions
    if order is None:
        with pytest.raises(
            SpecificationError, match=r"scene.tif names its bands .* takes B02, B03, B04, B08; give"
        ):
            map_scene(models, row, scene, "refused")
        return
    plain = write(tmp_path / "plain.tif", pixels[[band - 1 for band in order]])
    expected = map_scene(models, row, plain, "plain").classes
    np.testing.assert_array_equal(map_scene(models, row, scene, "named").classes, expected)


def test_a_scene_of_complex_numbers_is_refused(models: Store, tmp_path: Path) -> None:
    profile = {"driver": "GTiff", "height": 2, "width": 2, "count": 4, "dtype": "complex64"}
    with open_raster(tmp_path / "scene.tif", "w", **profile) as raster:
        raster.write(np.ones((4, 2, 2), dtype=np.complex64))
    with pytest.raises(BrokenScene, match=r"^scene: has complex numbers"):
        map_scene(models, row_of(models, "pixel"), tmp_path / "scene.tif", "refused")


def test_a_model_without_a_required_signature_is_refused(
    models: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_key(tmp_path, "a")
    trust(monkeypatch, tmp_path, {"name": "a", "file": "a.pub"})
    scene = write(tmp_path / "scene.tif", image(4, 4))
    with pytest.raises(SignatureRefused, match="has no signature"):
        map_scene(models, row_of(models, "patch"), scene, "unsigned")


def test_models_of_rows_take_bands_called_like_their_columns(models: Store, tmp_path: Path) -> None:
    for model in ("row", "number"):
        row = row_of(models, model)
        columns = row.signature["features"]
        values = np.random.default_rng(0).random((len(columns), 6, 5)).astype(np.float32)
        profile = {"height": 6, "width": 5, "count": len(columns), "dtype": "float32"}
        scene = tmp_path / f"{model}.tif"
        with open_raster(scene, "w", driver="GTiff", **profile) as raster:
            raster.write(values[::-1])
            raster.descriptions = tuple(columns[::-1])
        found = map_scene(models, row, scene, "rows")
        key = f"{model_folder(row.model, row.version)}/model.onnx"
        X = np.ascontiguousarray(values.reshape(len(columns), -1).T)
        expected = decide(OnnxModel(models.workspace.local_path(key)).predict(X)).reshape(6, 5)
        with open_raster(models.workspace.root / found.raster.path) as raster:
            if model == "number":
                np.testing.assert_allclose(raster.read(1), expected, rtol=1e-6)
                assert raster.units == ("t/ha",) and raster.descriptions == ("yield",)
            else:  # classes that are words are numbered from 1
                np.testing.assert_array_equal(raster.read(1), expected + 1)
                assert raster.tags(1)["CLASS_1"] == row.signature["classes"][0]["name"]


def test_gdal_alone_has_names_and_colours_of_classes(models: Store, tmp_path: Path) -> None:
    scene = write(tmp_path / "scene.tif", image(16, 24), crs="EPSG:32630", transform=GRID)
    row = row_of(models, "patch")
    found = map_scene(models, row, scene, "names")
    path = models.workspace.root / found.raster.path
    copy(path, tmp_path / "map.vrt", driver="VRT")
    band = ElementTree.parse(tmp_path / "map.vrt").getroot().find("VRTRasterBand")
    assert band is not None
    categories = [entry.text for entry in band.iter("Category")]
    assert {value: categories[value] for value in CLASSES} == CLASSES and len(categories) == 201
    table = [[cell.text for cell in line] for line in band.iter("Row")]
    assert [cells[:2] for cells in table] == [["3", "water"], ["200", "land"]]
    with open_raster(path) as raster:
        assert raster.descriptions == ("class",)
        assert raster.tags(1).items() >= {"CLASS_3": "water", "CLASS_200": "land"}.items()
        tags = raster.tags()
        assert raster.colormap(1)[3][:3] == tuple(int(cell or "") for cell in table[0][2:])
    assert tags["MLOPS_SOURCE_SHA256"] == sha256_of(scene)
    key = f"{model_folder(row.model, row.version)}/model.onnx"
    assert tags["MLOPS_MODEL_SHA256"] == sha256_of(models.workspace.local_path(key))


def test_a_pixel_that_lacks_one_band_has_no_class(models: Store, tmp_path: Path) -> None:
    pixels = image(16, 24) + 1
    pixels[2, 5, 7] = 0
    scene = write(tmp_path / "scene.tif", pixels, nodata=0)
    found = map_scene(models, row_of(models, "pixel"), scene, "one-band").classes
    assert found[5, 7] == 255 and (found == 255).sum() == 1


@pytest.mark.parametrize("model", ["patch", "window"])
def test_further_outputs_are_measured_from_probabilities(
    model: str, models: Store, tmp_path: Path
) -> None:
    scene = with_hole(tmp_path / "scene.tif", "nodata")
    found = map_scene(models, row_of(models, model), scene, "outputs", Options(outputs=MAP_OUTPUTS))
    (scores,) = [file for file in found.others if file.path.endswith(".scores.tif")]
    with open_raster(models.workspace.root / scores.path) as raster:
        values = raster.read()
        assert raster.descriptions == (
            "probability of water",
            "probability of land",
            "confidence",
            "margin",
            "entropy",
        )
    water, land, confidence, margin, entropy = values[:, ~hole((16, 24))]
    assert np.isnan(values[:, hole((16, 24))]).all()
    np.testing.assert_allclose(water + land, 1, rtol=1e-5)
    np.testing.assert_allclose(confidence, np.maximum(water, land))
    np.testing.assert_allclose(margin, abs(water - land), atol=1e-6)
    both = np.stack([water, land]).astype(np.float64)
    expected = -(both * np.log2(both, where=both > 0, out=np.zeros_like(both))).sum(axis=0)
    np.testing.assert_allclose(entropy, expected, atol=1e-5)
    classes = found.classes[~hole((16, 24))]
    np.testing.assert_array_equal(classes == 3, water >= land)


@pytest.mark.parametrize("described", ["file", "Item"])
@pytest.mark.parametrize("by", ["common name", "wavelength"])
def test_bands_are_found_by_common_name_or_wavelength(
    by: str, described: str, models: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = row_of(models, "pixel")
    names = ["B02", "B03", "B04", "B08"]
    spectrum = dict(zip(("blue", "green", "red", "nir"), (0.49, 0.56, 0.665, 0.83), strict=True))
    monkeypatch.setattr(
        "mlops_assets.stac.asset_fields.shared_bands",
        lambda committed: [
            {"name": name, "eo:common_name": common, "eo:center_wavelength": wavelength}
            for name, (common, wavelength) in zip(names, spectrum.items(), strict=True)
        ],
    )
    row.signature = {**row.signature, "features": names, "source_features": names}
    pixels = image(16, 24)
    # two more bands, in the opposite order; the wavelengths of another satellite
    extra = [("coastal", 0.443), *reversed(spectrum.items()), ("swir16", 1.61)]
    scene = write(tmp_path / "scene.tif", np.concatenate([pixels[:1], pixels[::-1], pixels[:1]]))
    key = "common_name" if by == "common name" else "center_wavelength"
    if described == "Item":
        bands = [
            {"eo:common_name": common} if by == "common name" else {f"eo:{key}": size + 0.003}
            for common, size in extra
        ]
        item = {"type": "Feature", "assets": {"data": {"href": "./scene.tif", "bands": bands}}}
        (tmp_path / "scene.json").write_text(json.dumps(item))
    else:
        with open_raster(scene, "r+") as raster:
            for band, (common, size) in enumerate(extra, start=1):
                if by == "common name":
                    raster.set_band_description(band, common)
                else:
                    um = {"wavelength": f"{1000 * size + 3}", "wavelength_units": "Nanometers"}
                    raster.update_tags(band, **um)
    plain = write(tmp_path / "plain.tif", pixels)
    expected = map_scene(models, row, plain, "plain")
    assert "read in file order as B02, B03, B04, B08" in expected.notes[0]
    found = map_scene(models, row, scene, "described")
    np.testing.assert_array_equal(found.classes, expected.classes)
    assert not found.notes


def test_names_are_ignored_on_request_only(models: Store, tmp_path: Path) -> None:
    row = row_of(models, "pixel")
    names = ["B02", "B03", "B04", "B08"]
    row.signature = {**row.signature, "features": names, "source_features": names}
    scene = write(tmp_path / "scene.tif", image(16, 24))
    with open_raster(scene, "r+") as raster:
        raster.descriptions = ("a", "b", "c", "d")
    with pytest.raises(SpecificationError, match="or pass --bands-by-position"):
        map_scene(models, row, scene, "refused")
    found = map_scene(models, row, scene, "positions", by_position=True)
    assert found.notes == (
        "scene.tif names its bands a, b, c, d: its bands were read in file order as"
        " B02, B03, B04, B08",
    )


@pytest.mark.parametrize("model", MODELS)
def test_a_scene_without_data_is_refused(model: str, models: Store, tmp_path: Path) -> None:
    scene = write(tmp_path / "scene.tif", np.zeros((4, 16, 24), np.uint16), nodata=0)
    row = row_of(models, model)
    with pytest.raises(SpecificationError, match="no pixel has data in all bands of the model"):
        map_scene(models, row, scene, "empty")
    assert not models.workspace.exists(f"predictions/{model}/{row.version}/empty.tif")


def test_a_truncated_scene_is_refused(models: Store, tmp_path: Path) -> None:
    scene = write(tmp_path / "scene.tif", image(300, 300))
    scene.write_bytes(scene.read_bytes()[: scene.stat().st_size // 2])
    row = row_of(models, "window")
    with pytest.raises(BrokenScene, match=r"^scene: .*replace the file"):
        map_scene(models, row, scene, "truncated")
    assert not models.workspace.exists(f"predictions/window/{row.version}/truncated.tif")


def test_a_scene_with_ground_control_points_only_is_refused(models: Store, tmp_path: Path) -> None:
    corners = [(0, 0), (0, 24), (16, 0), (16, 24)]
    points = [GroundControlPoint(row, col, 5e5 + col, 4e6 - row) for row, col in corners]
    scene = write(tmp_path / "scene.tif", image(16, 24), gcps=points, crs="EPSG:32630")
    with pytest.raises(SpecificationError, match="ground control points only; warp it"):
        map_scene(models, row_of(models, "pixel"), scene, "refused")


@pytest.mark.parametrize(
    "transform",
    [Affine(10, 0, 5e5, 0, 10, 4e6), Affine(0.87, -0.5, 5e5, 0.5, 0.87, 4e6)],
    ids=["south-up", "rotated"],
)
def test_any_grid_is_kept(transform: Affine, models: Store, tmp_path: Path) -> None:
    scene = write(tmp_path / "scene.tif", image(16, 24), crs="EPSG:32630", transform=transform)
    row = row_of(models, "window")
    found = map_scene(models, row, scene, "grid")
    with open_raster(models.workspace.root / found.raster.path) as raster:
        assert raster.transform.almost_equals(transform)
    np.testing.assert_array_equal(found.classes, one_by_one(models, "window", scene))


def test_windows_of_a_network_that_looks_far_are_blended() -> None:
    overlap = Overlap.of(16, None)
    assert overlap.blended
    for length in (5, 16, 17, 100):
        sums = np.zeros(max(length, 16) + 16)
        for placed in overlap.place(length):
            sums[placed.start : placed.start + 16] += overlap.weights(placed, length)
        assert (sums[:length] > 0).all()
        first, *_, last = [*overlap.place(length), *overlap.place(length)]
        assert (first.first, last.last) == (0, length)


def test_a_copy_lies_where_it_was_asked_for(models: Store, tmp_path: Path) -> None:
    scene = write(tmp_path / "scene.tif", image(16, 24))
    found = map_scene(models, row_of(models, "patch"), scene, "copy", Options(MAP_OUTPUTS))
    out = tmp_path / "out"
    out.mkdir()
    files = {file.path.partition("copy")[2]: file.path for file in found.files}
    copy_out(models.workspace, "copy", files, str(out / "map.tif"))
    names = ["map.png", "map.scores.tif", "map.tif", "map.tif.aux.xml"]
    assert sorted(path.name for path in out.iterdir()) == names
    assert sha256_of(out / "map.tif") == found.raster.sha256
    for wrong in (out / "map.png", tmp_path / "none/map.tif", scene, "https://example.com/maps"):
        with pytest.raises(SpecificationError):
            require_writable(str(wrong), [str(scene)])
    # a folder has the files under the name of the map
    for folder in (str(tmp_path / "new"), (tmp_path / "url").as_uri()):
        require_writable(folder, [str(scene)])
        at = copy_out(models.workspace, "valley/2024-06-01", files, folder)
        assert at.endswith("valley/2024-06-01.tif") and sha256_of(Path(at)) == found.raster.sha256


def test_a_model_without_its_onnx_file_is_refused(models: Store, tmp_path: Path) -> None:
    gone = ModelVersion(
        model="pixel", version="v1-gone", signature=row_of(models, "pixel").signature
    )
    with pytest.raises(StorageError, match=r"models/pixel/v1-gone/model\.onnx was never published"):
        map_scene(models, gone, write(tmp_path / "scene.tif", image(16, 24)), "refused")


@pytest.mark.parametrize("content", [b"", b"no raster"])
def test_a_file_that_is_no_raster_is_refused(content: bytes, models: Store, tmp_path: Path) -> None:
    (tmp_path / "scene.tif").write_bytes(content)
    with pytest.raises(BrokenScene, match=r"^scene: cannot be read or written as a raster"):
        map_scene(models, row_of(models, "pixel"), tmp_path / "scene.tif", "refused")


@pytest.mark.parametrize(
    "values",
    [
        (1, 311),
        (-1, 1),
        (1, 70_000),
    ],
    ids=str,
)
def test_class_values_of_any_size_are_kept(
    values: tuple[int, int], models: Store, tmp_path: Path
) -> None:
    row = row_of(models, "pixel")
    classes = [
        entry | {"value": value}
        for entry, value in zip(row.signature["classes"], values, strict=True)
    ]
    other = ModelVersion(
        model="pixel",
        version=row.version,
        signature=row.signature | {"classes": classes},
        dataset="patches",
        data_version="v1",
        run_id=row.run_id,
    )
    scene = write(tmp_path / "scene.tif", image(16, 24))
    found = map_scene(models, other, scene, "values")
    expected = np.where(one_by_one(models, "pixel", scene) == 3, *values)
    with open_raster(models.workspace.root / found.raster.path) as raster:
        np.testing.assert_array_equal(raster.read(1), expected)
