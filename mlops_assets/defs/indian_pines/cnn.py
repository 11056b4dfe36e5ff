"""A trainer of one's own: a spectral-spatial CNN on patches. Copy it as a start for yours.

NumPy and PyTorch are imported inside, so that loading the code location stays fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mlops_assets import TrainingData, TrainingRun
    from mlops_assets.defs.indian_pines.network import SpectralSpatialNet

# of the models it returns: PyTorch is then loaded, and seeded, before training starts
FRAMEWORK = "pytorch"


class Params(dg.Config):
    """Parameters of the CNN; Dagster's Launchpad shows them as a form."""

    epochs: int = Field(default=40, ge=1, description="Passes over the training patches.")
    learning_rate: float = Field(default=3e-3, gt=0, description="Peak of the one-cycle schedule.")
    batch_size: int = Field(default=64, ge=2, description="Patches a step.")
    components: int = Field(
        default=100, ge=1, description="Principal components kept of the spectrum."
    )
    width: int = Field(default=64, ge=1, description="Channels of the first convolutions.")


def train(data: TrainingData, params: Params, run: TrainingRun) -> SpectralSpatialNet:
    """Train on the training patches, flipped and rotated; the validation split is only watched."""
    import numpy as np
    import torch
    from torch.nn.functional import cross_entropy

    from mlops_assets.defs.indian_pines.network import SpectralSpatialNet

    X, y = data.arrays("train")
    bands = X.shape[1]
    size = X.shape[2]
    net = SpectralSpatialNet(
        bands, len(data.class_names), size, min(params.components, bands), params.width
    )
    mean, projection = principal_components(X[:, :, size // 2, size // 2], net.components)
    net.mean.copy_(torch.from_numpy(mean))
    net.projection.copy_(torch.from_numpy(projection))
    net.to(run.device)
    with torch.no_grad():
        patches = torch.cat(
            [net.project(part.to(run.device)) for part in torch.from_numpy(X).split(1024)]
        )
    labels = torch.from_numpy(y).to(run.device)
    optimizer = torch.optim.AdamW(net.parameters(), weight_decay=1e-3)
    steps = params.epochs * -(-len(y) // params.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, params.learning_rate, total_steps=steps
    )
    for epoch in range(params.epochs):
        net.train()
        losses = []
        for batch in torch.randperm(len(y)).split(params.batch_size):
            turned = torch.rot90(patches[batch], int(torch.randint(4, ())), (2, 3))
            if torch.rand(()) < 0.5:
                turned = turned.flip(3)
            loss = cross_entropy(net.body(turned), labels[batch], label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(float(loss.detach()))
        run.log(
            {"train_loss": float(np.mean(losses)), **_validate(net, data, run.device)}, step=epoch
        )
    return net


def principal_components(
    spectra: NDArray[np.float32], count: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return mean (bands,) and projection (count, bands) of standardised spectra (n, bands).

    All components share one scale, so that noise in the last ones stays small.
    """
    import numpy as np

    mean = spectra.mean(axis=0)
    deviation = spectra.std(axis=0) + 1e-6
    values, vectors = np.linalg.eigh(np.cov(((spectra - mean) / deviation).T))
    order = np.argsort(values)[::-1][:count]
    projection = vectors[:, order].T / deviation * (3 / np.sqrt(values[order[0]]))
    return mean.astype(np.float32), projection.astype(np.float32)


def _validate(net: SpectralSpatialNet, data: TrainingData, device: str) -> dict[str, float]:
    import torch

    X, y = data.arrays("validation")
    if not len(y):
        return {}
    net.eval()
    with torch.no_grad():
        predicted = torch.cat(
            [net(part.to(device)).argmax(1).cpu() for part in torch.from_numpy(X).split(1024)]
        )
    return {"validation_accuracy": float((predicted.numpy() == y).mean())}
