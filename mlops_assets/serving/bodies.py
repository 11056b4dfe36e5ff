"""Bodies of requests, read within limits of each and of all together."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.requests import Request
from starlette.types import Receive

from mlops_assets.errors import RequestRefused

# a body of a window of 512 x 512 pixels and 12 bands of FP32 as JSON: 25 characters a value, as
# json.dumps writes the longest of them, which is 75 MiB; 12 MiB as a binary tensor
DEFAULT_LIMIT = 80 << 20
# bodies of so many bytes are always read; how many there are is limited by connections
SMALL = 1 << 20
_ADVICE = (
    "send binary tensors or fewer samples at once, or start the server with a larger --max-body"
)


class Bodies:
    """The bodies that a server holds in memory."""

    def __init__(self, limit: int, total: int) -> None:
        """Limit bodies.

        Args:
            limit: bytes of one body.
            total: bytes of all bodies that are larger than `SMALL`, together.
        """
        self.limit = limit
        self._total = total
        self._held = 0

    async def read(self, request: Request, limit: int | None = None) -> bytes:
        """Return the body of a request, which counts until `release`.

        Args:
            request: the request.
            limit: bytes at most; that of the server if None.

        Raises:
            RequestRefused: it is too large, compressed or interrupted, or there are too many.
        """
        return await self.receive(dict(request.headers.raw), request.receive, limit)

    async def receive(
        self, headers: Mapping[bytes, bytes], receive: Receive, limit: int | None = None
    ) -> bytes:
        """Return a body as `read` does, without a request object.

        Args:
            headers: of the request, by names in small letters.
            receive: of ASGI.
            limit: bytes at most; that of the server if None.

        Raises:
            RequestRefused: as `read`.
        """
        limit = self.limit if limit is None else min(limit, self.limit)
        check_announced(headers, limit, _ADVICE)
        chunks: list[bytes] = []
        size = counted = 0
        complete = False
        try:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise RequestRefused("the body was interrupted")
                chunk: bytes = message.get("body", b"")
                size += len(chunk)
                if size > limit:
                    raise too_large(limit, _ADVICE)
                if size > SMALL:
                    if self._held + size - counted > self._total:
                        raise RequestRefused(
                            "the server holds as many large requests as it has room for; try again",
                            503,
                        )
                    self._held += size - counted
                    counted = size
                chunks.append(chunk)
                if not message.get("more_body", False):
                    complete = True
                    return chunks[0] if len(chunks) == 1 else b"".join(chunks)
        finally:
            if not complete:
                self._held -= counted

    def release(self, body: bytes) -> None:
        """Note that a body that was read is not needed any more."""
        if len(body) > SMALL:
            self._held -= len(body)


def check_announced(headers: Mapping[bytes, bytes], limit: int, advice: str) -> None:
    """Refuse a body by what its headers state, before it is read.

    Args:
        headers: of the request, by names in small letters.
        limit: bytes at most.
        advice: what to do if it is larger.

    Raises:
        RequestRefused: it is compressed or too large.
    """
    if headers.get(b"content-encoding", b"identity").strip().lower() != b"identity":
        raise RequestRefused("the body must not be compressed; leave out Content-Encoding", 415)
    announced = headers.get(b"content-length", b"0")
    if not announced.isdigit() or int(announced) > limit:
        raise too_large(limit, advice)


def too_large(limit: int, advice: str) -> RequestRefused:
    """Return the refusal of a body that is too large, with advice."""
    return RequestRefused(f"the body is larger than {limit} bytes; {advice}", 413)
