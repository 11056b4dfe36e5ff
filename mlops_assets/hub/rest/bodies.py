"""Bodies of requests, read within limits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect

from mlops_assets.hub.rest.errors import Refused
from mlops_assets.text.strict_json import NumberTooLarge, parse_json

MAX_DOCUMENT = 8 << 20  # bytes of a JSON body

M = TypeVar("M", bound=BaseModel)


def document_of(model: type[M]) -> Callable[[Request], Awaitable[M]]:
    """Return a dependency that reads the body of a request as a document."""

    async def read(request: Request) -> M:
        return parse_document(await read_body(request), model)

    return read


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
