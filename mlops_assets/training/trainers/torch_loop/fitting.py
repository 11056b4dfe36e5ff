"""A network trained on a data version.

The ready-made trainers call it once they have chosen a network.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from mlops_assets.datasets.loading.training_data import TrainingData
from mlops_assets.errors import TrainerError
from mlops_assets.training.trainers.torch_loop.augmentation import Turns
from mlops_assets.training.trainers.torch_loop.feed import Feed
from mlops_assets.training.trainers.torch_loop.loop import Loop
from mlops_assets.training.trainers.torch_loop.losses import Loss, class_loss, number_loss
from mlops_assets.training.trainers.torch_loop.networks.layers import ScaledNetwork
from mlops_assets.training.trainers.torch_loop.parameters import ImageParams, LoopParams
from mlops_assets.training.trainers.torch_loop.precision import Precision
from mlops_assets.training.trainers.torch_loop.validation import Validation

if TYPE_CHECKING:
    from mlops_assets.training.run import TrainingRun


def fit(
    network: ScaledNetwork, data: TrainingData, params: LoopParams, run: TrainingRun
) -> ScaledNetwork:
    """Train a network and return it.

    Raises:
        TrainerError: parameters that do not suit the data, a loss that is not a number, or no
            training samples.
    """
    device, share, turns = run.device, (run.rank, run.world_size), None
    precision = Precision(device, params.mixed_precision)
    if isinstance(params, ImageParams):
        precision = Precision(device, params.mixed_precision, params.channels_last)
        turns = Turns(params.augmentation, data.sample_shape[1], data.sample_shape[2], device)
    with run.phase("data"):
        loss = _loss(network, data, params, device)
        feed = Feed(
            data,
            "train",
            params.batch_size,
            run.seed,
            device,
            loss.unknown,
            params.workers,
            share,
            turns,
        )
        if not feed.samples:
            raise TrainerError(
                f"{data.reference} has no training samples; change 'split' of the dataset"
            )
        held_out = Feed(
            data,
            "validation",
            params.batch_size,
            run.seed,
            device,
            loss.unknown,
            params.workers,
            share,
        )
    classes = len(data.class_names)
    validation = None
    if held_out.samples:
        validation = Validation(held_out, loss, classes, precision, device, run.world_size)
    network = precision.laid_out(network.to(device))
    Loop(network, params, run, loss, feed, validation, precision).fit()
    # as it is saved; PyTorch's type of `Module.to` leaves out memory_format
    layout: dict[str, Any] = {"memory_format": torch.contiguous_format}
    network.to(**layout)
    return network


def _loss(network: ScaledNetwork, data: TrainingData, params: LoopParams, device: str) -> Loss:
    """Return the loss, and fit the scaling to the training split if the model declares none."""
    if data.scaling is None:
        fitted = TrainingData(
            data.committed, data.task, data.view, data.features, "standardize"
        ).scaling
        if fitted is not None:
            network.mean.copy_(torch.from_numpy(fitted.offset))
            network.deviation.copy_(torch.from_numpy(fitted.divisor))
    if data.task != "regression":
        return class_loss(data, params, device)
    labels = data.labels("train")
    offset, spread = float(labels.mean()), float(labels.std()) or 1.0
    network.offset.fill_(offset)
    network.spread.fill_(spread)
    return number_loss(data, params, spread)
