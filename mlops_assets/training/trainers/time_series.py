"""Networks for time series, in PyTorch.

They take rows or pixels whose features are dates × channels, e.g. NDVI per month.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from pydantic import Field, ValidationInfo, field_validator

from mlops_assets.errors import TrainerError
from mlops_assets.training.trainers.torch_loop.parameters import LoopParams

if TYPE_CHECKING:
    from mlops_assets.datasets.loading.training_data import TrainingData
    from mlops_assets.training.run import TrainingRun
    from mlops_assets.training.trainers.torch_loop.networks.temporal import SeriesNetwork

FRAMEWORK = "pytorch"
# of the attention, as Garnot and Landrieu (2020) have it
HEADS = 16


class Params(LoopParams):
    """Parameters of `train`."""

    steps: int | None = Field(
        default=None,
        ge=1,
        description="Dates of a sample; as many as features if not given, of one channel then.",
    )
    order: Literal["by_channel", "by_date"] = Field(
        default="by_channel",
        description=(
            "Order of features: by_channel is ndvi_01 ndvi_02 … evi_01 evi_02 …, by_date is ndvi_01"
            " evi_01 ndvi_02 evi_02 …; 'bands' of the model can set them in order."
        ),
    )
    architecture: Literal["temporal_cnn", "attention"] = Field(
        default="temporal_cnn", description="temporal_cnn (TempCNN) or attention (as L-TAE)."
    )
    days: list[float] | None = Field(
        default=None,
        description=(
            "Day of each date, from any first day, for attention; equally spaced if not given."
        ),
    )
    width: int = Field(default=64, ge=16, multiple_of=HEADS, description="Channels of the layers.")
    kernel: int = Field(default=5, ge=1, description="Dates a convolution sees, odd.")

    @field_validator("kernel")
    @classmethod
    def _odd(cls, kernel: int) -> int:
        if kernel % 2 == 0:
            raise ValueError("must be odd, so that a convolution has a central date")
        return kernel

    @field_validator("days")
    @classmethod
    def _in_order(cls, days: list[float] | None, info: ValidationInfo) -> list[float] | None:
        if days is not None and any(one >= other for one, other in pairwise(days)):
            raise ValueError("must rise from date to date")
        if days is not None and info.data.get("steps") not in (None, len(days)):
            raise ValueError(f"must be as many as steps, {info.data['steps']}")
        return days


def train(data: TrainingData, params: Params, run: TrainingRun) -> SeriesNetwork:
    """Train on rows or pixels.

    Args:
        data: rows or pixels, whose features are dates × channels.
        params: parameters of the network and of its training.
        run: the run that it belongs to.

    Returns:
        The network, with its best or last weights.

    Raises:
        TrainerError: the features cannot be divided into dates, or training fails.
    """
    from mlops_assets.training.trainers.torch_loop.fit import fit
    from mlops_assets.training.trainers.torch_loop.networks.temporal import (
        TemporalAttention,
        TemporalCNN,
    )

    if data.view not in ("row", "pixel"):
        raise TrainerError(
            f"time_series takes rows or pixels, and {data.reference} is read as {data.view}; use"
            " patch_cnn or unet"
        )
    features = len(data.features)
    steps = params.steps or features
    if features % steps:
        raise TrainerError(
            f"params.steps is {steps}, and {data.reference} has {features} features, which is not a"
            " multiple of it; choose features with 'bands' or set params.steps"
        )
    if params.days is not None and len(params.days) != steps:
        raise TrainerError(
            f"params.days has {len(params.days)} days for {steps} dates; set one for each"
        )
    shape = steps, features // steps, len(data.class_names)
    by_date = params.order == "by_date"
    network: SeriesNetwork
    if params.architecture == "attention":
        days = params.days or [365 / steps * step for step in range(steps)]
        network = TemporalAttention(
            *shape, days, by_date, params.width, HEADS, dropout=params.dropout
        )
    else:
        network = TemporalCNN(*shape, by_date, params.width, params.kernel, params.dropout)
    fit(network, data, params, run)
    return network
