"""Shared parts of the XGBoost and LightGBM trainers: their parameters, and splits as rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from mlops_assets.errors import TrainerError

if TYPE_CHECKING:
    from mlops_assets.datasets.loading.training_data import TrainingData


class BoostingParams(BaseModel):
    """The parameters of boosting; every further parameter is one of the library."""

    model_config = ConfigDict(extra="allow")

    rounds: int = Field(default=300, ge=1, description="Trees, of several classes as many each.")
    learning_rate: float = Field(
        default=0.1, gt=0, le=1, description="What a tree adds is multiplied by this."
    )
    patience: int = Field(
        default=20,
        ge=0,
        description=(
            "Stop after so many rounds without a lower validation_loss; 0 never stops early."
        ),
    )
    class_weights: Literal["none", "balanced"] = Field(
        default="none",
        description="balanced: a class counts one over its share of the training labels.",
    )


def rows(
    data: TrainingData, params: BoostingParams
) -> tuple[
    NDArray[np.float32], NDArray[Any], NDArray[Any] | None, NDArray[np.float32], NDArray[Any]
]:
    """Return the training and validation splits as rows: X, y, weights, validation X, validation y.

    Raises:
        TrainerError: samples are windows, there are none, or numbers are to be weighted by class.
    """
    if data.view == "window":
        raise TrainerError(
            f"{data.reference} is read as windows; a model of rows needs 'scenes: {{read:"
            " patches}'"
        )
    X, y = data.arrays("train")
    if not len(X):
        raise TrainerError(
            f"{data.reference} has no training samples; change 'split' of the dataset"
        )
    weights = None
    if params.class_weights == "balanced":
        from sklearn.utils.class_weight import compute_sample_weight

        if data.task == "regression":
            raise TrainerError(
                f"params.class_weights is for classes, and {data.reference} has numbers; leave"
                " it out"
            )
        weights = compute_sample_weight("balanced", y)
    held_X, held_y = data.arrays("validation")
    width = int(np.prod(data.sample_shape))
    return X.reshape(-1, width), y, weights, held_X.reshape(-1, width), held_y


def objective(
    data: TrainingData, given: dict[str, Any], chosen: tuple[str, str, str]
) -> dict[str, Any]:
    """Return what is trained for: of two classes, of more, or a number.

    One that is given goes before.

    Raises:
        TrainerError: the number of classes is given otherwise than the data has it.
    """
    classes = len(data.class_names)
    if "num_class" in given:
        raise TrainerError("params.num_class is the data's; leave it out")
    if data.task == "regression":
        return {"objective": given.get("objective", chosen[2])}
    if classes < 2:
        raise TrainerError(f"{data.reference} has one class; there is nothing to tell apart")
    if "objective" in given:
        raise TrainerError("params.objective is chosen by the data's classes; leave it out")
    return (
        {"objective": chosen[0]} if classes == 2 else {"objective": chosen[1], "num_class": classes}
    )
