"""What only the scikit-learn adapter has: trusted types, and preprocessing inside of the ONNX file."""

from __future__ import annotations

import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pytest
import skops.io
import xgboost
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from mlops_assets.errors import ExportError
from mlops_assets.training.frameworks.scikit_learn import FILE, ScikitLearn
from mlops_assets.training.onnx_model import OnnxModel
from mlops_assets_tests.training.frameworks.scikit_learn_models import ForeignClassifier
from mlops_assets_tests.training.frameworks.xgboost_models import with_gaps
from mlops_assets_tests.training.trainers import samples


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


@pytest.mark.parametrize("strategy", ["mean", "median", "most_frequent", "constant"])
@pytest.mark.parametrize(
    "final", [LogisticRegression(), RandomForestClassifier(5, random_state=0)], ids=["line", "trees"]
)
def test_missing_values_are_filled_inside_of_the_onnx_file(strategy: str, final: Any, tmp_path: Path) -> None:
    X, y = samples((6,))
    rows, adapter = with_gaps(X), ScikitLearn()
    model = make_pipeline(SimpleImputer(strategy=strategy), StandardScaler(), final).fit(rows, y)
    adapter.save(model, tmp_path)
    adapter.export(adapter.load(tmp_path), (6,), "classification", tmp_path / "model.onnx")
    native, found = adapter.predict(model, rows, "classification"), OnnxModel(tmp_path / "model.onnx").predict(rows)
    np.testing.assert_allclose(found["scores"], native["scores"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "final", [xgboost.XGBClassifier(n_estimators=2), lightgbm.LGBMClassifier(n_estimators=2, verbosity=-1)]
)
def test_a_pipeline_that_ends_in_another_framework_is_refused(final: Any, tmp_path: Path) -> None:
    X, y = samples((6,))
    model = make_pipeline(StandardScaler(), final).fit(X, y)
    with pytest.raises(ExportError, match=rf"{type(final).__name__}.*return .* alone"):
        ScikitLearn().save(model, tmp_path)
