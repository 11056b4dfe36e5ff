"""XGBoost: UBJSON natively, onnxmltools to ONNX.

Boosters of trees for classification and regression; whatever the converter does not express
correctly is refused here.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xgboost
from numpy.typing import NDArray
from onnxmltools import convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType
from pydantic import BaseModel

from mlops_assets.errors import ExportError
from mlops_assets.models.frameworks import ModelDescription
from mlops_assets.models.frameworks.architectures import THIS_PROCESS, Trust
from mlops_assets.models.frameworks.checked_files import read_checked, write_checked
from mlops_assets.models.onnx.graph import OPSET, conform
from mlops_assets.models.onnx.session import Outputs

FILE = "model.ubj"
CLASSIFIES = ("binary:logistic", "multi:softprob")
REGRESSES = (
    "reg:squarederror",
    "reg:squaredlogerror",
    "reg:pseudohubererror",
    "reg:absoluteerror",
    "reg:quantileerror",
    "reg:gamma",
    "reg:tweedie",
    "count:poisson",
)


class _Objective(BaseModel):
    name: str


class _TreeParameters(BaseModel):
    num_parallel_tree: int = 1


class _GradientBooster(BaseModel):
    """The booster; only trees have parameters of trees."""

    name: str
    gbtree_model_param: _TreeParameters = _TreeParameters()


class _LearnerParameters(BaseModel):
    num_class: int
    num_target: int


class _Learner(BaseModel):
    objective: _Objective
    gradient_booster: _GradientBooster
    learner_model_param: _LearnerParameters


class _Configuration(BaseModel):
    """The parts that are read of a booster's configuration, which has numbers as text."""

    learner: _Learner


class XGBoost:
    """Adapter for XGBoost; models take rows, patches are flattened.

    NaN is a missing value, also in ONNX.

    A wrapper such as `XGBClassifier` comes back as the `Booster` it holds, up to its best
    iteration.
    """

    name = "xgboost"

    def save(self, model: object, folder: Path) -> None:
        """Write `model.ubj`, and its checksum beside it.

        Args:
            model: the trained model.
            folder: an empty folder.

        Raises:
            ExportError: the model cannot be expressed in ONNX.
        """
        write_checked(folder / FILE, bytes(_booster(model).save_raw("ubj")))

    def load(self, folder: Path, trust: Trust = THIS_PROCESS) -> xgboost.Booster:
        """Read `model.ubj`.

        Args:
            folder: the folder that `save` has written.
            trust: not used; the file names no classes.

        Returns:
            The booster.

        Raises:
            ExportError: the file is damaged, or is not a model of XGBoost.
        """
        content = read_checked(folder / FILE)
        try:
            return _booster(xgboost.Booster(model_file=bytearray(content)))
        except (xgboost.core.XGBoostError, ValueError) as error:
            raise ExportError(
                f"{FILE} holds no model of XGBoost: {str(error).splitlines()[0]}"
            ) from error

    def predict(self, model: object, X: NDArray[np.float32], task: str) -> Outputs:
        """Return `scores`, which are probabilities, or `value`.

        Args:
            model: the trained model.
            X: samples, float32, (n, features), (n, bands) or (n, bands, height, width).
            task: `classification`, `semantic-segmentation` or `regression`.

        Returns:
            `scores` (n, classes), or `value` (n,).

        Raises:
            ExportError: the model does not suit the task.
        """
        booster = _booster(model, task)
        found = booster.inplace_predict(X.reshape(len(X), -1))
        if task == "regression":
            return {"value": found.reshape(len(X))}
        return {"scores": np.stack([1 - found, found], axis=1) if found.ndim == 1 else found}

    def export(self, model: object, sample_shape: tuple[int, ...], task: str, path: Path) -> None:
        """Write ONNX with onnxmltools; the graph flattens patches itself.

        Args:
            model: the trained model.
            sample_shape: shape of one sample, without the batch axis.
            task: `classification`, `semantic-segmentation` or `regression`.
            path: the file to write.

        Raises:
            ExportError: the model does not suit the task, or cannot be expressed in ONNX.
        """
        booster = _booster(model, task)
        # The converter guesses the task of a bare booster; a wrapper states it.
        wrapped = (xgboost.XGBRegressor if task == "regression" else xgboost.XGBClassifier)()
        wrapped.load_model(booster.save_raw("ubj"))
        rows = FloatTensorType([None, int(np.prod(sample_shape))])
        try:
            exported = convert_xgboost(wrapped, "xgboost", [("rows", rows)], target_opset=OPSET)
        except (xgboost.core.XGBoostError, RuntimeError, ValueError, KeyError, TypeError) as error:
            raise ExportError(f"XGBoost model cannot be exported to ONNX: {error}") from error
        outputs = {"variable": "value"} if task == "regression" else {"probabilities": "scores"}
        path.write_bytes(conform(exported, sample_shape, outputs, flat=True).SerializeToString())

    def describe(self, model: object) -> ModelDescription:
        """Return the model's kind; trees have no common count of parameters.

        Args:
            model: the trained model.
        """
        return ModelDescription("XGBoost", None)


def _booster(model: object, task: str | None = None) -> xgboost.Booster:
    """Return a booster of its own with nothing but trees and what they are for.

    Raises:
        ExportError: it cannot be expressed in ONNX, or does not suit the task.
    """
    if isinstance(model, xgboost.XGBModel):
        if not np.isnan(model.missing):
            raise ExportError(
                f"missing={model.missing} cannot be exported to ONNX; mark missing values as NaN"
            )
        booster = model.get_booster()
        if getattr(model, "early_stopping_rounds", None):
            booster = booster[: model.best_iteration + 1]
    elif isinstance(model, xgboost.Booster):
        booster = model
    else:
        raise ExportError(
            f"{type(model).__name__} is not a model but a part of XGBoost; return the Booster"
        )
    booster = booster.copy()
    _require_expressible(_Configuration.model_validate_json(booster.save_config()).learner, task)
    booster.feature_names = booster.feature_types = None
    booster.set_param({"device": "cpu"})
    # such as the best iteration of training
    booster.set_attr(**dict.fromkeys(booster.attributes()))
    return booster


def _require_expressible(learner: _Learner, task: str | None) -> None:
    objective = learner.objective.name
    booster = learner.gradient_booster.name
    classes = learner.learner_model_param.num_class
    if objective not in CLASSIFIES + REGRESSES:
        raise ExportError(
            f"objective {objective!r} of XGBoost cannot be exported to ONNX; take one of "
            f"{', '.join(CLASSIFIES + REGRESSES)}"
        )
    if task is not None and (task == "regression") != (objective in REGRESSES):
        raise ExportError(f"objective {objective!r} of XGBoost does not suit task {task!r}")
    if booster != "gbtree":
        raise ExportError(
            f"booster {booster!r} of XGBoost cannot be exported to ONNX; take 'gbtree'"
        )
    if learner.learner_model_param.num_target > 1 and not classes:
        raise ExportError(
            "several targets of XGBoost cannot be exported to ONNX; train a model for each"
        )
    trees = learner.gradient_booster.gbtree_model_param.num_parallel_tree
    if classes and trees > 1:
        raise ExportError(
            f"num_parallel_tree={trees} with several classes cannot be exported to ONNX; take 1"
        )
    if classes == 2:
        raise ExportError(
            f"{objective!r} with two classes cannot be exported to ONNX; take 'binary:logistic'"
        )
