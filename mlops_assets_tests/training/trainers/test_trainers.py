"""Loading trainers by name, their parameters, and the ready-made scikit-learn trainer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from mlops_assets.datasets.commit.commit import Commit
from mlops_assets.datasets.loading.training_data import TrainingData
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.errors import ExportError, TrainerError
from mlops_assets.names import Reference
from mlops_assets.store import Store
from mlops_assets.training.train import train
from mlops_assets.training.trainers import load_trainer
from mlops_assets_tests.training.example_trainers import (
    HERE,
    Depth,
    model_specification,
    training_request,
    unlogged_run,
)

SKLEARN = "mlops_assets.training.trainers.sklearn:train"
TREE = {"estimator": "sklearn.tree.DecisionTreeClassifier"}


def test_a_trainer_knows_its_parameters_and_its_file() -> None:
    trainer = load_trainer(f"{HERE}:tree")
    assert trainer.params_type is Depth
    assert trainer.file == Path(__file__).parents[1] / "example_trainers.py"
    assert trainer.parameters({}) == Depth(depth=4)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "mlops_assets_tests.nowhere:train",
            "module mlops_assets_tests.nowhere cannot be imported",
        ),
        (f"{HERE}:nothing", "has no function nothing"),
        (f"{HERE}:POINTS", "has no function POINTS"),
        (f"{HERE}:missing_run", r"must be declared as missing_run\(data, params, run\)"),
        ("json:loads", r"must be declared as loads\(data, params, run\)"),
        (f"{HERE}:untyped", "annotate 'params'"),
        (f"{HERE}:dictionary_params", "annotate 'params'"),
        (f"{HERE}:unresolved_params", "type of params cannot be resolved: name 'Nowhere'"),
    ],
)
def test_what_is_no_trainer_is_refused(name: str, message: str) -> None:
    with pytest.raises(TrainerError, match=f"^trainer {name}: .*{message}"):
        load_trainer(name)


def test_a_module_with_a_syntax_error_is_reported_as_our_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "half_written.py").write_text("def train(data, params, run:\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(TrainerError, match="half_written"):
        load_trainer("half_written:train")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"depth": 0}, "depth: Input should be greater than or equal to 1"),
        ({"depth": "deep"}, "depth: Input should be a valid integer"),
        ({"deepth": 3}, "deepth: Extra inputs are not permitted"),
        ({"depth": 0, "width": 1}, "depth: .*; width: "),
    ],
)
def test_wrong_parameters_are_refused_by_name(values: dict[str, Any], message: str) -> None:
    with pytest.raises(TrainerError, match=f"parameters of {HERE}:tree are refused: {message}"):
        load_trainer(f"{HERE}:tree").parameters(values)


def test_the_sklearn_trainer_needs_an_estimator() -> None:
    with pytest.raises(TrainerError, match="estimator: Field required"):
        load_trainer(SKLEARN).parameters({})


@pytest.fixture
def fit(store: Store, land_table: Callable[..., Commit], tmp_path: Path) -> Callable[..., Pipeline]:
    """Run the scikit-learn trainer without a lifecycle around it."""
    land_table()
    data = TrainingData(
        CommittedDataset.open(store.workspace, store.registry, Reference("fields")),
        "classification",
    )
    trainer = load_trainer(SKLEARN)

    def run(**params: Any) -> Pipeline:
        handle = unlogged_run(store, tmp_path, 7)
        model: Pipeline = trainer.function(data, trainer.parameters(params), handle)
        assert set(handle.metrics) == {"train_score", "validation_score"}
        return model

    return run


def test_the_sklearn_trainer_fits_a_pipeline_with_our_seed(fit: Callable[..., Pipeline]) -> None:
    scaler = {"class": "sklearn.preprocessing.QuantileTransformer", "n_quantiles": 20}
    model = fit(**TREE, preprocessing=["sklearn.preprocessing.StandardScaler", scaler], max_depth=3)
    assert [type(step).__name__ for _, step in model.steps] == [
        "StandardScaler",
        "QuantileTransformer",
        "DecisionTreeClassifier",
    ]
    assert model[1].n_quantiles == 20 and model[2].max_depth == 3
    assert model[1].random_state == model[2].random_state == 7


def test_a_seed_given_as_parameter_is_kept(fit: Callable[..., Pipeline]) -> None:
    assert fit(**TREE, random_state=3)[-1].random_state == 3


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"estimator": "subprocess.Popen"}, "'subprocess.Popen' is not a scikit-learn class"),
        ({"estimator": "sklearnish.svm.SVC"}, "is not a scikit-learn class"),
        ({"estimator": "SVC"}, "'SVC' is not a scikit-learn class"),
        ({"estimator": "sklearn.svm.Nothing"}, "sklearn.svm.Nothing cannot be made"),
        ({"estimator": "sklearn.nowhere.SVC"}, "sklearn.nowhere.SVC cannot be made"),
        ({**TREE, "depth": 3}, "unexpected keyword argument 'depth'"),
        ({**TREE, "preprocessing": ["os.system"]}, "'os.system' is not a scikit-learn class"),
        ({**TREE, "preprocessing": [{"n_components": 2}]}, "'' is not a scikit-learn class"),
        (
            {**TREE, "preprocessing": [{"class": "sklearn.decomposition.PCA", "n": 2}]},
            "keyword argument 'n'",
        ),
    ],
)
def test_the_sklearn_trainer_makes_only_what_scikit_learn_has(
    params: dict[str, Any], message: str, fit: Callable[..., Pipeline]
) -> None:
    with pytest.raises(TrainerError, match=message):
        fit(**params)


@pytest.mark.parametrize(
    "step",
    [
        {"class": "sklearn.utils._testing.check_output", "args": ["touch", "made-by-parameters"]},
        {"class": "sklearn.datasets.fetch_openml", "name": "iris"},
    ],
    ids=["subprocess.check_output", "a download"],
)
def test_the_sklearn_trainer_calls_no_function(
    step: dict[str, Any], fit: Callable[..., Pipeline]
) -> None:
    with pytest.raises(TrainerError, match="is not a scikit-learn class"):
        fit(**TREE, preprocessing=[step])
    assert not Path("made-by-parameters").exists()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (
            {"estimator": "sklearn.neighbors.KNeighborsClassifier", "weights": "distance"},
            "is not converted to ONNX correctly",
        ),
        (
            {"estimator": "sklearn.neighbors.NearestCentroid"},
            "skl2onnx has no converter for .*NearestCentroid",
        ),
        (
            {**TREE, "preprocessing": ["sklearn.preprocessing.SplineTransformer"]},
            "no converter for .*SplineTransformer",
        ),
    ],
    ids=["distances", "no converter", "a step"],
)
def test_what_cannot_be_exported_is_found_before_training(
    params: dict[str, Any],
    message: str,
    fit: Callable[..., Pipeline],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fitted: list[int] = []
    own = Pipeline.fit

    def counted(self: Pipeline, X: NDArray[np.float32], y: NDArray[np.int64]) -> Pipeline:
        fitted.append(len(X))
        return own(self, X, y)

    monkeypatch.setattr(Pipeline, "fit", counted)
    with pytest.raises(ExportError, match=f"{message}.*this was found before training"):
        fit(**params)
    assert len(fitted) == 1  # the rehearsal's


def test_values_that_scikit_learn_refuses_end_the_run_with_its_reason(
    store: Store, land_table: Callable[..., Commit]
) -> None:
    land_table()
    with pytest.raises(TrainerError, match="InvalidParameterError: The 'max_depth' parameter"):
        train(
            store,
            training_request(model_specification(trainer=SKLEARN), "v1", {**TREE, "max_depth": -2}),
        )
    assert [run.status for run in store.registry.runs()] == ["failed"]
