"""A trainer that has a parameter of every kind."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal

import dagster as dg
from pydantic import BaseModel, ConfigDict, Field, model_validator

from mlops_assets.models.specification import ModelSpecification
from mlops_assets_tests.training.example_trainers import model_specification

HERE = __name__


class Loss(Enum):
    """An enumeration of Python."""

    focal = "focal"
    plain = "plain"


class Everything(BaseModel):
    """Parameters of `train`."""

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    size: int = Field(ge=1, lt=100, description="Required.")
    rate: float = Field(default=1e-3, gt=0, description="Peak of the schedule.")
    augment: bool = True
    mixed: bool | None = None
    schedule: Literal["one_cycle", "constant"] = "one_cycle"
    width: Literal[16, 32] = 16
    loss: Loss | None = None
    patience: int | None = Field(default=None, ge=1)
    label: str = "a b"
    weights: Literal["none", "balanced"] | dict[int, Annotated[float, Field(gt=0)]] = "none"
    layers: list[int] = [4]
    folder: Path = Path("x")
    opaque: complex = 1j

    @model_validator(mode="after")
    def _not_both(self) -> Everything:
        if self.size > 50 and self.rate > 0.1:
            raise ValueError("large and fast exclude each other")
        return self


def train(data: object, params: Everything, run: object) -> object:
    """Train nothing."""
    raise NotImplementedError


class Launchable(dg.Config):
    """Parameters of `launchable`: a dagster Config, which drops what it does not know."""

    epochs: int = 3


def launchable(data: object, params: Launchable, run: object) -> object:
    """Train nothing."""
    raise NotImplementedError


def everything(**changes: Any) -> ModelSpecification:
    """A model of `train` on the dataset `fields`."""
    attributes = {"trainer": f"{HERE}:train", "params": {"size": 8}}
    return model_specification(**attributes | changes)
