"""Features of the Flax adapter alone: modules rebuilt from their classes and arguments."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlops_assets.errors import ExportError
from mlops_assets.models.frameworks import framework_named
from mlops_assets_tests.models.frameworks.models import from_models
from mlops_assets_tests.training.example_trainers import samples

pytestmark = pytest.mark.frameworks


def test_an_architecture_that_is_not_the_models_own_is_refused(
    tmp_path: Path, subtests: pytest.Subtests
) -> None:
    X, y = samples((6,))
    adapter = framework_named("flax")
    adapter.save(from_models("flax", "mlp")(X, y), tmp_path)
    cases: list[tuple[dict[str, object], str]] = [
        ({"class": "os:system", "arguments": {"command": "false"}}, "not a Flax module"),
        ({"class": "torch.nn:Linear", "arguments": {}}, "not a Flax module"),
        ({"class": "mlops_assets_tests.gone:Net", "arguments": {}}, "does not exist any more"),
        ({"class": 3}, "does not exist any more"),
        (
            {"class": "flax.nnx:Linear", "arguments": {"depth": 3}},
            "does not take the stored arguments",
        ),
        (
            {"class": "flax.nnx:Linear", "arguments": {"in_features": 6, "out_features": 3}},
            "weights do not fit Linear",
        ),
    ]
    for described, message in cases:
        (tmp_path / "architecture.json").write_text(json.dumps(described))
        with subtests.test(described=described), pytest.raises(ExportError, match=message):
            adapter.load(tmp_path)


def test_a_module_of_linen_is_refused(tmp_path: Path) -> None:
    from flax import linen

    with pytest.raises(ExportError, match=r"Dense is not a flax.nnx.Module"):
        framework_named("flax").save(linen.Dense(3), tmp_path)


def test_layers_of_any_number_of_arguments_are_refused(tmp_path: Path) -> None:
    from flax import nnx

    with pytest.raises(ExportError, match="Sequential takes any number of arguments"):
        framework_named("flax").save(nnx.Sequential(nnx.Linear(6, 3, rngs=nnx.Rngs(0))), tmp_path)
