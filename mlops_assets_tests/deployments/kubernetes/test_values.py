"""Values: each is documented, read and checked; wrong ones are refused with what to do."""

from __future__ import annotations

import json
import os
import re
from typing import Any

import pytest
import yaml

from mlops_assets_tests.deployments.kubernetes.chart import (
    CHART,
    ROOT,
    Refused,
    Rendered,
    answers,
)
from mlops_assets_tests.deployments.kubernetes.values_table import END, START, leaves, table

PAGE = ROOT / "docs" / "kubernetes.md"

WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "misspelt": ({"hubb": {}}, "additional properties 'hubb' not allowed"),
    "misspelt below": ({"hub": {"replica": 2}}, "at '/hub': additional properties 'replica'"),
    "a password": (
        {"dagster": {"database": {"password": "x"}}},
        "at '/dagster/database': additional properties 'password' not allowed",
    ),
    "a secret among settings": (
        {"workspace": {"settings": {"AWS_SECRET_ACCESS_KEY": "x"}}},
        "AWS_SECRET_ACCESS_KEY is a secret, and would be in a ConfigMap that many may read: put it"
        " into the Secret mlops-workspace",
    ),
    "the registry's URL among settings": (
        {"workspace": {"settings": {"MLOPS_REGISTRY": "postgresql://u:p@h/d"}}},
        "workspace.settings.MLOPS_REGISTRY is a secret",
    ),
    "a setting of the chart": (
        {"workspace": {"settings": {"MLOPS_EXECUTOR": "in_process"}}},
        "workspace.settings.MLOPS_EXECUTOR is set by the chart",
    ),
    "not a setting": ({"workspace": {"settings": {"PATH": "/"}}}, "invalid propertyName 'PATH'"),
    "a private key among files": (
        {"declarations": {"files": {"a.pem": "-----BEGIN PRIVATE KEY-----"}}},
        "declarations.files.a.pem is a private key",
    ),
    "a declaration among files": (
        {"declarations": {"files": {"trust.yaml": "x"}}},
        "write it as declarations.trust",
    ),
    "latest": ({"images": {"hub": {"tag": "latest"}}}, "images.hub.tag is latest"),
    "a tag in the repository": (
        {"images": {"code": {"repository": "host:5000/code:1"}}},
        "write what is behind the colon into images.code.tag",
    ),
    "not a digest": ({"images": {"gpu": {"digest": "sha256:1"}}}, "at '/images/gpu/digest'"),
    "no replica": ({"hub": {"replicas": 0}}, "at '/hub/replicas': minimum: got 0, want 1"),
    "no TLS": ({"hub": {"publicUrl": "http://hub.example.org"}}, "at '/hub/publicUrl'"),
    "sign-in without an address": (
        {"declarations": {"identity": {"sign_in": {"client_id": "x"}}}},
        "hub.publicUrl is not set",
    ),
    "two ways to sign in": (
        {
            "hub": {"publicUrl": "https://hub.example.org"},
            "declarations": {"gateway": {"x": 1}, "identity": {"sign_in": {"client_id": "x"}}},
        },
        "people sign in at one of them",
    ),
    "a gateway's tokens without their issuer": (
        {
            "hub": {"publicUrl": "https://hub.example.org"},
            "declarations": {"gateway": {"token_header": "Authorization"}},
        },
        "declarations.gateway.token_header needs declarations.identity",
    ),
    "a gateway that anybody may be": (
        {"declarations": {"gateway": {"x": 1}}, "networkPolicy": {"enabled": False}},
        "declarations.gateway needs networkPolicy.enabled",
    ),
    "a web server for everybody": (
        {"webserver": {"enabled": True}, "networkPolicy": {"enabled": False}},
        "webserver.enabled needs networkPolicy.enabled",
    ),
    "an operator's label that all pods have": (
        {"webserver": {"enabled": True}, "networkPolicy": {"operators": None}},
        "at '/networkPolicy': missing property 'operators'",
    ),
    "limits without requests": (
        {"hub": {"resources": {"requests": None}}},
        "at '/hub/resources",
    ),
    "a model without an alias": (
        {"serving": {"services": [{"name": "a", "models": ["crop_cnn"], "resources": {}}]}},
        "at '/serving/services/0/models/0'",
    ),
    "a service twice": (
        {
            "serving": {
                "services": [
                    {"name": "a", "models": [f"{model}@production"], "resources": resources}
                    for model in ("x", "y")
                    for amounts in [{"cpu": "1", "memory": "1Gi", "ephemeral-storage": "1Gi"}]
                    for resources in [{"requests": amounts, "limits": amounts}]
                ]
            }
        },
        "serving.services has a twice",
    ),
}


@pytest.fixture(scope="module")
def refusals() -> dict[str, Rendered | Refused]:
    return dict(zip(WRONG, answers([values for values, _message in WRONG.values()]), strict=True))


@pytest.mark.parametrize("what", WRONG)
def test_wrong_values_are_refused_and_named(
    refusals: dict[str, Rendered | Refused], what: str
) -> None:
    refusal = refusals[what]
    assert isinstance(refusal, Refused)
    assert WRONG[what][1] in str(refusal)


def test_every_value_is_in_the_schema_and_every_one_of_the_schema_has_a_default() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())

    def declared(node: dict[str, Any]) -> Any:
        if "$ref" in node:
            node = schema["$defs"][node["$ref"].removeprefix("#/$defs/")]
        properties = node.get("properties", {})
        closed = node.get("additionalProperties") is False
        return {name: declared(each) for name, each in properties.items()} if closed else None

    def defaults(node: Any, shape: Any) -> Any:
        if shape is None:
            return None
        return {name: defaults(each, shape[name]) for name, each in node.items()}

    expected = declared(schema)
    expected.pop("global")  # Helm's own
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert defaults(values, expected) == expected


def test_every_value_is_read_by_a_template() -> None:
    text = "".join(path.read_text() for path in (CHART / "templates").iterdir())
    # parts and images are handed to templates as a whole
    shared = {"resources", "scratch", "nodeSelector", "tolerations", "annotations"}
    shared |= {"repository", "tag", "digest", "to", "ports"}
    for leaf in leaves():
        path = leaf.path.split(".")
        if path[-1] in shared or path[0] in ("declarations", "networkPolicy"):
            assert re.search(
                rf"\.{path[-1]}\b|\"{path[-1]}\"|\${path[0]}\b|policy\.{path[1]}\b", text
            )
        else:
            assert f".Values.{leaf.path}" in text, leaf.path


def test_every_value_is_described_and_the_page_has_the_table() -> None:
    assert not [leaf.path for leaf in leaves() if not leaf.description]
    page = PAGE.read_text()
    before, after = page.index(START) + len(START), page.index(END)
    if os.environ.get("UPDATE_GOLDEN"):
        PAGE.write_text(f"{page[:before]}{table()}\n{page[after:]}")
        return
    assert page[before:after] == f"{table()}\n", "renew it with UPDATE_GOLDEN=1"
