"""A convolutional network for patches and images, in PyTorch: a class or a number of each."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pydantic import Field

from mlops_assets.errors import TrainerError
from mlops_assets.training.trainers.torch_loop.parameters import ImageParams

if TYPE_CHECKING:
    from mlops_assets.datasets.loading.training_data import TrainingData
    from mlops_assets.training.run import TrainingRun
    from mlops_assets.training.trainers.torch_loop.networks.patch_cnn import PatchCNN

FRAMEWORK = "pytorch"
# pixels; larger samples are halved down to it
MIN_SIDE = 8


class Params(ImageParams):
    """Parameters of `train`."""

    width: int = Field(default=64, ge=2, description="Channels at full size.")
    blocks: int = Field(default=2, ge=1, description="Residual blocks at each size.")


def train(data: TrainingData, params: Params, run: TrainingRun) -> PatchCNN:
    """Train on patches, whose label is that of the central pixel, or on whole images.

    Args:
        data: patches or images.
        params: parameters of the network and of its training.
        run: the run that it belongs to.

    Returns:
        The network, with its best or last weights.

    Raises:
        TrainerError: the data is neither, or training fails.
    """
    from mlops_assets.training.trainers.torch_loop.fit import fit
    from mlops_assets.training.trainers.torch_loop.networks.patch_cnn import PatchCNN

    if data.view not in ("patch", "image"):
        raise TrainerError(
            f"patch_cnn takes patches or images, and {data.reference} is read as {data.view}; "
            "use time_series for rows and pixels, unet for windows"
        )
    side = min(data.sample_shape[1:])
    halvings = max(0, int(math.log2(side / MIN_SIDE))) if side > MIN_SIDE else 0
    network = PatchCNN(
        len(data.features),
        len(data.class_names),
        params.width,
        params.blocks,
        halvings,
        data.view == "patch",
        params.dropout,
    )
    fit(network, data, params, run)
    return network
