"""The training of a network on a data version.

The ready-made trainers call it once they have chosen a network.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from mlops_assets.datasets.loading.training_data import TrainingData
from mlops_assets.errors import TrainerError
from mlops_assets.training.trainers.torch_loop.augmentation import Turns
from mlops_assets.training.trainers.torch_loop.feed import Feed, FeedOptions
from mlops_assets.training.trainers.torch_loop.loop import Loop
from mlops_assets.training.trainers.torch_loop.losses import Loss, class_loss, number_loss
from mlops_assets.training.trainers.torch_loop.networks.layers import ScaledNetwork
from mlops_assets.training.trainers.torch_loop.parameters import ImageParams, LoopParams
from mlops_assets.training.trainers.torch_loop.precision import Precision, set_memory_format
from mlops_assets.training.trainers.torch_loop.validation import Validation

if TYPE_CHECKING:
    from mlops_assets.training.run import TrainingRun


def fit(
    network: ScaledNetwork, data: TrainingData, params: LoopParams, run: TrainingRun
) -> ScaledNetwork:
    """Train a network and return it.

    Args:
        network: takes samples (n, features, …) and gives scores (n, classes, …) or numbers (n, 1).
        data: the data version.
        params: parameters of the training.
        run: the run that it belongs to.

    Returns:
        The network, with its best or last weights, on the run's device.

    Raises:
        TrainerError: parameters that do not suit the data, a loss that is not a number, or no
            training samples.
    """
    device = run.device
    turns = None
    precision = Precision(device, params.mixed_precision)
    if isinstance(params, ImageParams):
        precision = Precision(device, params.mixed_precision, params.channels_last)
        turns = Turns(params.augmentation, data.sample_shape[1], data.sample_shape[2], device)
    with run.phase("data"):
        loss = _loss(network, data, params, device)
        options = FeedOptions(
            params.batch_size,
            run.seed,
            device,
            loss.unknown,
            params.workers,
            params.shuffle,
            run.rank,
            run.world_size,
        )
        feed = Feed(data, "train", options, turns)
        if not feed.samples:
            raise TrainerError(
                f"{data.reference} has no training samples; change 'split' of the dataset"
            )
        held_out = Feed(data, "validation", options)
    classes = len(data.class_names)
    validation = None
    if held_out.samples:
        validation = Validation(held_out, loss, classes, precision, device, run.world_size)
    network.to(device)
    precision.lay_out(network)
    Loop(network, params, run, loss, feed, precision).fit(validation)
    # as it is saved
    set_memory_format(network, torch.contiguous_format)
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
    offset = float(labels.mean())
    spread = float(labels.std()) or 1.0
    network.offset.fill_(offset)
    network.spread.fill_(spread)
    return number_loss(data, params, spread)
