"""Errors as callers of the API get them: problem documents (RFC 9457), and bodies that are read within limits."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from mlops_assets import errors
from mlops_assets.errors import MlopsError

LARGEST_DOCUMENT = 8 << 20  # bytes of a JSON body

M = TypeVar("M", bound=BaseModel)

_STATUS: dict[type[MlopsError], HTTPStatus] = {
    errors.NotFound: HTTPStatus.NOT_FOUND,
    errors.Conflict: HTTPStatus.CONFLICT,
    errors.StorageError: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.IntegrityError: HTTPStatus.INTERNAL_SERVER_ERROR,
}


class Refused(MlopsError):
    """A request that is not what it should be; `status` says how the caller is told."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        self.status = status
        super().__init__(message)


def problem(status: int, detail: str, headers: dict[str, str] | None = None, kind: str | None = None) -> JSONResponse:
    """Return a problem document; `kind` is the name of our own error."""
    document = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": int(status), "detail": detail}
    if kind:
        document["error"] = kind
    return JSONResponse(document, status, headers, media_type="application/problem+json")


async def told(request: Request, error: Exception) -> Response:
    """Answer a request that ended with one of our errors."""
    if not isinstance(error, MlopsError):
        raise error
    status = error.status if isinstance(error, Refused) else _STATUS.get(type(error), HTTPStatus.UNPROCESSABLE_ENTITY)
    return problem(status, str(error), kind=None if isinstance(error, Refused) else type(error).__name__)


async def told_by_starlette(request: Request, error: Exception) -> Response:
    """Answer a request for which there is no route or method."""
    if not isinstance(error, HTTPException):
        raise error
    return problem(error.status_code, error.detail, dict(error.headers or {}))


async def body(request: Request, limit: int = LARGEST_DOCUMENT) -> bytes:
    """Return the body of a request.

    Raises:
        Refused: it is larger than the limit, or broke off.
    """
    read = bytearray()
    try:
        async for chunk in request.stream():
            read += chunk
            if len(read) > limit:
                raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is larger than {limit} bytes")
    except ClientDisconnect as error:
        raise Refused(HTTPStatus.BAD_REQUEST, "the body broke off") from error
    return bytes(read)


async def document(request: Request, model: type[M]) -> M:
    """Return the body of a request as a checked document.

    Raises:
        Refused: it is too large, no JSON, or has other members.
    """
    return parsed(await body(request), model)


def parsed(content: bytes, model: type[M]) -> M:
    """Return JSON as a checked document; NaN and texts that no database takes are refused.

    Raises:
        Refused: it is not.
    """
    try:
        value: Any = json.loads(content, parse_constant=_refuse_constant)
        text = json.dumps(value, ensure_ascii=False)
        text.encode()  # a lone surrogate is no text
    except (ValueError, RecursionError) as error:
        raise Refused(HTTPStatus.BAD_REQUEST, f"the body is no JSON: {error}") from error
    if "\\u0000" in text:
        raise Refused(HTTPStatus.BAD_REQUEST, "the body has a NUL character in a text")
    try:
        return model.model_validate(value)
    except ValidationError as error:
        listed = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:5])
        raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, f"the body does not do: {listed}") from error


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")
