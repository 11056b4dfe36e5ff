"""A U-Net for the semantic segmentation of windows, in PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from mlops_assets.errors import TrainerError
from mlops_assets.training.trainers.torch_loop.parameters import ImageParams

if TYPE_CHECKING:
    from mlops_assets.datasets.loading.training_data import TrainingData
    from mlops_assets.training.run import TrainingRun
    from mlops_assets.training.trainers.torch_loop.networks.unet import UNet


FRAMEWORK = "pytorch"


class Params(ImageParams):
    """Parameters of `train`."""

    batch_size: int = Field(
        default=16, ge=1, description="Windows a step, over all parts and processes."
    )
    width: int = Field(
        default=32, ge=2, description="Channels at full size; doubled with each halving."
    )
    depth: int = Field(default=4, ge=1, le=6, description="How often height and width are halved.")


def train(data: TrainingData, params: Params, run: TrainingRun) -> UNet:
    """Train on windows; unlabelled pixels are ignored.

    Args:
        data: windows.
        params: parameters of the network and of its training.
        run: the run that it belongs to.

    Returns:
        The network, with its best or last weights.

    Raises:
        TrainerError: the data is not read as windows, or training fails.
    """
    from mlops_assets.training.trainers.torch_loop.fit import fit
    from mlops_assets.training.trainers.torch_loop.networks.unet import UNet

    if data.view != "window":
        raise TrainerError(
            f"unet takes windows, and {data.reference} is read as {data.view}; use 'read: windows'"
            " of the dataset's scenes, or patch_cnn"
        )
    network = UNet(
        len(data.features), len(data.class_names), params.width, params.depth, params.dropout
    )
    fit(network, data, params, run)
    return network
