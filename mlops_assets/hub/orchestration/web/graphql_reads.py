"""GraphQL of those who may only read: Dagster's read-only server gets no mutation from them.

That server refuses mutations itself. What is sent to it is written anew from what was checked here,
so that both read the same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from graphql import GraphQLError, OperationDefinitionNode, OperationType, parse

from mlops_assets.errors import Forbidden
from mlops_assets.hub.rest.errors import Refused
from mlops_assets.text.strict_json import parse_json

# Dagster's own pages send queries of some thousands
MAX_TOKENS = 50_000
_MEMBERS = ("query", "variables", "operationName")
_SOCKET_TYPES = ("connection_init", "connection_terminate", "start", "stop")


def checked_request(content_type: str, body: bytes, query: Mapping[str, str]) -> bytes:
    """Return the body of a GraphQL request, as JSON, if it only reads.

    Args:
        content_type: header of the request.
        body: of the request; empty for GET.
        query: parameters of its URL.

    Raises:
        Forbidden: it has a mutation or a subscription.
        Refused: it is not one GraphQL request.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/json":
        request = _object(body, "the body")
    elif not body:
        request = dict(query)
        if isinstance(request.get("variables"), str):
            request["variables"] = _object(request["variables"].encode(), "variables")
    else:
        raise Refused(HTTPStatus.BAD_REQUEST, "a GraphQL request is sent as application/json")
    return json.dumps(_checked(request, {OperationType.QUERY})).encode()


def checked_message(text: str | bytes) -> str:
    """Return a message of a websocket in the protocol `graphql-ws`, if it only reads.

    Raises:
        Forbidden: it has a mutation.
        Refused: it is not a message of that protocol.
    """
    message = _object(text if isinstance(text, bytes) else text.encode(), "the message")
    kind = message.get("type")
    if kind not in _SOCKET_TYPES:
        raise Refused(HTTPStatus.BAD_REQUEST, "the message is not one of the protocol graphql-ws")
    checked: dict[str, Any] = {"type": kind}
    if "id" in message:
        checked["id"] = str(message["id"])
    if kind == "start":
        payload = message.get("payload")
        if not isinstance(payload, dict):
            raise Refused(HTTPStatus.BAD_REQUEST, "the message has no payload")
        allowed = {OperationType.QUERY, OperationType.SUBSCRIPTION}
        found = _checked(payload, allowed)
        # the server reads this name of it here
        found["operation_name"] = found.get("operationName")
        checked["payload"] = found
    return json.dumps(checked)


def _object(content: bytes, what: str) -> dict[str, Any]:
    try:
        found = parse_json(content)
    except (ValueError, RecursionError) as error:
        raise Refused(HTTPStatus.BAD_REQUEST, f"{what} is not valid JSON: {error}") from error
    if not isinstance(found, dict):
        raise Refused(
            HTTPStatus.BAD_REQUEST, f"{what} is not one GraphQL request; send one at a time"
        )
    return found


def _checked(request: Mapping[str, Any], allowed: set[OperationType]) -> dict[str, Any]:
    text = request.get("query")
    if not isinstance(text, str):
        raise Refused(
            HTTPStatus.BAD_REQUEST, "the request has no 'query'; stored queries are not accepted"
        )
    try:
        document = parse(text, max_tokens=MAX_TOKENS)
    except (GraphQLError, RecursionError) as error:
        raise Refused(HTTPStatus.BAD_REQUEST, f"the query cannot be parsed: {error}") from error
    for definition in document.definitions:
        if isinstance(definition, OperationDefinitionNode) and definition.operation not in allowed:
            raise Forbidden(
                f"a {definition.operation.value} of Dagster needs the role operator; nothing was"
                " changed"
            )
    return {name: request[name] for name in _MEMBERS if request.get(name) is not None}
