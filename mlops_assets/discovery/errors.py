"""Errors of the STAC API: a status, and `code` and `description` as STAC demands them.

Bodies of requests are limited here, before anything reads them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from pydantic_core import to_json
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mlops_assets import errors
from mlops_assets.errors import MlopsError
from mlops_assets.text.secret_urls import redacted

MAX_BODY = 8 << 20  # bytes
MAX_DESCRIPTION = 2_000  # characters
_SHOWN = 5  # problems of an invalid request

log = logging.getLogger(__name__)

# by our own errors; of others it depends on the API
STATUS: dict[type[MlopsError], HTTPStatus] = {
    errors.NotFound: HTTPStatus.NOT_FOUND,
    errors.Conflict: HTTPStatus.CONFLICT,
    errors.Forbidden: HTTPStatus.FORBIDDEN,
    errors.Unauthenticated: HTTPStatus.UNAUTHORIZED,
    errors.StorageError: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.StorageUnreachable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.IntegrityError: HTTPStatus.INTERNAL_SERVER_ERROR,
}


def error_response(status: int, code: str, description: str) -> Response:
    """Return the response to a request that ended with an error."""
    text = redacted(description)[:MAX_DESCRIPTION].encode(errors="replace").decode()
    headers = {"WWW-Authenticate": "Bearer"} if status == HTTPStatus.UNAUTHORIZED else None
    content = to_json({"code": code, "description": text})
    return Response(content, status, headers, "application/json")


async def report_error(_request: Request, error: Exception) -> Response:
    """Respond to a request that ended with one of our errors."""
    status = STATUS.get(type(error), HTTPStatus.BAD_REQUEST)  # type: ignore[arg-type]
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        # anyone may ask, and gets neither the registry's address nor keys
        log.error("a request to the STAC API failed: %s", redacted(str(error)))
        return error_response(
            status, type(error).__name__, "the records cannot be read or written at present"
        )
    return error_response(status, type(error).__name__, str(error))


async def report_http_exception(_request: Request, error: Exception) -> Response:
    """Respond to a request for which there is no route or method, or that is not valid."""
    if not isinstance(error, HTTPException):
        raise error
    phrase = HTTPStatus(error.status_code).phrase.replace(" ", "")
    return error_response(error.status_code, phrase, str(error.detail))


async def report_invalid_request(_request: Request, error: Exception) -> Response:
    """Respond to a request whose parameters or body have other values than they may have."""
    if not isinstance(error, RequestValidationError | ValidationError):
        raise error
    found = error.errors()
    listed = "; ".join(
        f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in found[:_SHOWN]
    )
    return error_response(HTTPStatus.BAD_REQUEST, "InvalidRequest", listed)


async def report_out_of_range(_request: Request, error: Exception) -> Response:
    """Respond to a request with a time that leaves the years 1 to 9999 of UTC."""
    description = f"a value of the request is out of range: {error}"
    return error_response(HTTPStatus.BAD_REQUEST, "InvalidRequest", description)


async def report_unexpected_error(_request: Request, error: Exception) -> Response:
    """Respond to a request that ended with an unexpected error, which the server logs."""
    log.error("a request to the STAC API failed", exc_info=error)
    return error_response(
        HTTPStatus.INTERNAL_SERVER_ERROR, "ServerError", "the server has failed; see its log"
    )


HANDLERS: dict[int | type[Exception], Callable[[Request, Any], Coroutine[Any, Any, Response]]] = {
    MlopsError: report_error,
    HTTPException: report_http_exception,
    ValidationError: report_invalid_request,
    OverflowError: report_out_of_range,  # of stac-pydantic's validators
    Exception: report_unexpected_error,
}


class LimitedBody:
    """ASGI middleware that refuses bodies which are too large, as far as they are read."""

    def __init__(self, app: ASGIApp) -> None:
        """Limit the requests of an app."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or respond 413."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = Headers(scope=scope).get("content-length", "0")
        received = int(announced) if announced.isdecimal() else 0
        messages: list[Message] = []
        if received <= MAX_BODY:
            received = 0
            while scope["method"] not in ("GET", "HEAD", "OPTIONS", "DELETE"):
                message = await receive()
                messages.append(message)
                received += len(message.get("body", b""))
                if received > MAX_BODY or not message.get("more_body", False):
                    break
        if received > MAX_BODY:
            refusal = error_response(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                "TooLarge",
                f"the body is larger than {MAX_BODY} bytes; send fewer Items at once",
            )
            await refusal(scope, receive, send)
            return

        async def replay() -> Message:
            return messages.pop(0) if messages else await receive()

        await self._app(scope, replay, send)
