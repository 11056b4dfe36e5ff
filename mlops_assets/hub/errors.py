"""Errors as callers of the API get them.

They are problem documents (RFC 9457); bodies are read within limits.
"""

from __future__ import annotations

import json
import math
from http import HTTPStatus
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from mlops_assets import errors
from mlops_assets.errors import MlopsError
from mlops_assets.serving.http_server import problem_document
from mlops_assets.text.secret_urls import shown

MAX_DOCUMENT = 8 << 20  # bytes of a JSON body
MAX_DEPTH = 32  # of lists and objects in each other
MAX_DETAIL = 2_000  # characters of what a caller is told

M = TypeVar("M", bound=BaseModel)

_STATUS: dict[type[MlopsError], HTTPStatus] = {
    errors.NotFound: HTTPStatus.NOT_FOUND,
    errors.Conflict: HTTPStatus.CONFLICT,
    errors.Forbidden: HTTPStatus.FORBIDDEN,
    errors.StorageError: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.IntegrityError: HTTPStatus.INTERNAL_SERVER_ERROR,
}


class Refused(MlopsError):
    """A request that is not what it should be; `status` says how the caller is told."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        self.status = status
        super().__init__(message)


def problem(
    status: int, detail: str, headers: dict[str, str] | None = None, kind: str | None = None
) -> JSONResponse:
    """Return a problem document; `kind` is the name of our own error."""
    document = problem_document(status, shown(detail)[:MAX_DETAIL])
    if kind:
        document["error"] = kind
    return JSONResponse(document, status, headers, media_type="application/problem+json")


async def told(request: Request, error: Exception) -> Response:
    """Answer a request that ended with one of our errors."""
    if not isinstance(error, MlopsError):
        raise error
    status = (
        error.status
        if isinstance(error, Refused)
        else _STATUS.get(type(error), HTTPStatus.UNPROCESSABLE_ENTITY)
    )
    return problem(
        status, str(error), kind=None if isinstance(error, Refused) else type(error).__name__
    )


async def told_by_starlette(request: Request, error: Exception) -> Response:
    """Answer a request for which there is no route or method."""
    if not isinstance(error, HTTPException):
        raise error
    return problem(error.status_code, error.detail, dict(error.headers or {}))


async def told_without_details(request: Request, error: Exception) -> Response:
    """Answer a request that ended with an error that nobody has foreseen.

    The server's log has it.
    """
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "the server has failed; its log says why")


def check_announced(request: Request, limit: int) -> None:
    """Check what the headers of a request say of its body, before the body is read.

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
    """Return the refusal of a body that has more bytes than a limit."""
    return Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is larger than {limit} bytes")


async def body(request: Request, limit: int = MAX_DOCUMENT) -> bytes:
    """Return the body of a request.

    Raises:
        Refused: it is larger than the limit, no JSON, or was interrupted.
    """
    check_announced(request, limit)
    read = bytearray()
    try:
        async for chunk in request.stream():
            read += chunk
            if len(read) > limit:
                raise too_large(limit)
    except ClientDisconnect as error:
        raise Refused(HTTPStatus.BAD_REQUEST, "the body was interrupted") from error
    return bytes(read)


async def document(request: Request, model: type[M]) -> M:
    """Return the body of a request as a checked document.

    Raises:
        Refused: it is too large, no JSON, or has other members.
    """
    return parsed(await body(request), model)


def parsed(content: bytes, model: type[M]) -> M:
    """Return JSON as a checked document.

    What parsers or databases read differently, or not at all, is refused.

    Raises:
        Refused: it is not.
    """
    try:
        value: Any = json.loads(
            content, parse_constant=_refuse_constant, object_pairs_hook=_members
        )
        _check_values(value)
        text = json.dumps(value, ensure_ascii=False)
        text.encode()  # a lone surrogate is not text
    except (ValueError, RecursionError) as error:
        raise Refused(HTTPStatus.BAD_REQUEST, f"the body is no JSON: {error}") from error
    if "\\u0000" in text:
        raise Refused(HTTPStatus.BAD_REQUEST, "the body has a NUL character in a text")
    try:
        return model.model_validate(value)
    except ValidationError as error:
        listed = "; ".join(
            f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:5]
        )
        raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, f"the body does not do: {listed}") from error


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number of JSON")


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("an object has a member twice")
    return members


def _check_values(value: Any) -> None:
    """Check how deep a document is, and that its numbers are of 64 bits.

    Raises:
        ValueError: it is too deep.
        Refused: it has a number that is too large.
    """
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        for found in level:
            if isinstance(found, float) and not math.isfinite(found):
                raise Refused(
                    HTTPStatus.UNPROCESSABLE_ENTITY, "the body has a number that is too large"
                )
            if isinstance(found, int) and not -(2**63) <= found < 2**64:
                raise Refused(
                    HTTPStatus.UNPROCESSABLE_ENTITY, "the body has an integer of more than 64 bits"
                )
        containers = (found for found in level if isinstance(found, (dict, list)))
        level = [
            child
            for node in containers
            for child in (node.values() if isinstance(node, dict) else node)
        ]
        if not level:
            return
    raise ValueError(f"lists and objects are more than {MAX_DEPTH} deep in each other")
