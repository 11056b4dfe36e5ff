"""The ready-made CNN as a trainer that also records the processor time of its fit."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from mlops_assets.training.trainers import patch_cnn
from mlops_assets.training.trainers.patch_cnn import Params

if TYPE_CHECKING:
    from mlops_assets.datasets.loading.training_data import TrainingData
    from mlops_assets.training.run import TrainingRun
    from mlops_assets.training.trainers.torch_loop.networks.patch_cnn import PatchCNN

FRAMEWORK = patch_cnn.FRAMEWORK
CPU_SECONDS = "fit_cpu_seconds"


def train(data: TrainingData, params: Params, run: TrainingRun) -> PatchCNN:
    """Train as `patch_cnn` does; `CPU_SECONDS` is a metric of the run."""
    worked = time.process_time()
    network = patch_cnn.train(data, params, run)
    run.summarize({CPU_SECONDS: time.process_time() - worked})
    return network
