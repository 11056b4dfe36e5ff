"""A trainer whose validation accuracy is set by its parameters, and sweeps over it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator
from sklearn.tree import DecisionTreeClassifier

from mlops_assets.datasets.loading.training_data import TrainingData
from mlops_assets.models.specification import ModelSpecification
from mlops_assets.training.run import TrainingRun
from mlops_assets.training.sweeps.plan import Plan, plan_sweep
from mlops_assets.training.sweeps.settings import settings_of
from mlops_assets_tests.training.example_trainers import model_specification

HERE = __name__
FRAMEWORK = "scikit-learn"


class Curve(BaseModel):
    """Parameters of `curve`."""

    model_config = ConfigDict(extra="forbid")

    quality: float = Field(default=0.5, ge=0, le=1)
    depth: int = Field(default=2, ge=1, le=8)
    layers: list[int] = [4]
    steps: int = Field(default=3, ge=1)
    fails: bool = False
    wait_for: str = ""
    cautious: bool = False

    @model_validator(mode="after")
    def _not_both(self) -> Curve:
        if self.cautious and self.quality > 0.5:
            raise ValueError("cautious and good exclude each other")
        return self


def curve(data: TrainingData, params: Curve, run: TrainingRun) -> DecisionTreeClassifier:
    """Logs a curve that ends at `quality`.

    Waits until the file `wait_for` is there, if one is named.
    """
    X, y = data.arrays("train")
    if params.fails:
        raise RuntimeError("out of luck")
    done = run.restore()
    for step in range(0 if done is None else done.step + 1, params.steps):
        value = params.quality * (step + 1) / params.steps
        run.log(
            {"validation_accuracy": value, "validation_loss": 1 - value, "train_accuracy": 1.0},
            step=step,
        )
        run.checkpoint({"step": step}, step=step)
        while params.wait_for and not Path(params.wait_for).exists():
            time.sleep(0.05)
    X = X.reshape(len(X), -1)
    return DecisionTreeClassifier(max_depth=params.depth, random_state=run.seed).fit(X, y)


def blind(data: TrainingData, params: Curve, run: TrainingRun) -> DecisionTreeClassifier:
    """Logs nothing of the validation split."""
    X, y = data.arrays("train")
    run.log({"train_accuracy": 1.0}, step=0)
    return DecisionTreeClassifier(max_depth=params.depth).fit(X.reshape(len(X), -1), y)


def curve_model(**changes: object) -> ModelSpecification:
    """A model of that trainer on the dataset `fields`."""
    return model_specification(**{"trainer": f"{HERE}:curve"} | changes)


def planned(
    parameters: dict[str, Any],
    model: dict[str, Any] | None = None,
    name: str = "s",
    **settings: Any,
) -> Plan:
    """A sweep over `curve`; `settings` are the other keys of the file."""
    return plan_sweep(
        curve_model(**(model or {})),
        "v1",
        settings_of({"parameters": parameters, **settings}, "space.yaml"),
        name,
        "space.yaml",
    )
