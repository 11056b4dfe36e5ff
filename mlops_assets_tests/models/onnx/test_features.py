"""The features of networks: what their last layer takes, and why other models have none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from sklearn.neural_network import MLPClassifier
from torch import nn

from mlops_assets.errors import ExportError
from mlops_assets.models.frameworks import framework_named
from mlops_assets.models.onnx.features import Features, as_samples, features_graph, head_graph
from mlops_assets.models.onnx.session import OnnxModel
from mlops_assets_tests.models.frameworks.models import CASES, Case, marks_of
from mlops_assets_tests.training.example_trainers import samples

NETWORKS = {
    ("pytorch", "sequential"): Features(8, None),
    ("pytorch", "own_class_on_patches"): Features(4, None),
    ("pytorch", "windows"): Features(4, 1),
    ("pytorch", "regression"): Features(8, None),
    ("keras", "functional_on_patches"): Features(4, None),
    ("keras", "windows"): Features(4, 1),
    ("flax", "mlp"): Features(8, None),
    ("flax", "windows"): Features(4, 1),
}


def unexplained(features: NDArray[np.float32], outputs: NDArray[np.number]) -> float:
    """The largest part of outputs (n, k) that no linear layer makes of features (n, count)."""
    X = np.column_stack([features, np.ones(len(features))]).astype(np.float64)
    solution, *_ = np.linalg.lstsq(X, outputs.astype(np.float64))
    return float(np.abs(X @ solution - outputs).max())


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, marks=marks_of(case.framework), id=f"{case.framework}-{case.builder}")
        for case in CASES
        if (case.framework, case.builder) in NETWORKS
    ],
)
def test_features_are_what_the_last_layer_takes(case: Case, tmp_path: Path) -> None:
    model, X = case.build()
    path, target = tmp_path / "model.onnx", tmp_path / "features.onnx"
    framework_named(case.framework).export(model, case.shape, case.task, path)
    before = path.read_bytes()
    assert features_graph(path, target, X) == NETWORKS[case.framework, case.builder]
    assert path.read_bytes() == before
    outputs = OnnxModel(target).predict(X)
    for name, expected in OnnxModel(path).predict(X).items():
        np.testing.assert_array_equal(outputs[name], expected)
    (name,) = case.outputs
    decided = np.moveaxis(outputs[name], 1, -1) if name == "scores" else outputs[name]
    decided = decided.reshape(-1, decided.shape[-1] if name == "scores" else 1)
    # of probabilities, logits but for a constant
    if np.allclose(decided.sum(axis=1), 1):
        decided = np.log(decided[:, 1:] / decided[:, :1])
    assert unexplained(as_samples(outputs["features"].astype(np.float32)), decided) < 1e-4


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, marks=marks_of(case.framework), id=f"{case.framework}-{case.builder}")
        for case in CASES
        if (case.framework, case.builder) in NETWORKS
    ],
)
def test_the_last_layer_alone_gives_the_outputs_of_features(case: Case, tmp_path: Path) -> None:
    model, X = case.build()
    path, head = tmp_path / "model.onnx", tmp_path / "head.onnx"
    framework_named(case.framework).export(model, case.shape, case.task, path)
    features_graph(path, tmp_path / "features.onnx", X)
    convolves = head_graph(path, head)
    outputs = OnnxModel(tmp_path / "features.onnx").predict(X)
    features = outputs.pop("features").astype(np.float32)
    assert convolves == (features.ndim == 4)
    if convolves:
        features = as_samples(features)[:, :, None, None]
        outputs["scores"] = as_samples(outputs["scores"])[:, :, None, None]
    for name, found in OnnxModel(head).predict(features).items():
        assert found == pytest.approx(outputs[name], abs=1e-5)


def test_a_last_layer_that_takes_more_than_a_pixel_has_no_outputs_of_its_own(
    tmp_path: Path,
) -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 3, padding=1))
    path = tmp_path / "model.onnx"
    framework_named("pytorch").export(network, (3, 8, 8), "semantic-segmentation", path)
    with pytest.raises(ExportError, match="takes more than one pixel"):
        head_graph(path, tmp_path / "head.onnx")
    assert not (tmp_path / "head.onnx").exists()


def test_a_multilayer_perceptron_of_scikit_learn_has_features(tmp_path: Path) -> None:
    X, y = samples((6,))
    for classes in (2, 3):
        chosen = y < classes
        model = MLPClassifier((7, 5), max_iter=2000, random_state=0).fit(X[chosen], y[chosen])
        path, target = tmp_path / "model.onnx", tmp_path / "features.onnx"
        framework_named("scikit-learn").export(model, (6,), "classification", path)
        assert features_graph(path, target, X) == Features(5, None)
        hidden = X
        for weights, bias in zip(model.coefs_[:-1], model.intercepts_[:-1], strict=True):
            hidden = np.maximum(hidden @ weights + bias, 0)
        found = OnnxModel(target).predict(X)["features"]
        np.testing.assert_allclose(found, hidden, rtol=1e-4, atol=1e-5)


SIZE = 16


def graph(*layers: dict[str, Any], scores: list[str | int], bands: int = 2) -> onnx.ModelProto:
    """A graph of nodes on windows; each has `op`, `inputs`, `output`, and weights by `shape`."""
    random = np.random.default_rng(0)
    nodes, weights = [], []
    for layer in layers:
        inputs, output, own = list(layer["inputs"]), layer["output"], layer.get("shape")
        if own:
            values = random.normal(0, 0.3, own).astype(np.float32)
            weights.append(numpy_helper.from_array(values, f"weights of {output}"))
            inputs.append(f"weights of {output}")
        attributes = layer.get("attributes", {})
        nodes.append(helper.make_node(layer["op"], inputs, [output], name=output, **attributes))
    given = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", bands, SIZE, SIZE])
    found = helper.make_tensor_value_info("scores", TensorProto.FLOAT, scores)
    made = helper.make_graph(nodes, "network", [given], [found], weights)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)


def conv(source: str, output: str, shape: tuple[int, int], side: int = 1, **more: Any) -> Any:
    attributes = {"pads": [side // 2] * 4, **more}
    return {
        "op": "Conv",
        "inputs": [source],
        "output": output,
        "shape": (*shape, side, side),
        "attributes": attributes,
    }


def windows(count: int = 5) -> NDArray[np.float32]:
    return np.random.default_rng(1).normal(size=(count, 2, SIZE, SIZE)).astype(np.float32)


PIXELS: list[str | int] = ["batch", 3, SIZE, SIZE]


@pytest.mark.parametrize("channels", [8, 1500])
def test_features_of_windows_are_means_over_cells(channels: int, tmp_path: Path) -> None:
    # the decoder's last step comes after its last layer
    layers = [
        conv("input", "hidden", (channels, 2), 3, strides=[2, 2], pads=[1, 1, 0, 0]),
        conv("hidden", "small", (3, channels)),
        {"op": "Resize", "inputs": ["small", "", "scales"], "output": "scores"},
    ]
    model = graph(*layers, scores=PIXELS)
    model.graph.initializer.append(
        numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "scales")
    )
    onnx.save(model, tmp_path / "model.onnx")
    X = windows()
    found = features_graph(tmp_path / "model.onnx", tmp_path / "features.onnx", X)
    # few features are compared for each value of the layer, two pixels wide; many for larger cells
    cell = 2 if channels == 8 else 8
    assert found == Features(channels, cell)
    outputs = OnnxModel(tmp_path / "features.onnx").predict(X)
    assert outputs["features"].shape == (5, channels, SIZE // cell, SIZE // cell)
    weights, _ = (numpy_helper.to_array(own) for own in reversed(model.graph.initializer[:2]))
    cells = outputs["scores"].reshape(5, 3, SIZE // cell, cell, SIZE // cell, cell).mean((3, 5))
    given = np.einsum("of,nfij->noij", weights[:, :, 0, 0], outputs["features"])
    np.testing.assert_allclose(given, cells, rtol=1e-3, atol=1e-4)


def two_heads() -> onnx.ModelProto:
    return graph(
        conv("input", "a", (4, 2)),
        conv("input", "b", (4, 2)),
        conv("a", "first", (3, 4)),
        conv("b", "second", (3, 4)),
        {"op": "Add", "inputs": ["first", "second"], "output": "scores"},
        scores=PIXELS,
    )


def one_layer() -> onnx.ModelProto:
    scaled = {"op": "Mul", "inputs": ["input", "input"], "output": "scaled"}
    return graph(scaled, conv("scaled", "scores", (3, 2)), scores=PIXELS)


def external(model: onnx.ModelProto) -> onnx.ModelProto:
    weights = model.graph.initializer[0]
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="../../etc/passwd")
    return model


def two_inputs() -> onnx.ModelProto:
    model = one_layer()
    model.graph.input.append(helper.make_tensor_value_info("other", TensorProto.FLOAT, [1]))
    return model


def taken() -> onnx.ModelProto:
    return graph(
        conv("input", "features", (4, 2)), conv("features", "scores", (3, 4)), scores=PIXELS
    )


def custom() -> onnx.ModelProto:
    model = one_layer()
    model.graph.node[0].domain = "somebody.else"
    return model


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (two_heads(), "several layers are its last ones, with inputs of their own: first, second"),
        (one_layer(), "one layer only, so its features are its predictors"),
        (external(one_layer()), "its weights are in other files"),
        (two_inputs(), "it has 2 inputs, where one is expected"),
        (taken(), "has a value called 'features' already"),
        (custom(), "custom operators of somebody.else"),
    ],
    ids=["heads", "linear", "external", "inputs", "name", "custom"],
)
def test_models_without_features_have_a_reason_and_no_file(
    model: onnx.ModelProto, reason: str, tmp_path: Path
) -> None:
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(ExportError, match=reason):
        features_graph(tmp_path / "model.onnx", tmp_path / "features.onnx", windows())
    assert not (tmp_path / "features.onnx").exists()
