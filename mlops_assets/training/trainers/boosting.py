"""Shared parts of the XGBoost and LightGBM trainers: their parameters, and splits as rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from mlops_assets.errors import TrainerError
from mlops_assets.training.trainers.arrays import SplitArrays, split_arrays

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


def row_arrays(data: TrainingData, params: BoostingParams) -> SplitArrays:
    """Return the training and validation splits with their samples as rows, (n, features).

    Raises:
        TrainerError: samples are windows, there are none, or numbers are to be weighted by class.
    """
    if data.view == "window":
        raise TrainerError(
            f"{data.reference} is read as windows; a model of rows needs 'scenes: {{read:"
            " patches}'"
        )
    arrays = split_arrays(data, balanced=params.class_weights == "balanced")
    width = int(np.prod(data.sample_shape))
    return replace(
        arrays,
        samples=arrays.samples.reshape(-1, width),
        validation_samples=arrays.validation_samples.reshape(-1, width),
    )


def objective(
    data: TrainingData, given: Mapping[str, object], names: tuple[str, str, str]
) -> dict[str, object]:
    """Return the settings of the objective: for two classes, for more, or for a number.

    Args:
        data: the data version.
        given: the library's parameters that the user has set; `objective` takes precedence for a
            number.
        names: the library's names of the objectives for two classes, for more, and for a number.

    Raises:
        TrainerError: the number of classes, or the objective for classes, is set by the user.
    """
    classes = len(data.class_names)
    if "num_class" in given:
        raise TrainerError("params.num_class is the data's; leave it out")
    if data.task == "regression":
        return {"objective": given.get("objective", names[2])}
    if classes < 2:
        raise TrainerError(f"{data.reference} has one class; a classifier needs two or more")
    if "objective" in given:
        raise TrainerError("params.objective is chosen by the data's classes; leave it out")
    if classes == 2:
        return {"objective": names[0]}
    return {"objective": names[1], "num_class": classes}
