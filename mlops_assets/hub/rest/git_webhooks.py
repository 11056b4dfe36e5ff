"""The route that git servers call; what proves who they are is checked before anything is read."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel

from mlops_assets.errors import SettingsError, SpecificationError, Unauthenticated
from mlops_assets.hub.git_pushes import PushStarter, Received
from mlops_assets.hub.rest.bodies import read_body
from mlops_assets.hub.rest.caller import HubOf
from mlops_assets.hub.rest.errors import Refused, problem
from mlops_assets.hub.rest.openapi import problems
from mlops_assets.hub.rest.runs.launch_schemas import LaunchedRun
from mlops_assets.integrations.git_webhooks.declaration import (
    DeclaredGitWebhook,
    DeclaredGitWebhooks,
)
from mlops_assets.integrations.git_webhooks.pushes import event_header, read_pushes
from mlops_assets.integrations.git_webhooks.signatures import (
    REFUSED,
    Signed,
    check_proof,
    proof_headers,
)
from mlops_assets.text.strict_json import parse_json

# bytes; GitHub lists at most 2,048 commits, each of some hundred bytes
MAX_PUSH = 4 << 20

router = APIRouter(tags=["orchestration"])
log = logging.getLogger(__name__)


class GitPushReceived(BaseModel):
    """What came of a request of a git server.

    Attributes:
        outcome: `launched`; `ignored`, as nothing of it counts; or `known`, as it has come before.
        reason: why it is ignored.
        runs: of Dagster that it has started.
        errors: why others were not started.
    """

    outcome: Literal["launched", "ignored", "known"]
    reason: str
    runs: list[LaunchedRun]
    errors: list[str]

    @classmethod
    def of(cls, received: Received) -> GitPushReceived:
        """Return the document."""
        runs = [LaunchedRun.of(each) for each in received.launched]
        return cls(
            outcome=received.outcome, reason=received.reason, runs=runs, errors=received.errors
        )


@router.post(
    "/git-webhooks/{name}",
    operation_id="receiveGitPush",
    summary="Receive a push of a git server",
    response_model=GitPushReceived,
    response_description="It starts nothing.",
    responses={
        HTTPStatus.ACCEPTED: {"model": GitPushReceived, "description": "It has started runs."},
        **problems(400, 413, 415, 422),
    },
    openapi_extra={
        "security": [],
        "requestBody": {"required": True, "content": {"application/json": {}}},
    },
)
async def receive_git_push(
    request: Request, hub: HubOf, name: Annotated[str, Path(max_length=63)]
) -> Response:
    """Start what a declared git webhook starts. The server proves who it is, by a signature or a
    secret; see docs/git-webhooks.md.
    """
    webhook = _declared(hub.git_webhooks, name)
    headers = _once(request, proof_headers(webhook.provider))
    event = event_header(webhook.provider)
    events = request.headers.getlist(event) if event else []
    body = await read_body(request, MAX_PUSH)
    try:
        check_proof(webhook, Signed(headers, body, time.time()))
    except SettingsError as error:
        # the caller, who is not known, gets no details
        log.error("%s", error)
        return problem(
            HTTPStatus.SERVICE_UNAVAILABLE, "this webhook is not set up; see the log of the hub"
        )
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Refused(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "set the content type of the webhook to application/json",
        )
    if event and len(events) != 1:
        raise Refused(HTTPStatus.BAD_REQUEST, f"the header {event} must be there once")
    try:
        document = parse_json(body)
    except ValueError as error:
        raise Refused(HTTPStatus.BAD_REQUEST, f"the body is not valid JSON: {error}") from error
    try:
        pushes = read_pushes(webhook, events[0] if events else "", document, body)
    except SpecificationError as error:
        raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from error
    starter = PushStarter(hub.store, hub.models, hub.launcher)
    received = await run_in_threadpool(starter.receive, webhook, pushes)
    log.info("git webhook %s: %s %s", webhook.name, received.outcome, received.reason)
    status = HTTPStatus.ACCEPTED if received.outcome == "launched" else HTTPStatus.OK
    return JSONResponse(GitPushReceived.of(received).model_dump(), status)


def _declared(declared: DeclaredGitWebhooks | None, name: str) -> DeclaredGitWebhook:
    """Return a webhook; one that is not declared is refused like one that is not signed."""
    found = declared.get(name) if declared else None
    if found is None:
        raise Unauthenticated(REFUSED)
    return found


def _once(request: Request, names: Sequence[str]) -> dict[str, str]:
    """Return headers, of which each must be there once, before the body is read.

    Raises:
        Unauthenticated: one is missing, or is there twice.
    """
    found = {name: request.headers.getlist(name) for name in names}
    if any(len(values) != 1 for values in found.values()):
        raise Unauthenticated(REFUSED)
    return {name: values[0] for name, values in found.items()}
