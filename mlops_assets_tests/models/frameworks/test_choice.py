"""The adapter that a model gets."""

from __future__ import annotations

from typing import Any

import pytest

from mlops_assets.errors import TrainerError
from mlops_assets.models.frameworks import framework_named, framework_of


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (None, "returned nothing"),
        ({"weights": 1}, "returned a builtins.dict"),
        (3, "returned a builtins.int"),
    ],
    ids=["nothing", "dictionary", "number"],
)
def test_a_model_without_an_adapter_is_refused(model: Any, message: str) -> None:
    with pytest.raises(TrainerError, match=f"a:trainer {message}"):
        framework_of(model, "a:trainer")


def test_an_unknown_adapter_is_refused() -> None:
    with pytest.raises(TrainerError, match="'caffe'"):
        framework_named("caffe")
