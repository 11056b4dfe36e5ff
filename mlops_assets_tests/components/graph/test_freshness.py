from __future__ import annotations

from datetime import timedelta

import dagster as dg
import pytest
from pydantic import ValidationError

from mlops_assets.components.graph.freshness import Freshness
from mlops_assets.components.training_dataset import TrainingDataset
from mlops_assets_tests.components.graph.test_labels import built
from mlops_assets_tests.conftest import table_specification


@pytest.mark.parametrize(
    ("declared", "policy"),
    [
        (None, None),
        (
            {"fail": "2w", "warn": "36h"},
            dg.FreshnessPolicy.time_window(timedelta(days=14), timedelta(hours=36)),
        ),
        (
            {"deadline": "0 6 * * 1", "within": "90m", "timezone": "Europe/Berlin"},
            dg.FreshnessPolicy.cron("0 6 * * 1", timedelta(minutes=90), "Europe/Berlin"),
        ),
    ],
)
def test_the_landing_and_nothing_else_has_the_declared_policy(
    declared: dict[str, str] | None, policy: dg.FreshnessPolicy | None
) -> None:
    attributes = table_specification().model_dump(mode="json") | {"freshness": declared}
    nodes = built(TrainingDataset, attributes).resolve_asset_graph().asset_nodes
    found = {node.key.path[-1]: node.freshness_policy for node in nodes}
    assert found.pop("landing") == policy
    assert set(found.values()) == {None}


@pytest.mark.parametrize("length", ["3651d", "9999999w", "999999999999w"])
def test_a_duration_beyond_any_calendar_is_refused(length: str) -> None:
    deadline = {"deadline": "0 6 * * 1", "within": length}
    for declared in ({"fail": length}, {"fail": "1d", "warn": length}, deadline):
        with pytest.raises(ValidationError, match=f"{length} is longer than 3650 days"):
            Freshness.model_validate(declared)
    assert Freshness(fail="3650d").policy() is not None
