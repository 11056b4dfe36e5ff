"""XGBoost: UBJSON natively, onnxmltools to ONNX.

Boosters of trees for classification and regression; whatever the converter does not express rightly
is refused here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import xgboost
from numpy.typing import NDArray
from onnxmltools import convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType

from mlops_assets.errors import ExportError
from mlops_assets.models.frameworks import ModelDescription
from mlops_assets.models.frameworks.architectures import THIS_PROCESS, Trust
from mlops_assets.models.frameworks.checked_files import read_checked, write_checked
from mlops_assets.models.onnx.graph import OPSET, conform

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


class XGBoost:
    """Adapter for XGBoost; models take rows, patches are flattened.

    NaN is a missing value, also in ONNX.

    A wrapper such as `XGBClassifier` comes back as the `Booster` it holds, up to its best
    iteration.
    """

    name = "xgboost"

    def save(self, model: Any, folder: Path) -> None:
        """Write `model.ubj`."""
        write_checked(folder / FILE, bytes(_booster(model).save_raw("ubj")))

    def load(self, folder: Path, trust: Trust = THIS_PROCESS) -> xgboost.Booster:
        """Read `model.ubj`."""
        content = read_checked(folder / FILE)
        try:
            return _booster(xgboost.Booster(model_file=bytearray(content)))
        except (xgboost.core.XGBoostError, ValueError) as error:
            raise ExportError(
                f"{FILE} holds no model of XGBoost: {str(error).splitlines()[0]}"
            ) from error

    def predict(self, model: Any, X: NDArray[np.float32], task: str) -> dict[str, NDArray[Any]]:
        """Return `scores` (probabilities) or `value`."""
        booster = _booster(model, task)
        found = booster.inplace_predict(X.reshape(len(X), -1))
        if task == "regression":
            return {"value": found.reshape(len(X))}
        return {"scores": np.stack([1 - found, found], axis=1) if found.ndim == 1 else found}

    def export(self, model: Any, sample_shape: tuple[int, ...], task: str, path: Path) -> None:
        """Write ONNX with onnxmltools; the graph flattens patches itself."""
        booster = _booster(model, task)
        # The converter guesses what a bare booster is for; a wrapper says so.
        wrapped = (xgboost.XGBRegressor if task == "regression" else xgboost.XGBClassifier)()
        wrapped.load_model(booster.save_raw("ubj"))
        rows = FloatTensorType([None, int(np.prod(sample_shape))])
        try:
            exported = convert_xgboost(wrapped, "xgboost", [("rows", rows)], target_opset=OPSET)
        except (xgboost.core.XGBoostError, RuntimeError, ValueError, KeyError, TypeError) as error:
            raise ExportError(f"XGBoost model cannot be exported to ONNX: {error}") from error
        outputs = {"variable": "value"} if task == "regression" else {"probabilities": "scores"}
        path.write_bytes(conform(exported, sample_shape, outputs, flat=True).SerializeToString())

    def describe(self, model: Any) -> ModelDescription:
        """Return the model's kind; trees have no common count of parameters."""
        return ModelDescription("XGBoost", None)


def _booster(model: Any, task: str | None = None) -> xgboost.Booster:
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
    _require_expressible(json.loads(booster.save_config())["learner"], task)
    booster.feature_names = booster.feature_types = None
    booster.set_param({"device": "cpu"})
    # the best iteration of training, and the like
    booster.set_attr(**dict.fromkeys(booster.attributes()))
    return booster


def _require_expressible(learner: dict[str, Any], task: str | None) -> None:
    objective, booster = learner["objective"]["name"], learner["gradient_booster"]["name"]
    classes = int(learner["learner_model_param"]["num_class"])
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
    if int(learner["learner_model_param"]["num_target"]) > 1 and not classes:
        raise ExportError(
            "several targets of XGBoost cannot be exported to ONNX; train a model for each"
        )
    trees = int(learner["gradient_booster"]["gbtree_model_param"]["num_parallel_tree"])
    if classes and trees > 1:
        raise ExportError(
            f"num_parallel_tree={trees} with several classes cannot be exported to ONNX; take 1"
        )
    if classes == 2:
        raise ExportError(
            f"{objective!r} with two classes cannot be exported to ONNX; take 'binary:logistic'"
        )
