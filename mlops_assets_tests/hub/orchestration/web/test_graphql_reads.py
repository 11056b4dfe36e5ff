"""GraphQL of those who may only read: no mutation of Dagster gets through, however it is sent."""

from __future__ import annotations

import json
from typing import Any

import pytest
from dagster_graphql.schema import create_schema

from mlops_assets.errors import Forbidden, MlopsError
from mlops_assets.hub.orchestration.web.graphql_reads import checked_message, checked_request
from mlops_assets.hub.rest.errors import Refused

JSON = "application/json"
READ = "query Read($n: Int) { runsOrError(limit: $n) { __typename } }"
SCHEMA = create_schema().graphql_schema
assert SCHEMA.mutation_type is not None
MUTATIONS = sorted(SCHEMA.mutation_type.fields)


def body(**members: Any) -> bytes:
    return json.dumps(members).encode()


def test_the_schema_has_the_mutations_that_this_is_about() -> None:
    assert {"launchRun", "terminateRun", "wipeAssets", "startSensor", "deletePipelineRun"} <= set(
        MUTATIONS
    )


@pytest.mark.parametrize("name", MUTATIONS)
def test_no_mutation_passes(name: str) -> None:
    for text in (
        f"mutation {{ {name} }}",
        f"mutation M {{ harmless: {name} {{ __typename }} }}",
        f"{READ}\nmutation Second {{ {name} }}",
        f"fragment F on Mutation {{ {name} }}\nmutation {{ ...F }}",
        f"\ufeff# query {{ version }}\n,,mutation,{{{name}}}",
    ):
        with pytest.raises(Forbidden, match="operator"):
            checked_request(JSON, body(query=text, operationName="Read"), {})
        with pytest.raises(Forbidden, match="operator"):
            checked_request("", b"", {"query": text})
        with pytest.raises(Forbidden, match="operator"):
            message = {"id": "1", "type": "start", "payload": {"query": text}}
            checked_message(json.dumps(message))


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        (JSON, body(query="subscription { __typename }")),
        # several at once, and one that the server would have stored
        (JSON, json.dumps([{"query": "mutation { launchRun }"}]).encode()),
        (JSON, body(extensions={"persistedQuery": {"version": 1, "sha256Hash": "0" * 64}})),
        (JSON, b'{"query": "{ version }", "query": "mutation { launchRun }"}'),
        (JSON, b"not JSON"),
        (JSON, body(query={"kind": "Document"})),
        (JSON, body(query="{" * 100_000)),
        (JSON, body(query="{ a " * 60_000)),
        ("multipart/form-data; boundary=x", b"--x\r\n"),
        ("application/graphql", b"mutation { launchRun }"),
        ("text/plain", body(query="{ version }")),
        ("application/x-www-form-urlencoded", b"query=mutation%7BlaunchRun%7D"),
    ],
)
def test_what_is_not_one_query_is_refused(kind: str, content: bytes) -> None:
    with pytest.raises((Refused, Forbidden)):
        checked_request(kind, content, {"query": "{ version }"})


def test_what_is_passed_on_is_what_was_checked() -> None:
    sent = body(query=READ, variables={"n": 1}, operationName="Read", extensions={"trick": 1})
    passed = json.loads(checked_request(f"{JSON}; charset=utf-8", sent, {"query": "mutation {x}"}))
    assert passed == {"query": READ, "variables": {"n": 1}, "operationName": "Read"}
    passed = json.loads(checked_request("", b"", {"query": READ, "variables": '{"n": 2}'}))
    assert passed == {"query": READ, "variables": {"n": 2}}


def test_a_subscription_passes_on_a_websocket_with_the_name_that_the_server_reads() -> None:
    payload = {"query": "subscription S { __typename }", "operationName": "S", "other": 1}
    passed = json.loads(checked_message(json.dumps({"id": 3, "type": "start", "payload": payload})))
    assert passed == {
        "type": "start",
        "id": "3",
        "payload": {
            "query": payload["query"],
            "operationName": "S",
            "operation_name": "S",
        },
    }


@pytest.mark.parametrize(
    "message",
    [
        {"type": "subscribe", "id": "1", "payload": {"query": "mutation { launchRun }"}},
        {"type": "start", "id": "1"},
        {"type": "start", "id": "1", "payload": "mutation { launchRun }"},
        ["start"],
    ],
)
def test_a_message_of_another_protocol_is_refused(message: object) -> None:
    with pytest.raises(MlopsError):
        checked_message(json.dumps(message))
