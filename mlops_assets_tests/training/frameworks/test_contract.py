"""One contract for all framework adapters: safe native form, equal reload, ONNX of any batch size, parity."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from mlops_assets.errors import ExportError, MissingExtra
from mlops_assets.training.frameworks import Framework, framework_named, framework_of
from mlops_assets.training.onnx_graph import facts
from mlops_assets.training.onnx_model import OnnxModel
from mlops_assets.training.parity import compare
from mlops_assets.training.specification import Parity
from mlops_assets_tests.training.frameworks.models import CASES, FRAMEWORKS, Case, from_models

NATIVE = {
    "pytorch": {"architecture.json", "model.safetensors"},
    "scikit-learn": {"model.skops"},
    "xgboost": {"model.ubj", "sha256.txt"},
    "lightgbm": {"model.txt", "sha256.txt"},
    "keras": {"model.keras", "classes.json"},
    "flax": {"architecture.json", "model.safetensors"},
}


@dataclass(frozen=True)
class Made:
    """A trained model with its native folder, what came back from there, and its ONNX file."""

    case: Case
    framework: Framework
    model: Any
    X: NDArray[np.float32]
    native: Path
    reloaded: Any
    onnx: Path


@pytest.fixture(
    scope="module",
    params=[pytest.param(case, id=f"{case.framework}-{case.builder}-{len(case.shape)}d") for case in CASES],
)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    case: Case = request.param
    model, X = case.build()
    framework = framework_of(model, "a:trainer")
    native, path = tmp_path_factory.mktemp("native"), tmp_path_factory.mktemp("onnx") / "model.onnx"
    framework.save(model, native)
    reloaded = framework.load(native)
    framework.export(reloaded, case.shape, case.task, path)
    return Made(case, framework, model, X, native, reloaded, path)


def test_the_returned_model_decides_the_adapter(made: Made) -> None:
    assert made.framework.name == made.case.framework
    assert type(framework_named(made.framework.name)) is type(made.framework)


def test_native_form_holds_no_pickle(made: Made) -> None:
    assert {path.name for path in made.native.iterdir()} == NATIVE[made.framework.name]
    for path in made.native.iterdir():
        blob = path.read_bytes()
        assert b"pickle" not in blob.lower(), path.name
        assert not blob.startswith(b"\x80"), path.name


def test_reloaded_model_predicts_exactly_the_same(made: Made) -> None:
    before, after = (made.framework.predict(model, made.X, made.case.task) for model in (made.model, made.reloaded))
    assert before.keys() == after.keys() == made.case.outputs
    for name in before:
        np.testing.assert_array_equal(before[name], after[name])


def test_equal_models_are_equal_bytes(made: Made, tmp_path: Path) -> None:
    again, _ = made.case.build()
    made.framework.save(again, tmp_path)
    for path in made.native.iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes(), path.name


def test_onnx_is_one_file_with_a_free_batch_axis_and_our_names(made: Made) -> None:
    assert [path.name for path in made.onnx.parent.iterdir()] == ["model.onnx"]
    proto = onnx.load(made.onnx, load_external_data=False)
    assert not any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in proto.graph.initializer)
    (entry,) = proto.graph.input
    batch, *rest = entry.type.tensor_type.shape.dim
    assert (entry.name, entry.type.tensor_type.elem_type) == ("input", onnx.TensorProto.FLOAT)
    assert batch.dim_param == "batch"
    assert tuple(dim.dim_value for dim in rest) == made.case.shape
    assert {output.name for output in proto.graph.output} == made.case.outputs
    assert {output.type.tensor_type.shape.dim[0].dim_param for output in proto.graph.output} == {"batch"}


def test_onnx_says_what_it_is_and_what_wrote_it(made: Made) -> None:
    found = facts(onnx.load(made.onnx))
    assert found["ir_version"] >= 4
    assert found["opset"]["ai.onnx"] >= 8
    assert any(character.isdigit() for character in found["producer"])


@pytest.mark.parametrize("batch", [1, 7, 1000])
def test_onnx_gives_what_the_model_gives(made: Made, batch: int) -> None:
    native = made.framework.predict(made.model, made.X, made.case.task)
    found = OnnxModel(made.onnx).predict(made.X, batch)
    assert found.keys() == native.keys()
    for name, expected in native.items():
        assert found[name].shape == expected.shape
        np.testing.assert_allclose(found[name], expected, rtol=1e-4, atol=1e-4)


def test_parity_is_found(made: Made) -> None:
    report = compare(made.framework, made.reloaded, OnnxModel(made.onnx), made.X, made.case.task, Parity())
    assert report.passed, report.description


def test_scores_are_largest_at_the_predicted_class(made: Made) -> None:
    outputs = made.framework.predict(made.model, made.X, made.case.task)
    if outputs.keys() >= {"label", "scores"}:
        np.testing.assert_array_equal(outputs["scores"].argmax(axis=1), outputs["label"])
    if made.case.task == "semantic-segmentation":
        assert outputs["scores"].shape == (len(made.X), 3, *made.case.shape[1:])


def test_a_description_can_be_recorded(made: Made) -> None:
    described = made.framework.describe(made.model)
    assert described == made.framework.describe(made.reloaded) or made.framework.name in ("xgboost", "lightgbm")
    assert described["architecture"]
    assert described["parameters"] is None or described["parameters"] > 0


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_an_operator_that_onnx_cannot_express_is_named(framework: str, tmp_path: Path) -> None:
    model, shape, name = from_models(framework, "inexpressible")()
    with pytest.raises(ExportError, match=name):
        framework_named(framework).export(model, shape, "classification", tmp_path / "model.onnx")


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_what_is_not_safe_is_not_written(framework: str, tmp_path: Path) -> None:
    model, message = from_models(framework, "unsafe")()
    with pytest.raises(ExportError, match=message):
        framework_named(framework).save(model, tmp_path)


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("damage", ["cut", "emptied", "another file", "removed"])
def test_damaged_files_are_refused(framework: str, damage: str, tmp_path: Path) -> None:
    case = next(case for case in CASES if case.framework == framework)
    adapter = framework_named(framework)
    adapter.save(case.build()[0], tmp_path)
    file = max(tmp_path.iterdir(), key=lambda path: path.stat().st_size)
    if damage == "removed":
        file.unlink()
    else:
        content = file.read_bytes()
        file.write_bytes({"cut": content[: len(content) // 2], "emptied": b"", "another file": b"garbage"}[damage])
    with pytest.raises(ExportError):
        adapter.load(tmp_path)


READ_ELSEWHERE = """
import sys
from pathlib import Path
import numpy as np
from mlops_assets.training.frameworks import framework_named
framework, folder = framework_named(sys.argv[1]), Path(sys.argv[2])
outputs = framework.predict(framework.load(folder), np.load(folder.parent / "X.npy"), "classification")
np.savez(folder.parent / "outputs.npz", **outputs)
"""


@pytest.mark.parametrize("framework", ["xgboost", "keras"])
def test_another_process_reads_the_same_model(framework: str, tmp_path: Path) -> None:
    builder = {"xgboost": "booster", "keras": "own_layer"}[framework]
    case = next(case for case in CASES if (case.framework, case.builder) == (framework, builder))
    (model, X), adapter, folder = case.build(), framework_named(framework), tmp_path / "native"
    folder.mkdir()
    adapter.save(model, folder)
    np.save(tmp_path / "X.npy", X)
    root = Path(__file__).parents[3]
    subprocess.run([sys.executable, "-c", READ_ELSEWHERE, framework, str(folder)], check=True, cwd=root)
    with np.load(tmp_path / "outputs.npz") as found:
        np.testing.assert_array_equal(found["scores"], adapter.predict(model, X, "classification")["scores"])


@pytest.mark.parametrize(
    ("framework", "package", "extra"),
    [
        ("xgboost", "xgboost", "xgboost"),
        ("xgboost", "onnxmltools", "xgboost"),
        ("lightgbm", "lightgbm", "lightgbm"),
        ("keras", "keras", "tensorflow"),
        ("flax", "flax", "jax"),
        ("flax", "jax2onnx", "jax"),
    ],
)
def test_a_missing_framework_names_its_extra(
    framework: str, package: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, f"mlops_assets.training.frameworks.{framework}", raising=False)
    with pytest.raises(MissingExtra, match=rf"a model of {framework} needs {package}, .*'mlops-assets\[{extra}\]'"):
        framework_named(framework)


def test_no_framework_is_imported_before_a_model_of_it_is_there() -> None:
    code = (
        "import sys, mlops_assets.definitions, mlops_assets.training.frameworks\n"
        "print([name for name in ('keras', 'tensorflow', 'xgboost', 'lightgbm', 'jax', 'flax') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "[]"
