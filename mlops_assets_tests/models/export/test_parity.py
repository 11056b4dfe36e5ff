"""An ONNX model that is not the trained one is caught.

Other numbers, other decisions, NaN, a frozen batch axis.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from mlops_assets.datasets.commit.commit import Commit
from mlops_assets.datasets.loading.training_data import TrainingData
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.datasets.versions.documents import json_bytes
from mlops_assets.errors import MlopsError, ParityError
from mlops_assets.models.export.export import export
from mlops_assets.models.export.parity import ParityReport, compare_outputs
from mlops_assets.models.frameworks.pytorch import PyTorch
from mlops_assets.models.onnx.session import OnnxModel, Outputs
from mlops_assets.models.specification import Parity
from mlops_assets.names import Reference
from mlops_assets.paths import model_folder
from mlops_assets.store import Store
from mlops_assets.training.train import train
from mlops_assets_tests.training.example_trainers import (
    model_specification,
    samples,
    training_request,
)

CLASSES = 3
X, _ = samples((6,), count=200)


@pytest.fixture
def model() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(6, CLASSES).requires_grad_(False)


def onnx_of(
    path: Path, weight: NDArray[np.floating], bias: NDArray[np.floating], batch: int | str = "batch"
) -> OnnxModel:
    """An ONNX file that computes `input · weightᵀ + bias`."""
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, size])
        for name, size in (("input", weight.shape[1]), ("scores", weight.shape[0]))
    ]
    parts = [
        numpy_helper.from_array(array.astype(np.float32), name)
        for name, array in (("w", weight), ("b", bias))
    ]
    gemm = helper.make_node("Gemm", ["input", "w", "b"], ["scores"], transB=1)
    graph = helper.make_graph([gemm], "linear", ends[:1], ends[1:], parts)
    path.write_bytes(
        helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10
        ).SerializeToString()
    )
    onnx.checker.check_model(path)
    return OnnxModel(path)


def report_of(
    tmp_path: Path,
    model: nn.Linear,
    limits: Parity | None = None,
    task: str = "classification",
    batch: int | str = "batch",
    weight: NDArray[np.floating] | None = None,
    bias: NDArray[np.floating] | None = None,
) -> ParityReport:
    """Compare a model with an ONNX file of the same parts, or of the ones given instead."""
    other = onnx_of(
        tmp_path / "model.onnx",
        model.weight.numpy() if weight is None else weight,
        model.bias.numpy() if bias is None else bias,
        batch,
    )
    native = PyTorch().predict(model, X, task)
    return compare_outputs(native, other, X, task, limits or Parity())


def test_the_same_model_passes(tmp_path: Path, model: nn.Linear) -> None:
    report = report_of(tmp_path, model)
    assert report.passed and report.agreement == 1 and report.difference < 1e-5
    assert report.samples == len(X)
    assert "ONNX equals the trained model on 200 test samples" in report.description


@pytest.mark.parametrize(("shift", "passed"), [(2e-4, True), (5e-3, False)])
def test_tolerance_is_relative_to_the_spread_of_the_output(
    shift: float, passed: bool, tmp_path: Path, model: nn.Linear
) -> None:
    native = PyTorch().predict(model, X, "classification")["scores"]
    bias = model.bias.numpy() + shift * np.ptp(native).astype(np.float32)
    report = report_of(tmp_path, model, bias=bias)
    assert report.passed is passed
    assert shift * 0.95 < report.difference
    assert report.agreement == 1  # a shift of all scores changes no decision


def test_one_perturbed_weight_is_caught(tmp_path: Path, model: nn.Linear) -> None:
    weight = model.weight.numpy().copy()
    weight[1, 2] += 0.1
    report = report_of(tmp_path, model, weight=weight)
    assert not report.passed
    assert report.worst is not None
    assert (report.worst.sample, report.worst.batch) == (np.abs(X[:, 2]).argmax(), len(X))
    assert report.worst.onnx[1] - report.worst.native[1] == pytest.approx(
        0.1 * X[report.worst.sample, 2], rel=1e-4
    )
    assert report.worst.native[::2] == pytest.approx(report.worst.onnx[::2], rel=1e-4)
    assert f"worst is sample {report.worst.sample} in batches of 200: scores " in report.description
    assert "ONNX differs from the trained model" in report.description


def test_another_decision_is_caught_where_the_scores_are_near(
    tmp_path: Path, model: nn.Linear
) -> None:
    swapped = [1, 0, 2]
    weight, bias = model.weight.numpy()[swapped], model.bias.numpy()[swapped]
    report = report_of(tmp_path, model, Parity(tolerance=100), weight=weight, bias=bias)
    decided = PyTorch().predict(model, X, "classification")["scores"].argmax(axis=1)
    assert report.difference < 100 and not report.passed
    assert report.worst is not None and report.worst.output == "label"
    assert {report.worst.native[0], report.worst.onnx[0]} == {0, 1}
    assert report.agreement <= np.mean(decided == 2)


def test_enough_agreement_is_as_declared(tmp_path: Path, model: nn.Linear) -> None:
    swapped = [1, 0, 2]
    weight, bias = model.weight.numpy()[swapped], model.bias.numpy()[swapped]
    limits = Parity(tolerance=100, agreement=0)
    assert report_of(tmp_path, model, limits, weight=weight, bias=bias).passed


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_outputs_that_are_no_numbers_are_caught(
    value: float, tmp_path: Path, model: nn.Linear
) -> None:
    bias = model.bias.numpy().copy()
    bias[2] = value
    report = report_of(tmp_path, model, Parity(tolerance=1e9, agreement=0), bias=bias)
    assert not report.passed and report.difference > 1e300


def test_a_trained_model_that_gives_nan_does_not_pass_as_equal(
    tmp_path: Path, model: nn.Linear
) -> None:
    model.bias[0] = torch.nan
    assert not report_of(tmp_path, model).passed


def test_nan_in_a_single_sample_is_caught(
    tmp_path: Path, model: nn.Linear, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = OnnxModel.predict

    def broken(self: OnnxModel, X: NDArray[np.float32], batch: int = 1024) -> Outputs:
        outputs = exact(self, X, batch)
        outputs["scores"][150:151] = np.nan
        return outputs

    monkeypatch.setattr(OnnxModel, "predict", broken)
    report = report_of(tmp_path, model, Parity(tolerance=1e9, agreement=0))
    assert not report.passed and report.worst is not None and report.worst.sample == 150
    assert "scores nan" not in report.description and "nan, nan, nan as ONNX" in report.description


def test_a_fault_in_small_batches_only_is_caught(
    tmp_path: Path, model: nn.Linear, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = OnnxModel.predict

    def wrong_in_batches_of_seven(
        self: OnnxModel, X: NDArray[np.float32], batch: int = 1024
    ) -> Outputs:
        return {name: values + (batch == 7) for name, values in exact(self, X, batch).items()}

    monkeypatch.setattr(OnnxModel, "predict", wrong_in_batches_of_seven)
    report = report_of(tmp_path, model)
    assert not report.passed and report.worst is not None and report.worst.batch == 7


def test_a_frozen_batch_axis_is_reported_as_our_error(tmp_path: Path, model: nn.Linear) -> None:
    with pytest.raises(MlopsError, match="batch"):
        report_of(tmp_path, model, batch=len(X))


@pytest.mark.parametrize(("shift", "passed"), [(0.0, True), (0.05, False)])
def test_numbers_are_compared_for_regression(shift: float, passed: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Linear(6, 1).requires_grad_(False)
    other = onnx_of(tmp_path / "model.onnx", model.weight.numpy(), model.bias.numpy() + shift)
    proto = onnx.load(tmp_path / "model.onnx")
    proto.graph.node[0].output[0] = proto.graph.output[0].name = "value"
    (tmp_path / "value.onnx").write_bytes(proto.SerializeToString())
    other = OnnxModel(tmp_path / "value.onnx")
    native = PyTorch().predict(model, X, "regression")
    report = compare_outputs(native, other, X, "regression", Parity())
    assert (report.passed, report.agreement) == (passed, 1)


def test_equal_first_samples_do_not_make_rounding_a_difference(
    tmp_path: Path, model: nn.Linear
) -> None:
    """Neighbouring samples are often alike.

    A gap must be compared with the spread of all outputs.
    """
    alike = X.copy()
    alike[:5] = alike[0]
    limits, bias = Parity(tolerance=1e-3), model.bias.numpy() + 1e-5
    other = onnx_of(tmp_path / "model.onnx", model.weight.numpy()[:1], bias[:1])
    one = nn.Linear(6, 1).requires_grad_(False)
    one.weight.copy_(model.weight[:1])
    one.bias.copy_(model.bias[:1])
    native = PyTorch().predict(one, alike, "classification")
    report = compare_outputs(native, other, alike, "classification", limits)
    assert report.difference == pytest.approx(
        1e-5 / np.ptp(PyTorch().predict(one, alike, "")["scores"]), rel=0.05
    )
    assert report.passed


def test_the_worst_pixel_of_a_window_is_reported(tmp_path: Path) -> None:
    shape = (9, 2, 4, 4)
    windows = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    wrong = windows.copy()
    wrong[5, 1, 2, 3] += 9

    class Wrong:
        def predict(self, X: NDArray[np.float32], batch: int) -> dict[str, NDArray[np.float32]]:
            return {"scores": wrong[: len(X)]}

    report = compare_outputs(
        {"scores": windows},
        Wrong(),  # type: ignore[arg-type]
        windows,
        "semantic-segmentation",
        Parity(),
    )
    assert report.worst is not None
    assert (report.worst.sample, report.worst.native) == (5, windows[5, :, 2, 3].tolist())
    assert report.worst.onnx == wrong[5, :, 2, 3].tolist()


def test_no_samples_prove_nothing(tmp_path: Path, model: nn.Linear) -> None:
    other = onnx_of(tmp_path / "model.onnx", model.weight.numpy(), model.bias.numpy())
    with pytest.raises(ParityError, match="no test sample to compare"):
        compare_outputs({}, other, X[:0], "classification", Parity())


def test_a_failed_export_names_the_place_of_the_worst_sample(
    store: Store, land_scenes: Callable[..., Commit], monkeypatch: pytest.MonkeyPatch
) -> None:
    land_scenes()
    specification = model_specification("cover", dataset="scenes", parity={"samples": 20})
    row = train(store, training_request(specification))
    data = TrainingData(
        CommittedDataset.open(store.workspace, store.registry, Reference("scenes")),
        "classification",
    )
    exact = OnnxModel.predict

    def broken(self: OnnxModel, X: NDArray[np.float32], batch: int = 1024) -> Outputs:
        outputs = exact(self, X, batch)
        outputs["scores"][13:14] += 3
        return outputs

    monkeypatch.setattr(OnnxModel, "predict", broken)
    with pytest.raises(ParityError) as caught:
        export(store, specification, row)
    position = data.positions("test", 20)[13]
    sample = data.committed.split("test").iloc[position]
    place = (
        f"sample {position} (images/a.tif, row {sample['row']}, column {sample['column']}) in"
        " batches of 20: scores"
    )
    assert place in str(caught.value)
    np.testing.assert_array_equal(
        data.arrays("test")[0][position], data.arrays("test", limit=20)[0][13]
    )
    assert not store.workspace.exists(f"{model_folder(row.model, row.version)}/parity.json")


def test_a_report_can_be_written(tmp_path: Path, model: nn.Linear) -> None:
    document = report_of(tmp_path, model).document()
    assert document["passed"] is True and json_bytes(document)
