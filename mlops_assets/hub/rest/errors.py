"""Errors as problem documents (RFC 9457), and request bodies read within limits."""

from __future__ import annotations

from http import HTTPStatus
from typing import TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match
from starlette.types import Receive, Scope, Send

from mlops_assets.discovery.errors import STATUS
from mlops_assets.errors import MlopsError
from mlops_assets.hub.rest.schemas import Problem
from mlops_assets.serving.http_server import problem_document
from mlops_assets.text.secret_urls import redacted
from mlops_assets.text.strict_json import NumberTooLarge, parse_json

MAX_DOCUMENT = 8 << 20  # bytes of a JSON body
MAX_DETAIL = 2_000  # characters of a problem document's detail
PROBLEM_TYPE = "application/problem+json"

M = TypeVar("M", bound=BaseModel)


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


def check_announced(request: Request, limit: int) -> None:
    """Check the headers that describe the body of a request, before the body is read.

    Args:
        request: the request.
        limit: bytes at most.

    Raises:
        Refused: it is larger, or compressed.
    """
    headers = request.headers
    if headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise Refused(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "the body must not be compressed; leave out Content-Encoding",
        )
    if int(headers.get("content-length") or 0) > limit:
        raise too_large(limit)


def too_large(limit: int) -> Refused:
    """Return the error of a body that has more bytes than a limit."""
    return Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is larger than {limit} bytes")


async def read_body(request: Request, limit: int = MAX_DOCUMENT) -> bytes:
    """Return the body of a request.

    Args:
        request: the request.
        limit: bytes at most.

    Raises:
        Refused: it is larger than the limit, compressed, or was interrupted.
    """
    check_announced(request, limit)
    content = bytearray()
    try:
        async for chunk in request.stream():
            content += chunk
            if len(content) > limit:
                raise too_large(limit)
    except ClientDisconnect as error:
        raise Refused(HTTPStatus.BAD_REQUEST, "the body was interrupted") from error
    return bytes(content)


def parse_document(content: bytes, model: type[M]) -> M:
    """Return JSON as a validated document.

    JSON that parsers or databases read differently, or not at all, is refused.

    Raises:
        Refused: it is not valid.
    """
    try:
        value = parse_json(content)
    except NumberTooLarge as error:
        raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, f"in the body, {error}") from error
    except ValueError as error:
        raise Refused(HTTPStatus.BAD_REQUEST, f"the body is not valid JSON: {error}") from error
    try:
        return model.model_validate(value)
    except ValidationError as error:
        listed = "; ".join(
            f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:5]
        )
        raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, f"the body is invalid: {listed}") from error
