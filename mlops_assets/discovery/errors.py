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
MAX_SEARCH = 512 << 10  # bytes of a search, which callers without a token send, too
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
    errors.OrchestratorUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
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
    """ASGI middleware that refuses bodies before they are parsed.

    They are refused if they are too large, compressed, or would change records and are of a caller
    without a token.
    """

    def __init__(self, app: ASGIApp) -> None:
        """Limit the requests of an app."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or respond 401, 413 or 415."""
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self._app(scope, receive, send)
            return
        path = scope["path"].removeprefix(scope["root_path"])
        limit = MAX_SEARCH if path == "/search" else MAX_BODY
        refusal = _refused_by_headers(scope, path, limit)
        messages: list[Message] = []
        received = 0
        while refusal is None and scope["method"] != "DELETE":
            message = await receive()
            messages.append(message)
            received += len(message.get("body", b""))
            if received > limit:
                refusal = _too_large(limit)
            elif not message.get("more_body", False):
                break

        async def replay() -> Message:
            return messages.pop(0) if messages else await receive()

        await (refusal or self._app)(scope, replay, send)


def _refused_by_headers(scope: Scope, path: str, limit: int) -> Response | None:
    if path.startswith("/collections") and not scope["state"]["principal"].roles:
        return error_response(
            HTTPStatus.UNAUTHORIZED,
            errors.Unauthenticated.__name__,
            "to change records, send a bearer token",
        )
    headers = Headers(scope=scope)
    if headers.get("content-encoding", "identity").strip().lower() != "identity":
        return error_response(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "Compressed",
            "the body must not be compressed; leave out Content-Encoding",
        )
    announced = headers.get("content-length", "0")
    return _too_large(limit) if announced.isdecimal() and int(announced) > limit else None


def _too_large(limit: int) -> Response:
    return error_response(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "TooLarge",
        f"the body is larger than {limit} bytes; send fewer Items at once, or simplify geometries",
    )
