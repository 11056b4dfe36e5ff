"""mlops_assets: an asset-oriented data and model platform for Earth observation.

A trainer gets `TrainingData` and `TrainingRun`, a function that makes data of data
`ProcessingInput` and `ProcessingRun`; `external_run` records a run made outside of the platform,
and `log_predictions` logs predictions made there.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlops_assets.datasets.loading.training_data import TrainingData
    from mlops_assets.external import external_run, log_predictions
    from mlops_assets.processing.function import ProcessingInput, ProcessingRun
    from mlops_assets.training.run import TrainingRun

__version__ = "0.1.0"
__all__ = [
    "ProcessingInput",
    "ProcessingRun",
    "TrainingData",
    "TrainingRun",
    "external_run",
    "log_predictions",
]

# imported on first access: every command imports this package
_MODULES = {
    "ProcessingInput": "mlops_assets.processing.function",
    "ProcessingRun": "mlops_assets.processing.function",
    "TrainingData": "mlops_assets.datasets.loading.training_data",
    "TrainingRun": "mlops_assets.training.run",
    "external_run": "mlops_assets.external",
    "log_predictions": "mlops_assets.external",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
