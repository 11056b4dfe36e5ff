"""Errors as the Open Inference Protocol has them: a status, and `{"error": "…"}`.

The classes of errors are elsewhere.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Mapping
from http import HTTPStatus
from typing import Any

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mlops_assets import errors
from mlops_assets.errors import MlopsError, RequestRefused
from mlops_assets.text.secret_urls import redacted

MAX_MESSAGE = 2_000  # characters
RETRY_SECONDS = 1

log = logging.getLogger(__name__)

# of errors of others the caller's request is the cause
STATUS: Mapping[type[MlopsError], int] = {
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.Hidden: 404,
    errors.Conflict: 409,
    errors.ModelUnavailable: 503,
    errors.StorageError: 503,
    errors.StorageUnreachable: 503,
    errors.IssuerUnreachable: 503,
    errors.DiskFull: 503,
    # of files or entries of the registry, which may be restored any time
    errors.IntegrityError: 503,
}
# they may name keys, folders and addresses, which only the log has
_UNSHOWN = {500: "the server has failed; see its log", 503: "try again; the server's log has more"}


def status_of(error: MlopsError) -> int:
    """Return the status of the response to a request that ended with an error."""
    if isinstance(error, RequestRefused):
        return error.status
    return STATUS.get(type(error), HTTPStatus.BAD_REQUEST)


def refusal(status: int, message: str) -> Response:
    """Return the response to a request that is refused or has failed.

    Args:
        status: of HTTP.
        message: what happened, where, and what to do next.
    """
    text = redacted(message)[:MAX_MESSAGE].encode(errors="replace").decode()
    headers = {}
    if status == HTTPStatus.UNAUTHORIZED:
        headers["www-authenticate"] = "Bearer"
    elif status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["retry-after"] = str(RETRY_SECONDS)
    return Response(orjson.dumps({"error": text}), status, headers, "application/json")


async def report_error(_request: Request, error: Exception) -> Response:
    """Respond to a request that ended with one of our errors."""
    if not isinstance(error, MlopsError):
        raise error
    status = status_of(error)
    if isinstance(error, errors.StorageError | errors.IntegrityError):
        log.error("a request has failed: %s", redacted(str(error)))
        return refusal(status, _UNSHOWN[status])
    return refusal(status, str(error))


async def report_http_exception(request: Request, error: Exception) -> Response:
    """Respond to a request for which there is no route or method."""
    if not isinstance(error, HTTPException):
        raise error
    if error.status_code == HTTPStatus.NOT_FOUND:
        response = refusal(404, "there is no such path here; those of models begin with /v2/models")
    elif error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        response = refusal(405, f"this path does not take the method {request.method[:20]}")
    else:
        response = refusal(error.status_code, error.detail)
    response.headers.update(error.headers or {})
    return response


HANDLERS: dict[int | type[Exception], Callable[[Request, Any], Coroutine[Any, Any, Response]]] = {
    MlopsError: report_error,
    HTTPException: report_http_exception,
}


class UnexpectedErrors:
    """ASGI middleware that responds 500 to a request that ended with any other error.

    Starlette raises such an error again, upon which the server would close the connection, which
    the caller may be using already for the next request.
    """

    def __init__(self, app: ASGIApp) -> None:
        """Guard an app."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or respond 500, with the traceback in the log only.

        Raises:
            Exception: the response had begun already, and can only be cut off.
        """
        started = False

        async def noted(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, noted)
        # whatever it is, other requests must not notice
        except Exception:
            if started or scope["type"] != "http":
                raise
            log.exception("a request has failed unexpectedly")
            await refusal(500, _UNSHOWN[500])(scope, receive, send)
