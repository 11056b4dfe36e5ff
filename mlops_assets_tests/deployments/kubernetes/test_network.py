"""Who reaches whom, by the policies of the chart as Kubernetes reads them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest

from mlops_assets_tests.deployments.kubernetes.chart import (
    VALUES,
    Manifest,
    Rendered,
    containers,
    pods,
    rendered,
)

Labels = dict[str, str]
# Dagster's own labels, and that of the launcher
RUN = {"app.kubernetes.io/component": "run_worker", "mlops-assets/release": "fields"}
STEP = {"app.kubernetes.io/component": "step_worker", "mlops-assets/release": "fields"}
OTHERS = {
    "run": RUN,
    "step": STEP,
    "another pod": {"app": "x"},
    "another release": {"app.kubernetes.io/component": "hub", "mlops-assets/release": "forests"},
    "operator": {"mlops-assets/operator": "true"},
}
EVERYTHING = {
    **VALUES["two services"],
    "webserver": {"enabled": True},
    "hub": {"publicUrl": "https://hub.example.org"},
}


def chosen(selector: Manifest, labels: Labels) -> bool:
    """Return whether a label selector matches."""
    if not selector.get("matchLabels", {}).items() <= labels.items():
        return False
    for rule in selector.get("matchExpressions", []):
        assert rule["operator"] == "In"
        if labels.get(rule["key"]) not in rule["values"]:
            return False
    return True


def lets_through(rules: list[Any], peers: str, other: Labels, port: int) -> bool:
    for rule in rules:
        if "ports" in rule and port not in [each["port"] for each in rule["ports"]]:
            continue
        # no peers at all are everybody
        if not rule.get(peers):
            return True
        if any(
            "podSelector" in each and chosen(each["podSelector"], other) for each in rule[peers]
        ):
            return True
    return False


def allowed(found: Rendered, source: Labels, target: Labels, port: int) -> bool:
    """Return whether a pod of the namespace may connect to another one."""
    for direction, peers, own, other in (
        ("Egress", "to", source, target),
        ("Ingress", "from", target, source),
    ):
        policies = [
            each["spec"]
            for each in found.of_kind("NetworkPolicy")
            if direction in each["spec"]["policyTypes"] and chosen(each["spec"]["podSelector"], own)
        ]
        rules = [rule for each in policies for rule in each.get(direction.lower(), [])]
        if policies and not lets_through(rules, peers, other, port):
            return False
    return True


def ports(found: Rendered) -> Iterator[tuple[str, Labels, int]]:
    for name, pod in pods(found):
        for each in containers(pod):
            for port in each.get("ports", []):
                yield name, pod["metadata"]["labels"], port["containerPort"]


def test_pods_reach_what_they_call_and_nothing_else() -> None:
    found = rendered(EVERYTHING)
    sources = {**{name: pod["metadata"]["labels"] for name, pod in pods(found)}, **OTHERS}
    connections = {
        (source, target, port)
        for (source, labels), (target, own, port) in product(sources.items(), ports(found))
        if source != target and allowed(found, labels, own, port)
    }
    servings = [("fields-serving-crops", 8080), ("fields-serving-svm", 8080)]
    assert connections == {
        *((name, "fields-code", 4000) for name in ("fields-hub", "fields-daemon", "run")),
        ("fields-webserver", "fields-code", 4000),
        *(
            (name, *serving)
            for name in ("fields-hub", "fields-code", "run", "step")
            for serving in servings
        ),
        ("operator", "fields-webserver", 3070),
    }


def test_the_hub_is_reached_by_those_who_are_named_and_by_nobody_if_none_is() -> None:
    def ingress(values: dict[str, Any]) -> Any:
        return rendered(values).named("NetworkPolicy", "fields-hub")["spec"]["ingress"]

    assert ingress({}) == []
    peers = [{"namespaceSelector": {"matchLabels": {"name": "ingress-apisix"}}}]
    assert ingress(VALUES["datalab"]) == [
        {"from": peers, "ports": [{"protocol": "TCP", "port": 3000}]}
    ]


@pytest.mark.parametrize(
    ("name", "labels", "reached"),
    [
        ("code", "fields-code", {53, 443, 5432}),
        ("daemon", "fields-daemon", {53, 443, 5432, 6443}),
        ("hub", "fields-hub", {53, 443, 5432, 6443}),
        ("run", RUN, {53, 443, 5432, 6443}),
        ("step", STEP, {53, 443, 5432}),
    ],
)
def test_what_is_outside_of_the_release_is_reached_at_few_ports(
    name: str, labels: Labels | str, reached: set[int]
) -> None:
    found = rendered({})
    own: Labels = (
        labels if isinstance(labels, dict) else dict(pods(found))[labels]["metadata"]["labels"]
    )
    rules = [
        rule
        for each in found.of_kind("NetworkPolicy")
        if "Egress" in each["spec"]["policyTypes"] and chosen(each["spec"]["podSelector"], own)
        for rule in each["spec"]["egress"]
        if not any("podSelector" in peer for peer in rule.get("to", []))
    ]
    assert {port["port"] for rule in rules for port in rule["ports"]} == reached, name


def test_addresses_of_the_object_store_are_those_that_are_named() -> None:
    (spec,) = [
        each["spec"]
        for each in rendered(VALUES["datalab"]).of_kind("NetworkPolicy")
        if each["metadata"]["name"] == "fields-storage"
    ]
    assert spec["egress"][1] == {
        "ports": [{"protocol": "TCP", "port": 9000}],
        "to": [{"ipBlock": {"cidr": "10.1.0.0/24"}}],
    }


@pytest.mark.parametrize("values", VALUES.values(), ids=list(VALUES))
def test_every_port_has_a_policy_unless_policies_are_off(values: dict[str, Any]) -> None:
    found = rendered(values)
    policies = [each["spec"] for each in found.of_kind("NetworkPolicy")]
    assert bool(policies) is values.get("networkPolicy", {}).get("enabled", True)
    for name, labels, _port in ports(found) if policies else ():
        own = [
            each
            for each in policies
            if "Ingress" in each["policyTypes"] and chosen(each["podSelector"], labels)
        ]
        # that of the whole release, and one of its own
        assert len(own) == 2, name
