"""Errors as problem documents (RFC 9457)."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import Receive, Scope, Send

from mlops_assets.discovery.errors import STATUS
from mlops_assets.errors import MlopsError
from mlops_assets.hub.rest.schemas import Problem
from mlops_assets.serving.http_server import problem_document
from mlops_assets.text.secret_urls import redacted

MAX_DETAIL = 2_000  # characters of a problem document's detail
PROBLEM_TYPE = "application/problem+json"


class Refused(MlopsError):
    """A request that is invalid; `status` is the status of the response."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        self.status = status
        super().__init__(message)


def problem(
    status: int, detail: str, headers: dict[str, str] | None = None, kind: str | None = None
) -> JSONResponse:
    """Return a problem document; `kind` is the name of our own error."""
    fields = problem_document(status, redacted(detail)[:MAX_DETAIL])
    document = Problem.model_validate({**fields, "error": kind})
    content = document.model_dump(exclude_none=True)
    return JSONResponse(content, status, headers, media_type=PROBLEM_TYPE)


async def report_error(request: Request, error: Exception) -> Response:
    """Respond to a request that ended with one of our errors."""
    if not isinstance(error, MlopsError):
        raise error
    if isinstance(error, Refused):
        return problem(error.status, str(error))
    status = STATUS.get(type(error), HTTPStatus.UNPROCESSABLE_ENTITY)
    return problem(status, str(error), kind=type(error).__name__)


async def report_invalid_parameters(request: Request, error: Exception) -> Response:
    """Respond to a request whose path or query has values that are not valid."""
    if not isinstance(error, RequestValidationError):
        raise error
    listed = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:5])
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, listed)


async def report_http_exception(request: Request, error: Exception) -> Response:
    """Respond to a request for which there is no route or method."""
    if not isinstance(error, HTTPException):
        raise error
    return problem(error.status_code, error.detail, dict(error.headers or {}))


class NoRoute:
    """ASGI app that responds to requests for what the API does not have.

    Pages respond to all that no route is for, with a page; programs are not to get one.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request.

        Raises:
            HTTPException: always; it names the methods that the path has, if there are any.
        """
        for route in scope["app"].router.routes:
            match, child = route.matches(scope)
            if match is Match.PARTIAL:
                # it has the path with other methods
                await route.handle({**scope, **child}, receive, send)
                return
        raise HTTPException(HTTPStatus.NOT_FOUND)


async def report_unexpected_error(request: Request, error: Exception) -> Response:
    """Respond to a request that ended with an unexpected error, which the server logs."""
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "the server has failed; see its log")
