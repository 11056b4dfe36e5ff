"""The names that users import from the package itself."""

from __future__ import annotations

import subprocess
import sys

import pytest

import mlops_assets
from mlops_assets.datasets.loading import training_data
from mlops_assets.external import external_run, log_predictions
from mlops_assets.processing import function
from mlops_assets.training import run


def test_the_public_names_are_those_of_the_modules_that_define_them() -> None:
    assert mlops_assets.TrainingData is training_data.TrainingData
    assert mlops_assets.TrainingRun is run.TrainingRun
    assert mlops_assets.ProcessingInput is function.ProcessingInput
    assert mlops_assets.ProcessingRun is function.ProcessingRun
    assert mlops_assets.external_run is external_run
    assert mlops_assets.log_predictions is log_predictions
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = mlops_assets.nothing


def test_importing_the_package_loads_nothing_else() -> None:
    code = (
        "import sys, mlops_assets; print([name for name in sys.modules if"
        " name.startswith('mlops_assets.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
