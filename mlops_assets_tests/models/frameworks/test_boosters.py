"""Features of the XGBoost and LightGBM adapters alone.

Wrong results of a converter are refused, and NaN is a value.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlops_assets.errors import ExportError
from mlops_assets.models.frameworks import framework_of
from mlops_assets.models.onnx.session import OnnxModel
from mlops_assets_tests.models.frameworks.models import from_models, with_gaps
from mlops_assets_tests.training.example_trainers import samples

pytestmark = pytest.mark.frameworks
each_library = pytest.mark.parametrize("library", ["xgboost", "lightgbm"])
SMALL: dict[str, Any] = {"num_leaves": 6, "min_data_in_leaf": 3, "verbosity": -1}


def both(model: Any, rows: Any, task: str, folder: Path) -> tuple[Any, Any]:
    """Outputs of a model and of its ONNX file."""
    adapter = framework_of(model, "a:trainer")
    adapter.save(model, folder)
    adapter.export(adapter.load(folder), rows.shape[1:], task, folder / "model.onnx")
    name = "value" if task == "regression" else "scores"
    return (
        adapter.predict(model, rows, task)[name],
        OnnxModel(folder / "model.onnx").predict(rows)[name],
    )


@each_library
@pytest.mark.parametrize("seen", [True, False], ids=["gaps in training", "no gaps in training"])
def test_missing_values_mean_the_same_in_onnx(
    library: str,
    seen: bool,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    subtests: pytest.Subtests,
) -> None:
    X, y = samples((6,), count=200)
    if not seen:
        models = importlib.import_module(from_models(library, "trained").__module__)
        monkeypatch.setattr(models, "with_gaps", lambda X: X)
    for builder in ("booster", "wrapper_of_two_classes", "regression"):
        with subtests.test(builder=builder):
            task = "regression" if builder == "regression" else "classification"
            model = from_models(library, builder)(X - 1, y)
            native, found = both(model, with_gaps(X) - 1, task, tmp_path_factory.mktemp(builder))
            np.testing.assert_allclose(found, native, rtol=1e-4, atol=1e-4)


@each_library
def test_values_next_to_a_threshold_go_the_same_way_in_onnx(library: str, tmp_path: Path) -> None:
    near = np.float32(0.1) + np.arange(64, dtype=np.float32) * np.spacing(np.float32(0.1))
    X = np.repeat(near, 4)[:, None]
    y = (np.arange(256) // 4 % 2).astype(float)
    if library == "xgboost":
        import xgboost

        model: Any = xgboost.train(
            {"tree_method": "exact", "max_depth": 64}, xgboost.DMatrix(X, y), 5
        )
    else:
        import lightgbm

        settings = {**SMALL, "max_bin": 1000, "min_data_in_bin": 1, "num_leaves": 64}
        model = lightgbm.train({**settings, "objective": "regression"}, lightgbm.Dataset(X, y), 5)
    native, found = both(model, X, "regression", tmp_path)
    np.testing.assert_array_equal(native > 0.5, y > 0.5)  # neighbours are distinguished
    np.testing.assert_allclose(found, native, atol=1e-5)


def test_what_onnx_cannot_express_of_xgboost_is_refused(
    tmp_path: Path, subtests: pytest.Subtests
) -> None:
    import xgboost

    X, y = samples((6,))
    for params, message in (
        ({"booster": "gblinear"}, "booster 'gblinear'"),
        ({"objective": "reg:logistic"}, "objective 'reg:logistic'"),
        ({"objective": "multi:softmax", "num_class": 3}, "objective 'multi:softmax'"),
        (
            {"objective": "multi:softprob", "num_class": 3, "num_parallel_tree": 2},
            "num_parallel_tree=2",
        ),
        ({"objective": "multi:softprob", "num_class": 2}, "with two classes"),
    ):
        with subtests.test(**params):
            trees = {} if "booster" in params else {"max_depth": 3}
            labels = y if params.get("num_class") == 3 else y % 2
            model = xgboost.train({**trees, **params}, xgboost.DMatrix(X, labels), 2)
            with pytest.raises(ExportError, match=message):
                framework_of(model, "a:trainer").save(model, tmp_path)
    with subtests.test(missing=-9999):
        classifier = xgboost.XGBClassifier(n_estimators=2, missing=-9999).fit(X, y)
        with pytest.raises(ExportError, match="missing=-9999"):
            framework_of(classifier, "a:trainer").save(classifier, tmp_path)


def test_what_onnx_cannot_express_of_lightgbm_is_refused(
    tmp_path: Path, subtests: pytest.Subtests
) -> None:
    import lightgbm

    X, y = samples((6,))
    for params, message in (
        ({"objective": "multiclassova", "num_class": 3}, "objective 'multiclassova'"),
        ({"objective": "binary", "sigmoid": 2.0}, "sigmoid other than 1"),
        ({"objective": "regression", "linear_tree": True}, "linear_tree"),
        ({"objective": "regression", "reg_sqrt": True}, "reg_sqrt"),
        ({"objective": "binary", "zero_as_missing": True}, "zero_as_missing"),
        ({"objective": "lambdarank"}, "objective 'lambdarank'"),
    ):
        with subtests.test(**params):
            group = [len(y)] if params["objective"] == "lambdarank" else None
            labels = y if params.get("num_class") == 3 else y % 2
            model = lightgbm.train({**SMALL, **params}, lightgbm.Dataset(X, labels, group=group), 2)
            with pytest.raises(ExportError, match=message):
                framework_of(model, "a:trainer").save(model, tmp_path)


@each_library
def test_a_model_of_another_task_is_refused(
    library: str, tmp_path: Path, subtests: pytest.Subtests
) -> None:
    X, y = samples((6,))
    for builder, task in (("regression", "classification"), ("booster", "regression")):
        model = from_models(library, builder)(X, y)
        with (
            subtests.test(task=task),
            pytest.raises(ExportError, match=f"does not suit task '{task}'"),
        ):
            framework_of(model, "a:trainer").export(model, (6,), task, tmp_path / "model.onnx")


@each_library
def test_names_of_columns_do_not_matter(library: str, tmp_path: Path) -> None:
    X, y = samples((6,))
    table = pd.DataFrame(X, columns=list("abcdef"))
    if library == "xgboost":
        import xgboost

        model: Any = xgboost.XGBClassifier(n_estimators=3).fit(table, y)
    else:
        import lightgbm

        model = lightgbm.LGBMClassifier(n_estimators=3, **SMALL).fit(table, y)
    native, found = both(model, X, "classification", tmp_path)
    np.testing.assert_allclose(found, native, atol=1e-5)
    np.testing.assert_allclose(native, model.predict_proba(table), atol=1e-6)
