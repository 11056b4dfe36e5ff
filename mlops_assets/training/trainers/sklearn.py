"""Estimators of scikit-learn, with preprocessing before them, from YAML alone."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from mlops_assets.errors import TrainerError
from mlops_assets.models.parameters import restored

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

    from mlops_assets.datasets.loading.training_data import TrainingData
    from mlops_assets.training.run import TrainingRun


FRAMEWORK = "scikit-learn"
# members of an ensemble in a rehearsal
FEW = 8


class Params(BaseModel):
    """Parameters of `train`; every further one is an argument of the estimator."""

    model_config = ConfigDict(extra="allow")

    estimator: str = Field(
        description="Class of the estimator, e.g. sklearn.ensemble.RandomForestClassifier."
    )
    preprocessing: list[str | dict[str, object]] = Field(
        default=[],
        description=(
            "Transformers before it, in order: a class, or {class: …, and its arguments}, e.g. "
            "sklearn.preprocessing.StandardScaler."
        ),
    )


def train(data: TrainingData, params: Params, run: TrainingRun) -> BaseEstimator:
    """Fit a scikit-learn pipeline on the training split.

    Args:
        data: rows, pixels, patches or images; the latter two are flattened.
        params: the estimator, its arguments, and the preprocessing.
        run: the run that it belongs to.

    Returns:
        The fitted pipeline.

    Raises:
        TrainerError: a class that is not scikit-learn's, arguments it does not take, or data it
            cannot be fitted to.
        ExportError: the pipeline could not be stored or exported once it were trained.
    """
    from sklearn.base import clone, is_classifier, is_regressor
    from sklearn.pipeline import make_pipeline

    from mlops_assets.models.export.rehearsal import rehearse

    steps = [_make(step, {}, run.seed) for step in params.preprocessing]
    model = make_pipeline(*steps, _make(params.estimator, params.model_extra or {}, run.seed))
    if not (is_regressor if data.task == "regression" else is_classifier)(model):
        raise TrainerError(
            f"{params.estimator} does not suit task {data.task!r}; choose another estimator"
        )
    if data.view == "window":
        raise TrainerError(
            f"{data.reference} is read as windows; a model of rows needs 'scenes: {{read:"
            " patches}'"
        )
    X, y = data.arrays("train")
    X = X.reshape(len(X), -1)
    with run.phase("rehearsal"):
        rehearse(_small(clone(model)).fit, data, X, y, params.estimator)
    try:
        model.fit(X, y)
    except ValueError as error:
        reason = f"{type(error).__name__}: {str(error).strip()}".partition("\n")[0]
        raise TrainerError(
            f"{params.estimator} cannot be fitted to {data.reference}: {reason}"
        ) from error
    run.log({"train_score": float(model.score(X, y))}, step=0)
    X, y = data.arrays("validation")
    if len(X):
        run.log({"validation_score": float(model.score(X.reshape(len(X), -1), y))}, step=0)
    return model


def _small(model: BaseEstimator) -> BaseEstimator:
    """Return a model with a few members of each ensemble in it.

    Their number does not matter to its export.
    """
    numbers = {
        name: value for name, value in model.get_params().items() if name.endswith("n_estimators")
    }
    return model.set_params(
        **{name: min(value, FEW) for name, value in numbers.items() if isinstance(value, int)}
    )


def _make(
    step: str | dict[str, object], arguments: Mapping[str, object], seed: int
) -> BaseEstimator:
    if isinstance(step, dict):
        arguments = {key: restored(value) for key, value in step.items() if key != "class"}
        step = str(step.get("class", ""))
    module, _, name = step.rpartition(".")
    if module.split(".")[0] != "sklearn":
        raise TrainerError(
            f"{step!r} is not a scikit-learn class; write it in full, e.g. sklearn.svm.SVC"
        )
    from sklearn.base import BaseEstimator

    try:
        made = getattr(importlib.import_module(module), name)
        if not (isinstance(made, type) and issubclass(made, BaseEstimator)):
            raise TrainerError(
                f"{step!r} is not a scikit-learn class; name an estimator or a transformer"
            )
        if "random_state" in inspect.signature(made).parameters and "random_state" not in arguments:
            arguments = {**arguments, "random_state": seed % 2**32}
        return made(**arguments)
    except (ImportError, AttributeError, TypeError) as error:
        # the name of its constructor
        reason = re.sub(r"^\S+\(\) ", "", str(error))
        raise TrainerError(f"{step} cannot be made: {reason}") from error
