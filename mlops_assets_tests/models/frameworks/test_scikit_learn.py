"""Features of the scikit-learn adapter alone.

They are trusted types, and preprocessing inside of the ONNX file.
"""

from __future__ import annotations

import subprocess
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import scipy.spatial.distance
import scipy.stats
import sklearn.datasets
import skops.io
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_selection import SelectKBest, mutual_info_classif
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, KBinsDiscretizer, StandardScaler

from mlops_assets.errors import ExportError
from mlops_assets.models.frameworks.scikit_learn import FILE, ScikitLearn
from mlops_assets.models.onnx.session import OnnxModel
from mlops_assets_tests.models.frameworks.models import with_gaps
from mlops_assets_tests.models.frameworks.scikit_learn_models import ForeignClassifier
from mlops_assets_tests.training.example_trainers import samples


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
    with (
        zipfile.ZipFile(tmp_path / "written.skops") as written,
        zipfile.ZipFile(tmp_path / FILE, "w") as changed,
    ):
        for name in written.namelist():
            changed.writestr(
                name, written.read(name).replace(b'"subprocess"', b'"sklearn.utils._testing"')
            )
    with pytest.raises(ExportError, match="check_output"):
        ScikitLearn().load(tmp_path)


def test_functions_that_compute_are_trusted_and_such_as_act_are_not(
    tmp_path: Path, subtests: pytest.Subtests
) -> None:
    X, y = samples((6,))
    trusted: list[Any] = [
        HistGradientBoostingClassifier(max_iter=3, categorical_features=[0]),
        make_pipeline(SelectKBest(mutual_info_classif, k=2), LogisticRegression()),
        make_pipeline(FunctionTransformer(np.nan_to_num), LogisticRegression()),
        make_pipeline(
            KBinsDiscretizer(3, quantile_method="averaged_inverted_cdf"), LogisticRegression()
        ),
        KNeighborsClassifier(metric=scipy.spatial.distance.canberra),
    ]
    for model in trusted:
        with subtests.test(str(model)):
            ScikitLearn().save(model.fit(np.abs(X), y), tmp_path)
            again = ScikitLearn().load(tmp_path)
            assert isinstance(again, type(model))
            np.testing.assert_array_equal(again.predict(np.abs(X)), model.predict(np.abs(X)))
    acting = [
        np.testing.measure,
        np.rec.fromfile,
        np.load,
        np.save,
        sklearn.datasets.load_files,
        scipy.sparse.save_npz,
    ]
    for function in acting:
        skops.io.dump(FunctionTransformer(func=partial(function, "text")), tmp_path / FILE)
        with subtests.test(function.__name__), pytest.raises(ExportError, match=function.__name__):
            ScikitLearn().load(tmp_path)
    skops.io.dump(scipy.stats.norm, tmp_path / FILE)  # rebuilding one runs text that the file has
    with pytest.raises(ExportError, match="norm_gen"):
        ScikitLearn().load(tmp_path)


def test_estimators_that_onnx_cannot_express_are_named(
    tmp_path: Path, subtests: pytest.Subtests
) -> None:
    X, y = samples((6,))
    cases: list[tuple[Any, str, str]] = [
        (Ridge(), "classification", "Ridge does not suit task 'classification'"),
        (LogisticRegression(), "regression", "LogisticRegression does not suit task 'regression'"),
        (
            KNeighborsClassifier(metric=np.dot),
            "classification",
            "KNeighborsClassifier cannot be exported",
        ),
        (ForeignClassifier(), "classification", "ForeignClassifier cannot be exported"),
    ]
    for estimator, task, message in cases:
        with subtests.test(message), pytest.raises(ExportError, match=message):
            ScikitLearn().export(estimator.fit(X, y), (6,), task, tmp_path / "model.onnx")


@pytest.mark.parametrize(
    "final",
    [LogisticRegression(), RandomForestClassifier(5, random_state=0)],
    ids=["line", "trees"],
)
def test_missing_values_are_filled_inside_of_the_onnx_file(
    final: Any, tmp_path_factory: pytest.TempPathFactory, subtests: pytest.Subtests
) -> None:
    X, y = samples((6,))
    rows, adapter = with_gaps(X), ScikitLearn()
    for strategy in ("mean", "median", "most_frequent", "constant"):
        folder = tmp_path_factory.mktemp(strategy)
        with subtests.test(strategy=strategy):
            model = make_pipeline(
                SimpleImputer(strategy=strategy), StandardScaler(), clone(final)
            ).fit(rows, y)
            adapter.save(model, folder)
            adapter.export(adapter.load(folder), (6,), "classification", folder / "model.onnx")
            native = adapter.predict(model, rows, "classification")["scores"]
            found = OnnxModel(folder / "model.onnx").predict(rows)["scores"]
            np.testing.assert_allclose(found, native, rtol=1e-4, atol=1e-5)


def test_a_scaled_value_at_a_threshold_of_a_tree_is_on_the_same_side_in_onnx(
    tmp_path: Path,
) -> None:
    rng = np.random.default_rng(0)
    # midpoints of such numbers are such numbers
    X = rng.integers(900, 1100, (400, 20)).astype(np.float32)
    y = (X[:, :3].sum(axis=1) > 3000).astype(np.int64)
    model = make_pipeline(StandardScaler(), RandomForestClassifier(20, random_state=0)).fit(
        X[:100], y[:100]
    )
    ScikitLearn().export(model, (20,), "classification", tmp_path / "model.onnx")
    found = OnnxModel(tmp_path / "model.onnx").predict(X)["scores"]
    np.testing.assert_allclose(found, model.predict_proba(X), atol=1e-6)


@pytest.mark.frameworks
def test_a_pipeline_that_ends_in_another_framework_is_refused(
    tmp_path: Path, subtests: pytest.Subtests
) -> None:
    import lightgbm
    import xgboost

    X, y = samples((6,))
    for final in (
        xgboost.XGBClassifier(n_estimators=2),
        lightgbm.LGBMClassifier(n_estimators=2, verbosity=-1),
    ):
        name = type(final).__name__
        model = make_pipeline(StandardScaler(), final).fit(X, y)
        with subtests.test(name), pytest.raises(ExportError, match=rf"{name}.*return .* alone"):
            ScikitLearn().save(model, tmp_path)


def test_an_unknown_node_is_not_a_model(tmp_path: Path) -> None:
    X, y = samples((6,))
    skops.io.dump(LogisticRegression().fit(X, y), tmp_path / "written.skops")
    with (
        zipfile.ZipFile(tmp_path / "written.skops") as written,
        zipfile.ZipFile(tmp_path / FILE, "w") as changed,
    ):
        for name in written.namelist():
            changed.writestr(name, written.read(name).replace(b'"ObjectNode"', b'"OtherNode"'))
    with pytest.raises(ExportError, match="holds no scikit-learn model"):
        ScikitLearn().load(tmp_path)
