"""One contract for all framework adapters: safe native form, equal reload, ONNX of any batch size, parity."""

from __future__ import annotations

import io
import json
import subprocess
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import skops.io
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC
from torch import Tensor, nn

from mlops_assets.errors import ExportError, TrainerError
from mlops_assets.training.frameworks import Framework, framework_named, framework_of
from mlops_assets.training.frameworks.pytorch import ARCHITECTURE, PyTorch
from mlops_assets.training.frameworks.scikit_learn import FILE, ScikitLearn
from mlops_assets.training.onnx_model import OnnxModel
from mlops_assets_tests.training.trainers import PatchNet, WindowNet, samples


class Wrapped(nn.Module):
    """Keeps a module and numbers as its arguments."""

    def __init__(self, body: nn.Module, width: int, classes: int = 3) -> None:
        super().__init__()
        self.body, self.width, self.classes = body, width, classes
        self.head = nn.Linear(width, classes)

    def forward(self, rows: Tensor) -> Tensor:
        return self.head(self.body(rows))


class OwnSequential(nn.Sequential):
    """A Sequential with arguments of its own."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__(nn.Linear(features, 4), nn.ReLU(), nn.Linear(4, classes))
        self.features, self.classes = features, classes


class Forgetful(nn.Module):
    """Does not keep an argument without a default."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer = nn.Linear(width, 2)

    def forward(self, rows: Tensor) -> Tensor:
        return self.layer(rows)


class Deceptive(nn.Module):
    """Does not keep an argument with a default, which therefore comes back as another."""

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.times = factor

    def forward(self, rows: Tensor) -> Tensor:
        return rows * self.times


class KeepsTensor(nn.Module):
    """Keeps an argument that JSON cannot hold."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = weight


class ForeignClassifier(ClassifierMixin, BaseEstimator):
    """An estimator from outside scikit-learn."""

    def fit(self, X: Any, y: Any) -> ForeignClassifier:
        self.classes_ = np.unique(y)
        return self


@dataclass(frozen=True)
class Case:
    """A model to train and the shape of its samples."""

    framework: str
    build: Callable[[], Any]
    task: str = "classification"
    shape: tuple[int, ...] = (6,)


def mlp(outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, outputs))


CASES = {
    "sequential": Case("pytorch", lambda: mlp(3)),
    "module-as-argument": Case("pytorch", lambda: Wrapped(nn.Sequential(nn.Linear(6, 5), nn.Tanh()), width=5)),
    "own-class-on-patches": Case("pytorch", lambda: PatchNet(4, 3, size=5), shape=(4, 5, 5)),
    "windows": Case("pytorch", lambda: WindowNet(2, 3), "semantic-segmentation", (2, 8, 8)),
    "mlp-regression": Case("pytorch", lambda: mlp(1), "regression"),
    "pipeline-svc": Case("scikit-learn", lambda: make_pipeline(StandardScaler(), SVC())),
    "random-forest": Case("scikit-learn", lambda: RandomForestClassifier(5, random_state=0)),
    "logistic": Case("scikit-learn", LogisticRegression),
    "logistic-on-patches": Case("scikit-learn", LogisticRegression, shape=(2, 3, 3)),
    "ridge": Case("scikit-learn", Ridge, "regression"),
    "forest-regression": Case("scikit-learn", lambda: RandomForestRegressor(5, random_state=0), "regression"),
}
OUTPUTS = {"pipeline-svc": {"label"}, "pytorch": {"scores"}, "scikit-learn": {"label", "scores"}}


@dataclass(frozen=True)
class Made:
    """A trained model with its native folder, what came back from there, and its ONNX file."""

    name: str
    case: Case
    framework: Framework
    model: Any
    X: NDArray[np.float32]
    native: Path
    reloaded: Any
    onnx: Path


@pytest.fixture(scope="module", params=CASES)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    case = CASES[request.param]
    torch.manual_seed(0)
    X, y = samples(case.shape)
    model = case.build()
    framework = framework_of(model, "a:trainer")
    if isinstance(model, nn.Module):
        model.train()(torch.from_numpy(X))  # moves the batch norm's buffers away from where they start
    else:
        model.fit(X.reshape(len(X), -1), y + 0.5 if case.task == "regression" else y)
    native, path = tmp_path_factory.mktemp("native"), tmp_path_factory.mktemp("onnx") / "model.onnx"
    framework.save(model, native)
    reloaded = framework.load(native)
    framework.export(reloaded, case.shape, case.task, path)
    return Made(request.param, case, framework, model, X, native, reloaded, path)


def test_the_returned_model_decides_the_adapter(made: Made) -> None:
    assert made.framework.name == made.case.framework
    assert type(framework_named(made.framework.name)) is type(made.framework)


def test_native_form_holds_no_pickle(made: Made) -> None:
    blobs = {path.name: path.read_bytes() for path in made.native.iterdir()}
    assert {Path(name).suffix for name in blobs} <= {".safetensors", ".json", ".skops"}
    for archive in [name for name in blobs if name.endswith(".skops")]:
        with zipfile.ZipFile(made.native / archive) as members:
            blobs |= {name: members.read(name) for name in members.namelist()}
    for name, blob in blobs.items():
        assert not blob.startswith(b"\x80"), name
        if name.endswith(".npy"):
            np.load(io.BytesIO(blob), allow_pickle=False)
        else:
            assert Path(name).suffix in {".safetensors", ".json", ".skops"}


def test_reloaded_model_predicts_exactly_the_same(made: Made) -> None:
    before, after = (made.framework.predict(model, made.X, made.case.task) for model in (made.model, made.reloaded))
    assert before.keys() == after.keys()
    for name in before:
        np.testing.assert_array_equal(before[name], after[name])


def test_onnx_is_one_file_with_a_free_batch_axis_and_our_names(made: Made) -> None:
    assert [path.name for path in made.onnx.parent.iterdir()] == ["model.onnx"]
    proto = onnx.load(made.onnx, load_external_data=False)
    assert not any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in proto.graph.initializer)
    (entry,) = proto.graph.input
    batch, *rest = entry.type.tensor_type.shape.dim
    assert (entry.name, entry.type.tensor_type.elem_type) == ("input", onnx.TensorProto.FLOAT)
    assert batch.dim_param and tuple(dim.dim_value for dim in rest) == made.case.shape
    expected = {"value"} if made.case.task == "regression" else OUTPUTS.get(made.name, OUTPUTS[made.case.framework])
    assert {output.name for output in proto.graph.output} == expected


@pytest.mark.parametrize("batch", [1, 7, 1000])
def test_onnx_gives_what_the_model_gives(made: Made, batch: int) -> None:
    native = made.framework.predict(made.model, made.X, made.case.task)
    found = OnnxModel(made.onnx).predict(made.X, batch)
    assert found.keys() == native.keys()
    for name, expected in native.items():
        np.testing.assert_allclose(found[name].reshape(expected.shape), expected, rtol=1e-4, atol=1e-4)


def test_scores_are_largest_at_the_predicted_class(made: Made) -> None:
    outputs = made.framework.predict(made.model, made.X, made.case.task)
    if outputs.keys() >= {"label", "scores"}:
        np.testing.assert_array_equal(outputs["scores"].argmax(axis=1), outputs["label"])


def test_architecture_is_named_and_parameters_counted(made: Made) -> None:
    described = made.framework.describe(made.model)
    final = made.model.steps[-1][1] if made.name.startswith("pipeline") else made.model
    assert described["architecture"] == type(final).__name__
    if isinstance(made.model, nn.Module):
        assert described["parameters"] == sum(p.numel() for p in made.model.parameters())
    else:
        assert described["parameters"] is None


def local_class() -> nn.Module:
    class Local(nn.Module):
        pass

    return Local()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (local_class, "defined inside a function"),
        (lambda: Forgetful(3), "does not keep its argument 'width'"),
        (lambda: nn.Sequential(nn.ReLU(), Forgetful(3)), "does not keep its argument 'width'"),
        (lambda: KeepsTensor(torch.ones(2)), "keeps 'weight' as a Tensor"),
    ],
    ids=["local class", "forgotten argument", "nested", "tensor argument"],
)
def test_a_module_that_cannot_be_rebuilt_is_refused(
    build: Callable[[], nn.Module], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ExportError, match=message):
        PyTorch().save(build(), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "named",
    ["os:system", "subprocess:Popen", "builtins:eval", "torch:load", "collections:OrderedDict"],
)
def test_an_architecture_that_names_no_module_is_refused(named: str, tmp_path: Path) -> None:
    PyTorch().save(nn.Linear(2, 2), tmp_path)
    (tmp_path / ARCHITECTURE).write_text(json.dumps({"class": named, "arguments": {"command": "false"}}))
    with pytest.raises(ExportError, match="no torch module"):
        PyTorch().load(tmp_path)


@pytest.mark.parametrize("named", ["mlops_assets_tests.gone:Net", f"{__name__}:Renamed"])
def test_an_architecture_whose_class_is_gone_is_refused(named: str, tmp_path: Path) -> None:
    PyTorch().save(nn.Linear(2, 2), tmp_path)
    (tmp_path / ARCHITECTURE).write_text(json.dumps({"class": named, "arguments": {}}))
    with pytest.raises(ExportError):
        PyTorch().load(tmp_path)


def test_weights_of_another_module_are_refused(tmp_path: Path) -> None:
    PyTorch().save(nn.Linear(2, 2), tmp_path)
    document = json.loads((tmp_path / ARCHITECTURE).read_text())
    document["arguments"]["out_features"] = 3
    (tmp_path / ARCHITECTURE).write_text(json.dumps(document))
    with pytest.raises(ExportError, match="weights do not fit Linear"):
        PyTorch().load(tmp_path)


@pytest.mark.parametrize(
    "build",
    [
        pytest.param(
            lambda: OwnSequential(6, 3),
        ),
        lambda: nn.Sequential(nn.Linear(6, 4), nn.Unflatten(1, (2, 2)), nn.Flatten()),
        lambda: nn.Sequential(nn.Linear(6, 4, bias=False), nn.LayerNorm((4,)), nn.Linear(4, 2)),
    ],
    ids=["subclass of Sequential", "tuple argument", "no bias"],
)
def test_common_modules_come_back_as_they_were(build: Callable[[], nn.Module], tmp_path: Path) -> None:
    torch.manual_seed(0)
    adapter, model, (X, _) = PyTorch(), build(), samples((6,))
    adapter.save(model, tmp_path)
    before, after = (adapter.predict(m, X, "classification") for m in (model, adapter.load(tmp_path)))
    np.testing.assert_array_equal(before["scores"], after["scores"])


def test_foreign_classes_are_refused_on_writing_and_on_reading(tmp_path: Path) -> None:
    X, y = samples((6,))
    model = make_pipeline(StandardScaler(), ForeignClassifier()).fit(X, y)
    with pytest.raises(ExportError, match="ForeignClassifier"):
        ScikitLearn().save(model, tmp_path)
    skops.io.dump(model, tmp_path / FILE)
    with pytest.raises(ExportError, match="ForeignClassifier"):
        ScikitLearn().load(tmp_path)


def test_a_function_that_scikit_learn_only_imports_is_refused(tmp_path: Path) -> None:
    skops.io.dump(FunctionTransformer(func=subprocess.check_output), tmp_path / "written.skops")
    with zipfile.ZipFile(tmp_path / "written.skops") as written, zipfile.ZipFile(tmp_path / FILE, "w") as changed:
        for name in written.namelist():
            changed.writestr(name, written.read(name).replace(b'"subprocess"', b'"sklearn.utils._testing"'))
    with pytest.raises(ExportError, match="check_output"):
        ScikitLearn().load(tmp_path)


@pytest.mark.parametrize(
    ("build", "task", "message"),
    [
        (Ridge, "classification", "Ridge does not suit task 'classification'"),
        (LogisticRegression, "regression", "LogisticRegression does not suit task 'regression'"),
        (lambda: KNeighborsClassifier(metric=np.dot), "classification", "KNeighborsClassifier cannot be exported"),
        (ForeignClassifier, "classification", "ForeignClassifier cannot be exported"),
    ],
    ids=["regressor", "classifier", "own metric", "own estimator"],
)
def test_estimators_that_onnx_cannot_express_are_named(
    build: Callable[[], Any], task: str, message: str, tmp_path: Path
) -> None:
    X, y = samples((6,))
    with pytest.raises(ExportError, match=message):
        ScikitLearn().export(build().fit(X, y), (6,), task, tmp_path / "model.onnx")


class DependsOnData(nn.Module):
    """Branches on values, which a traced graph cannot."""

    def forward(self, rows: Tensor) -> Tensor:
        return rows if float(rows.sum()) > 0 else -rows


def test_a_module_that_onnx_cannot_express_is_named(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="DependsOnData cannot be exported to ONNX"):
        PyTorch().export(DependsOnData(), (6,), "classification", tmp_path / "model.onnx")


@pytest.mark.parametrize(
    ("model", "message"),
    [(None, "returned nothing"), ({"weights": 1}, "returned a builtins.dict"), (3, "returned a builtins.int")],
    ids=["nothing", "dictionary", "number"],
)
def test_what_no_adapter_knows_is_refused(model: Any, message: str) -> None:
    with pytest.raises(TrainerError, match=f"a:trainer {message}"):
        framework_of(model, "a:trainer")


def test_an_unknown_adapter_is_refused() -> None:
    with pytest.raises(TrainerError, match="'caffe'"):
        framework_named("caffe")
