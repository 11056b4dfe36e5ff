"""The routes by which people sign in and out, and by which an open page gets a new session."""

from __future__ import annotations

import asyncio
import logging
from http import HTTPStatus
from urllib.parse import parse_qs

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict
from starlette.responses import RedirectResponse, Response

from mlops_assets.errors import (
    Conflict,
    IssuerUnreachable,
    MlopsError,
    NameRefused,
    StorageError,
    Unauthenticated,
)
from mlops_assets.hub.rest.bodies import parse_document, read_body
from mlops_assets.hub.rest.errors import Refused
from mlops_assets.hub.sign_in import documents, open_pages
from mlops_assets.hub.sign_in.authentication import RETRY_SECONDS
from mlops_assets.hub.sign_in.open_pages import session_of
from mlops_assets.hub.sign_in.people import People
from mlops_assets.hub.sign_in.requests import ATTACH, SIGN_IN, SIGN_OUT, SIGNED_IN, return_path

MAX_FORM = 8 << 10  # bytes

log = logging.getLogger(__name__)
router = APIRouter(include_in_schema=False)


class Attachment(BaseModel):
    """An open page that is to continue with the session of the request."""

    model_config = ConfigDict(extra="forbid")

    client: str


@router.get(SIGN_IN)
async def offer_sign_in(request: Request) -> Response:
    """Return the page that offers to sign in; those who have are sent on."""
    people = _people(request)
    target = return_path(request.query_params.get("to"))
    if session_of(request) is not None:
        return RedirectResponse(target, HTTPStatus.SEE_OTHER)
    if people is None:
        return documents.not_configured()
    if people.provider is None:
        return documents.unknown_to_gateway()
    return documents.sign_in(people.provider.issuer, target)


@router.post(SIGN_IN)
async def begin_sign_in(request: Request) -> Response:
    """Send the browser to the provider."""
    people = _people(request)
    if people is None or people.provider is None:
        return documents.not_configured()
    form = parse_qs((await read_body(request, MAX_FORM)).decode("ascii", "replace"))
    try:
        begun = await people.provider.begin(return_path(form.get("to", [""])[0]))
    except MlopsError as error:
        return _failed(error)
    response = documents.continue_at(begun.url)
    people.set_sign_in(response, begun.browser)
    return response


@router.get(SIGNED_IN)
async def complete_sign_in(request: Request) -> Response:
    """Begin the session of somebody whom the provider has sent back."""
    people = _people(request)
    if people is None or people.provider is None:
        return documents.not_configured()
    answer = dict(request.query_params)
    # the log of requests has no codes
    request.scope["query_string"] = b""
    try:
        found = await people.provider.complete(answer, people.sign_in_cookie.value(request.headers))
        before = session_of(request)
        if before is not None:
            await asyncio.to_thread(people.sessions.end, before)
        secret = await asyncio.to_thread(people.sessions.begin, found.principal)
    except MlopsError as error:
        return _failed(error)
    response = RedirectResponse(found.target, HTTPStatus.SEE_OTHER, {"Cache-Control": "no-store"})
    people.set_session(response, secret)
    return response


@router.get(SIGN_OUT)
async def offer_sign_out(request: Request) -> Response:
    """Return the page that asks whether to sign out."""
    session = session_of(request)
    return documents.signed_out() if session is None else documents.sign_out(session.principal.name)


@router.post(SIGN_OUT)
async def sign_out(request: Request) -> Response:
    """End the session here, and at the provider if it has a page for that."""
    people, session = _people(request), session_of(request)
    if people is None:
        return documents.signed_out()
    if session is not None:
        try:
            await asyncio.to_thread(people.sessions.end, session)
        except StorageError as error:
            return _failed(error)
        open_pages.close_pages(session)
    url = None if people.provider is None else await people.provider.sign_out_url()
    response = documents.signed_out() if url is None else documents.continue_at(url)
    people.session_cookie.clear(response)
    return response


@router.post(ATTACH)
async def attach_session(request: Request) -> Response:
    """Let an open page continue with the session of the request."""
    session = session_of(request)
    if session is None:
        raise Unauthenticated("sign in first")
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise Refused(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "send the body with Content-Type: application/json"
        )
    open_pages.attach(
        parse_document(await read_body(request, MAX_FORM), Attachment).client, session
    )
    return Response(status_code=HTTPStatus.NO_CONTENT)


def _people(request: Request) -> People | None:
    found: People | None = request.app.state.people
    return found


def _failed(error: MlopsError) -> Response:
    """Return the page of a sign-in that has failed."""
    headers = {}
    if isinstance(error, Unauthenticated | NameRefused):
        status, detail = HTTPStatus.FORBIDDEN, str(error)
    elif isinstance(error, IssuerUnreachable | Conflict):
        status, detail = HTTPStatus.SERVICE_UNAVAILABLE, str(error)
        headers["Retry-After"] = str(RETRY_SECONDS)
    else:
        # the log has what the caller, who is not authenticated, is not to know
        log.warning("a sign-in has failed: %s", error)
        status, detail = HTTPStatus.SERVICE_UNAVAILABLE, "The registry cannot be used; try again."
    return documents.message("Sign-in has failed", detail, status, headers, SIGN_IN)
