"""What only the adapters of XGBoost and LightGBM have: what a converter does wrongly is refused, NaN is a value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost

from mlops_assets.errors import ExportError
from mlops_assets.training.frameworks import framework_of
from mlops_assets.training.onnx_model import OnnxModel
from mlops_assets_tests.training.frameworks import lightgbm_models, xgboost_models
from mlops_assets_tests.training.trainers import samples


def both(model: Any, rows: Any, task: str, folder: Path) -> tuple[Any, Any]:
    """Outputs of a model and of its ONNX file."""
    adapter = framework_of(model, "a:trainer")
    adapter.save(model, folder)
    adapter.export(adapter.load(folder), rows.shape[1:], task, folder / "model.onnx")
    name = "value" if task == "regression" else "scores"
    return adapter.predict(model, rows, task)[name], OnnxModel(folder / "model.onnx").predict(rows)[name]


@pytest.mark.parametrize("models", [xgboost_models, lightgbm_models], ids=["xgboost", "lightgbm"])
@pytest.mark.parametrize("seen", [True, False], ids=["gaps in training", "no gaps in training"])
@pytest.mark.parametrize("builder", ["booster", "wrapper_of_two_classes", "regression"])
def test_missing_values_mean_the_same_in_onnx(
    models: Any, builder: str, seen: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    X, y = samples((6,), count=200)
    gaps = xgboost_models.with_gaps(X)
    if not seen:
        monkeypatch.setattr(models, "with_gaps", lambda X: X)
    task = "regression" if builder == "regression" else "classification"
    native, found = both(getattr(models, builder)(X - 1, y), gaps - 1, task, tmp_path)
    np.testing.assert_allclose(found, native, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("models", [xgboost_models, lightgbm_models], ids=["xgboost", "lightgbm"])
def test_values_next_to_a_threshold_go_the_same_way_in_onnx(models: Any, tmp_path: Path) -> None:
    near = np.float32(0.1) + np.arange(64, dtype=np.float32) * np.spacing(np.float32(0.1))
    X = np.repeat(near, 4)[:, None]
    y = (np.arange(256) // 4 % 2).astype(float)
    if models is xgboost_models:
        model: Any = xgboost.train({"tree_method": "exact", "max_depth": 64}, xgboost.DMatrix(X, y), 5)
    else:
        settings = {**lightgbm_models.SMALL, "max_bin": 1000, "min_data_in_bin": 1, "num_leaves": 64}
        model = lightgbm.train({**settings, "objective": "regression"}, lightgbm.Dataset(X, y), 5)
    native, found = both(model, X, "regression", tmp_path)
    np.testing.assert_array_equal(native > 0.5, y > 0.5)  # neighbours are told apart
    np.testing.assert_allclose(found, native, atol=1e-5)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"booster": "gblinear"}, "booster 'gblinear'"),
        ({"objective": "reg:logistic"}, "objective 'reg:logistic'"),
        ({"objective": "multi:softmax", "num_class": 3}, "objective 'multi:softmax'"),
        ({"objective": "multi:softprob", "num_class": 3, "num_parallel_tree": 2}, "num_parallel_tree=2"),
        ({"objective": "multi:softprob", "num_class": 2}, "with two classes"),
    ],
)
def test_what_onnx_cannot_express_of_xgboost_is_refused(params: dict[str, Any], message: str, tmp_path: Path) -> None:
    X, y = samples((6,))
    trees = {} if "booster" in params else {"max_depth": 3}
    labels = y if params.get("num_class") == 3 else y % 2
    model = xgboost.train({**trees, **params}, xgboost.DMatrix(X, labels), 2)
    with pytest.raises(ExportError, match=message):
        framework_of(model, "a:trainer").save(model, tmp_path)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"objective": "multiclassova", "num_class": 3}, "objective 'multiclassova'"),
        ({"objective": "binary", "sigmoid": 2.0}, "sigmoid other than 1"),
        ({"objective": "regression", "linear_tree": True}, "linear_tree"),
        ({"objective": "regression", "reg_sqrt": True}, "reg_sqrt"),
        ({"objective": "binary", "zero_as_missing": True}, "zero_as_missing"),
        ({"objective": "lambdarank"}, "objective 'lambdarank'"),
    ],
)
def test_what_onnx_cannot_express_of_lightgbm_is_refused(params: dict[str, Any], message: str, tmp_path: Path) -> None:
    X, y = samples((6,))
    group = [len(y)] if params["objective"] == "lambdarank" else None
    labels = y if params.get("num_class") == 3 else y % 2
    model = lightgbm.train({**lightgbm_models.SMALL, **params}, lightgbm.Dataset(X, labels, group=group), 2)
    with pytest.raises(ExportError, match=message):
        framework_of(model, "a:trainer").save(model, tmp_path)


@pytest.mark.parametrize("task", ["classification", "regression"])
@pytest.mark.parametrize("models", [xgboost_models, lightgbm_models], ids=["xgboost", "lightgbm"])
def test_a_model_of_another_task_is_refused(models: Any, task: str, tmp_path: Path) -> None:
    X, y = samples((6,))
    model = (models.booster if task == "regression" else models.regression)(X, y)
    with pytest.raises(ExportError, match=f"does not suit task '{task}'"):
        framework_of(model, "a:trainer").export(model, (6,), task, tmp_path / "model.onnx")


def test_a_missing_value_that_is_no_nan_is_refused(tmp_path: Path) -> None:
    X, y = samples((6,))
    model = xgboost.XGBClassifier(n_estimators=2, missing=-9999).fit(X, y)
    with pytest.raises(ExportError, match="missing=-9999"):
        framework_of(model, "a:trainer").save(model, tmp_path)


@pytest.mark.parametrize("library", ["xgboost", "lightgbm"])
def test_names_of_columns_do_not_matter(library: str, tmp_path: Path) -> None:
    X, y = samples((6,))
    table = pd.DataFrame(X, columns=list("abcdef"))
    if library == "xgboost":
        model: Any = xgboost.XGBClassifier(n_estimators=3).fit(table, y)
    else:
        model = lightgbm.LGBMClassifier(n_estimators=3, **lightgbm_models.SMALL).fit(table, y)
    native, found = both(model, X, "classification", tmp_path)
    np.testing.assert_allclose(found, native, atol=1e-5)
    np.testing.assert_allclose(native, model.predict_proba(table), atol=1e-6)
