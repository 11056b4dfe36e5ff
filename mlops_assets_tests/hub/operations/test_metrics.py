"""Metrics of a hub: what is counted, with which labels, and who reads them."""

from __future__ import annotations

import re
import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import yaml
from prometheus_client.parser import text_string_to_metric_families

from mlops_assets.hub.operations.metrics import _of_dagster
from mlops_assets.hub.operations.orchestration import OrchestrationTotals
from mlops_assets.identity.tokens import create_token
from mlops_assets.names import Reference
from mlops_assets.principals import Role, Visibility
from mlops_assets.registry.promotion.alarms import FailedRule
from mlops_assets.serving.metrics import ServerMetrics
from mlops_assets.store import Store
from mlops_assets_tests.hub.external.test_routes import send_onnx, started
from mlops_assets_tests.hub.serving import TOKEN, caller, finished, hub

PROJECT = Path(__file__).parents[3]
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def scraped(url: str, token: str = TOKEN) -> Samples:
    response = httpx.get(f"{url}/metrics", headers={"Authorization": f"Bearer {token}"})
    assert response.status_code == 200, response.text
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


def test_requests_are_counted_by_template_whatever_callers_request(store: Store) -> None:
    with hub(store) as url, caller(url) as client:
        for number in range(3):
            client.get(f"runs/{uuid.UUID(int=number)}")
        for path in (
            "/%2e%2e/1",
            "/nothing/1",
            "/nothing/2",
            "/stac/collections/x",
            "/stac/collections/y",
        ):
            httpx.get(url + path)
        httpx.request("BREW", f"{url}/pot")
        found = {
            labels: value
            for (name, labels), value in scraped(url).items()
            if name == "mlops_hub_requests_total"
        }
    routes = {dict(labels)["route"] for labels in found}
    assert "/api/v1/runs/{run_id:uuid}" in routes
    assert "/stac/collections/{collection_id}" in routes
    assert not any("nothing" in route or "%2e" in route for route in routes)
    assert {dict(labels)["method"] for labels in found} == {"GET", "other"}


def test_the_platform_is_measured_and_hidden_models_only_for_those_who_see_them(
    store: Store, tmp_path: Path
) -> None:
    viewer, operator = (
        create_token(store.registry, role, [role], timedelta(days=1))[1]
        for role in (Role.VIEWER, Role.OPERATOR)
    )
    with hub(store) as url, caller(url) as client:
        run_id = started(client)
        send_onnx(client, run_id, tmp_path / "model.onnx")
        version = finished(client, run_id)["model_version"]
        reference = Reference("crops", version.rpartition("@")[2])
        store.registry.raise_alarm(FailedRule(reference, "drift", "2026-01-02", "psi 0.4"))
        store.registry.set_visibility(store.registry.model_version(reference), Visibility.PRIVATE)
        ours, theirs = scraped(url, operator), scraped(url, viewer)
    assert ours["mlops_runs", (("status", "succeeded"),)] == 1
    assert ours["mlops_model_versions", ()] == 1
    assert ours["mlops_hub_part_up", (("part", "registry"),)] == 1
    alarm = ("mlops_alarms_open", (("model", "crops"),))
    assert ours[alarm] == 1
    assert alarm not in theirs
    assert theirs["mlops_runs", (("status", "succeeded"),)] == 1


def test_metrics_need_a_token(store: Store) -> None:
    with hub(store) as url:
        assert httpx.get(f"{url}/metrics").status_code == 401


class NoModels:
    """A repository without models, and workers without requests."""

    taken = 0

    def names(self) -> list[str]:
        return []


def test_docs_and_rules_name_metrics_that_there_are(store: Store) -> None:
    with hub(store, local=store.registry.principal) as url:
        httpx.get(url + "/health/live")
        text = httpx.get(f"{url}/metrics").text
    none: Any = NoModels()
    text += ServerMetrics(none, None, none).text(lambda model, version: True).decode()
    # those of Dagster are of a hub that has it
    found = {each.name for each in _of_dagster(OrchestrationTotals({}, {}))}
    for family in text_string_to_metric_families(text):
        kind = {"counter": "_total", "info": "_info"}.get(family.type, "")
        # when each counter began, which the client adds
        if not family.name.endswith("_created"):
            found.add(family.name + kind)
    names = re.compile(r"\bmlops_(?!platform)[a-z_]+[a-z]")
    documented = set(names.findall((PROJECT / "docs" / "operations.md").read_text()))
    rules = (PROJECT / "deployments" / "monitoring" / "rules.yaml").read_text()
    used = {
        name.removesuffix("_bucket")
        for group in yaml.safe_load(rules)["groups"]
        for rule in group["rules"]
        for name in names.findall(rule["expr"])
    }
    assert documented == found
    assert used <= found
