"""Windows of a network with strides, against the network on the whole scene at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from mlops_assets.datasets.io.rasters import band_roles, open_raster
from mlops_assets.models.onnx import features
from mlops_assets.models.onnx.session import OnnxModel, Outputs
from mlops_assets.prediction.maps.geotiff import MapClass
from mlops_assets.prediction.maps.picture import draw
from mlops_assets.prediction.scenes import scene as scenes
from mlops_assets.prediction.scenes.scene import Range, Scene
from mlops_assets.prediction.windows.overlap import Overlap
from mlops_assets.prediction.windows.scene_model import SceneModel
from mlops_assets.prediction.windows.strips import Strip, pixel_strips, window_strips, window_tops
from mlops_assets.stac.mlm.receptive_field import reach

SIZE, BANDS, CLASSES = 32, 3, 4
Index = Callable[[NDArray[np.float32]], NDArray[np.float32]] | None


def network(height: int | str, width: int | str, whole: bool = False) -> onnx.ModelProto:
    """An encoder that halves windows, and a decoder; `whole`: with a mean over all pixels."""
    random = np.random.default_rng(0)
    weights = [numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "scales")]
    nodes = []

    def conv(source: str, result: str, inputs: int, outputs: int) -> None:
        values = random.normal(0, 0.3, (outputs, inputs, 3, 3)).astype(np.float32)
        weights.append(numpy_helper.from_array(values, f"weight_{result}"))
        nodes.append(helper.make_node("Conv", [source, f"weight_{result}"], [result], pads=[1] * 4))

    conv("input", "first", BANDS, 4)
    pool = helper.make_node("MaxPool", ["first"], ["half"], kernel_shape=[2, 2], strides=[2, 2])
    nodes.append(pool)
    conv("half", "inner", 4, 4)
    nodes.append(helper.make_node("Resize", ["inner", "", "scales"], ["back"], mode="nearest"))
    nodes.append(helper.make_node("Add", ["first", "back"], ["joined"]))
    if whole:
        nodes.append(helper.make_node("GlobalAveragePool", ["joined"], ["mean"]))
        nodes.append(helper.make_node("Sub", ["joined", "mean"], ["centred"]))
    conv("centred" if whole else "joined", "scores", 4, CLASSES)
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", count, height, width])
        for name, count in (("input", BANDS), ("scores", CLASSES))
    ]
    graph = helper.make_graph(nodes, "network", ends[:1], ends[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)


def write(path: Path, height: int, width: int) -> NDArray[np.float32]:
    pixels = np.random.default_rng(1).normal(size=(BANDS, height, width)).astype(np.float32)
    profile = {"height": height, "width": width, "count": BANDS, "dtype": "float32"}
    with open_raster(path, "w", driver="GTiff", **profile) as raster:
        raster.write(pixels)
    return pixels


MISSING = np.array([0.5, -1, 2], dtype=np.float32)  # in place of NaN, of each band


class Counting(OnnxModel):
    """Counts the windows that it is run on."""

    windows = 0

    def predict(self, X: NDArray[np.float32], batch: int | None = None) -> Outputs:
        self.windows += len(X)
        return super().predict(X, batch)


def strips_of(
    path: Path,
    session: OnnxModel,
    overlap: Overlap,
    index: Index = None,
    wanted: Range | None = None,
) -> list[Strip]:
    """The strips of a map of a network on windows; of all rows if none are named."""
    network = SceneModel(session, (BANDS, SIZE, SIZE), CLASSES, MISSING, index)
    with open_raster(path) as raster:
        opened = Scene(raster, band_roles(raster), apply_scale=False)
        return [*window_strips(opened, network, overlap, wanted or (0, opened.height))]


def scores_of(
    path: Path, model: Path, overlap: Overlap, wanted: Range | None = None
) -> NDArray[np.float32]:
    strips = strips_of(path, OnnxModel(model), overlap, wanted=wanted)
    assert strips[0].first == (wanted or (0, 0))[0]
    return np.concatenate([strip.outputs["scores"] for strip in strips], axis=1)


@pytest.mark.parametrize("block", [1, scenes._BLOCK_BYTES], ids=["rows", "blocks"])
@pytest.mark.parametrize("shape", [(64, 96), (51, 67), (32, 33), (200, 32)], ids=str)
def test_windows_equal_the_network_on_the_whole_scene(
    shape: tuple[int, int], block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scenes, "_BLOCK_BYTES", block)
    pixels = write(tmp_path / "scene.tif", *shape)
    onnx.save(network(SIZE, SIZE), tmp_path / "model.onnx")
    found = reach(network(SIZE, SIZE).graph)
    assert found is not None and (found.radius, found.stride) == (5, 2)
    overlap = Overlap.of(SIZE, found)
    assert not overlap.blended
    scores = scores_of(tmp_path / "scene.tif", tmp_path / "model.onnx", overlap)
    # a network that halves takes even sizes
    even = np.pad(pixels, ((0, 0), (0, shape[0] % 2), (0, shape[1] % 2)), mode="symmetric")
    whole = onnxruntime.InferenceSession(network("height", "width").SerializeToString())
    expected = whole.run(None, {"input": even[None]})[0][0, :, : shape[0], : shape[1]]
    np.testing.assert_allclose(scores, expected, atol=1e-5)


def test_nan_is_lost_alone(tmp_path: Path) -> None:
    pixels = write(tmp_path / "scene.tif", 64, 96)
    onnx.save(network(SIZE, SIZE), tmp_path / "model.onnx")
    gone = np.zeros((64, 96), dtype=bool)
    gone[20:30, 40:70] = True
    gone[50, 3] = True
    with open_raster(tmp_path / "scene.tif", "r+") as raster:
        raster.write(np.where(gone, np.nan, pixels))
    overlap = Overlap.of(SIZE, reach(network(SIZE, SIZE).graph))
    strips = strips_of(tmp_path / "scene.tif", OnnxModel(tmp_path / "model.onnx"), overlap)
    np.testing.assert_array_equal(np.concatenate([strip.known for strip in strips]), ~gone)
    scores = np.concatenate([strip.outputs["scores"] for strip in strips], axis=1)
    whole = onnxruntime.InferenceSession(network("height", "width").SerializeToString())
    filled = np.where(gone, MISSING[:, None, None], pixels)
    np.testing.assert_allclose(scores, whole.run(None, {"input": filled[None]})[0][0], atol=1e-5)


@pytest.mark.parametrize("blended", [False, True], ids=["margin", "blended"])
def test_windows_without_data_are_not_computed(blended: bool, tmp_path: Path) -> None:
    pixels = write(tmp_path / "scene.tif", 160, 160)
    pixels[:, :, 80:] = np.nan
    pixels[:, 150:, 150:] = 1
    with open_raster(tmp_path / "scene.tif", "r+") as raster:
        raster.write(pixels)
    onnx.save(network(SIZE, SIZE), tmp_path / "model.onnx")
    session = Counting(tmp_path / "model.onnx")
    overlap = Overlap(SIZE, 8 if blended else 5, 2, blended)
    strips = strips_of(tmp_path / "scene.tif", session, overlap)
    known = np.concatenate([strip.known for strip in strips])
    np.testing.assert_array_equal(known, ~np.isnan(pixels[0]))
    needed = 0
    for row in overlap.place(160):
        for column in overlap.place(160):
            rows = slice(row.first, row.last)
            columns = slice(column.first, column.last)
            if blended:
                rows, columns = (slice(own.start, own.start + SIZE) for own in (row, column))
            needed += bool(known[rows, columns].any())
    assert session.windows == needed < len(overlap.place(160)) ** 2


@pytest.mark.parametrize("cell", [1, 8])
def test_the_index_is_that_of_features(
    cell: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    side = 75 if cell == 1 else SIZE
    pixels = write(tmp_path / "scene.tif", side, side)
    onnx.save(network(SIZE, SIZE), tmp_path / "model.onnx")
    # so many cells a side may be compared
    monkeypatch.setattr(features, "_CELLS", 68 * (SIZE // cell) ** 2)
    windows = pixels[None, :, :SIZE, :SIZE]
    found = features.features_graph(tmp_path / "model.onnx", tmp_path / "more.onnx", windows)
    assert found == features.Features(4, cell)
    overlap = Overlap.of(SIZE, reach(network(SIZE, SIZE).graph))

    def index(samples: NDArray[np.float32]) -> NDArray[np.float32]:
        return samples @ np.array([1, 10, 100, 1000], dtype=np.float32)

    path = tmp_path / "scene.tif"
    strips = strips_of(path, OnnxModel(tmp_path / "more.onnx"), overlap, index)
    assert all(strip.outputs.keys() == {"scores", "di"} for strip in strips)
    scores = np.concatenate([strip.outputs["scores"] for strip in strips], axis=1)
    np.testing.assert_array_equal(scores, scores_of(path, tmp_path / "model.onnx", overlap))
    di = np.concatenate([strip.outputs["di"] for strip in strips])
    # what the last layer takes of the whole scene
    whole = network("height", "width")
    whole.graph.output.append(helper.make_empty_tensor_value_info("joined"))
    even = np.pad(pixels, ((0, 0), (0, side % 2), (0, side % 2)), mode="symmetric")
    session = onnxruntime.InferenceSession(whole.SerializeToString())
    taken = session.run(["joined"], {"input": even[None]})[0][0, :, :side, :side]
    taken = taken.reshape(4, side // cell, cell, side // cell, cell).mean((2, 4))
    expected = index(taken.reshape(4, -1).T).reshape(side // cell, side // cell)
    np.testing.assert_allclose(di, expected.repeat(cell, 0).repeat(cell, 1), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("size", [1, 5])
def test_the_index_of_pixels_and_patches_is_that_of_the_pixel(size: int, tmp_path: Path) -> None:
    pixels = write(tmp_path / "scene.tif", 21, 13)

    class Sums:
        def predict(self, X: NDArray[np.float32]) -> Outputs:
            return {"value": X.reshape(len(X), -1).sum(axis=1)}

    shape = (BANDS, size, size) if size > 1 else (BANDS,)
    weights = np.array([1, 10, 100], dtype=np.float32)
    model = SceneModel(cast(OnnxModel, Sums()), shape, 0, MISSING, lambda own: own @ weights)
    with open_raster(tmp_path / "scene.tif") as raster:
        opened = Scene(raster, band_roles(raster), apply_scale=False)
        strips = [*pixel_strips(opened, model, (0, opened.height))]
    di = np.concatenate([strip.outputs["di"] for strip in strips])
    np.testing.assert_allclose(di, np.einsum("brc,b->rc", pixels, weights), rtol=1e-4, atol=1e-4)


def test_windows_of_a_network_that_sees_all_are_blended_without_seams(tmp_path: Path) -> None:
    assert reach(network(SIZE, SIZE, whole=True).graph) is None
    write(tmp_path / "scene.tif", 75, 100)
    onnx.save(network(SIZE, SIZE, whole=True), tmp_path / "model.onnx")
    overlap = Overlap.of(SIZE, None)
    scores = scores_of(tmp_path / "scene.tif", tmp_path / "model.onnx", overlap)
    assert scores.shape == (CLASSES, 75, 100)
    plain = tmp_path / "plain.onnx"
    onnx.save(network(SIZE, SIZE), plain)
    exact = scores_of(
        tmp_path / "scene.tif", plain, Overlap.of(SIZE, reach(onnx.load(plain).graph))
    )
    blended = scores_of(tmp_path / "scene.tif", plain, Overlap(SIZE, SIZE // 4, 2, blended=True))
    # where a window counts fully, blending changes nothing
    np.testing.assert_allclose(blended[:, :8, :8], exact[:, :8, :8], atol=1e-5)
    assert np.corrcoef(blended.ravel(), exact.ravel())[0, 1] > 0.99


@pytest.mark.parametrize("shape", [(1, 3000), (3000, 1), (5, 7)], ids=str)
def test_the_picture_of_a_map_of_any_shape_is_small(
    shape: tuple[int, int], tmp_path: Path, drawn: None
) -> None:
    profile = {"height": shape[0], "width": shape[1], "count": 1, "dtype": "uint8", "nodata": 255}
    with open_raster(tmp_path / "map.tif", "w", driver="GTiff", **profile) as raster:
        raster.write(np.ones((1, *shape), np.uint8))
    png = draw(tmp_path / "map.tif", [MapClass(1, "water", (0, 0, 255))], "title")
    width, height = (int.from_bytes(png[at : at + 4]) for at in (16, 20))
    assert 300 <= width <= 1000 and 300 <= height <= 700


@pytest.mark.parametrize("blended", [False, True], ids=["discarded", "blended"])
def test_parts_of_a_scene_equal_the_whole_bit_by_bit(blended: bool, tmp_path: Path) -> None:
    write(tmp_path / "scene.tif", 203, 67)
    onnx.save(network(SIZE, SIZE, whole=blended), tmp_path / "model.onnx")
    overlap = Overlap.of(SIZE, reach(network(SIZE, SIZE, whole=blended).graph))
    assert overlap.blended == blended
    whole = scores_of(tmp_path / "scene.tif", tmp_path / "model.onnx", overlap)
    tops = window_tops(203, overlap)
    assert len(tops) > 4 and len(whole[0]) == 203
    for first, last in ((0, 1), (1, 3), (2, len(tops)), (len(tops) - 1, len(tops))):
        rows = tops[first], [*tops, 203][last]
        part = scores_of(tmp_path / "scene.tif", tmp_path / "model.onnx", overlap, rows)
        np.testing.assert_array_equal(part, whole[:, slice(*rows)])
