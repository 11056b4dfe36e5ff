"""Windows of a network with strides, against the network on the whole scene at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from mlops_assets.datasets.io.rasters import band_roles, open_raster
from mlops_assets.models.onnx.session import OnnxModel
from mlops_assets.prediction.maps.geotiff import MapClass
from mlops_assets.prediction.maps.picture import draw
from mlops_assets.prediction.scenes import scene as scenes
from mlops_assets.prediction.scenes.scene import Scene
from mlops_assets.prediction.strips import window_strips
from mlops_assets.prediction.windows import Overlap
from mlops_assets.stac.mlm.receptive_field import reach

SIZE, BANDS, CLASSES = 32, 3, 4


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


def scores_of(path: Path, model: Path, overlap: Overlap) -> NDArray[np.float32]:
    with open_raster(path) as raster:
        opened = Scene(raster, band_roles(raster), apply_scale=False)
        shape = (BANDS, SIZE, SIZE)
        strips = [*window_strips(opened, OnnxModel(model), shape, overlap)]
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
