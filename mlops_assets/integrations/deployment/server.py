"""The question to a running server: does it serve a model version, by the digest of its file?

The server is asked over HTTP by the Open Inference Protocol; it is never changed.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import quote, urlsplit

from mlops_assets.certificates import trusted_certificates
from mlops_assets.identity.declaration import is_loopback

WAIT_SECONDS = 30.0
INTERVAL_SECONDS = 0.5
# a server that takes longer to describe a model does not serve it well
TIMEOUT_SECONDS = 5.0
MAX_BODY = 1 << 20


@dataclass(frozen=True)
class ServerAnswer:
    """What a server has answered about a model.

    Attributes:
        sha256: of the ONNX file that it serves; None if it serves none, or does not name it.
        reason: why there is no digest; None if there is one.
        reachable: whether a server has answered at all.
        absent: whether the server has answered that it does not serve the model.
    """

    sha256: str | None
    reason: str | None = None
    reachable: bool = True
    absent: bool = False


def ask_server(url: str, model: str, token: str | None = None) -> ServerAnswer:
    """Return what a server serves of a model.

    Args:
        url: of the server.
        model: name of the model.
        token: that the caller has; it is sent only over TLS or within this machine.
    """
    import httpx

    safe = urlsplit(url).scheme == "https" or is_loopback(urlsplit(url).hostname or "")
    headers = {"authorization": f"Bearer {token}"} if token and safe else {}
    address = f"{url.rstrip('/')}/v2/models/{quote(model, safe='')}"
    try:
        with httpx.stream(
            "GET",
            address,
            headers=headers,
            timeout=TIMEOUT_SECONDS,
            trust_env=False,
            verify=trusted_certificates(),
        ) as response:
            body = b""
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) > MAX_BODY:
                    return ServerAnswer(None, f"{address} answers with more than {MAX_BODY} bytes")
            return _answer(response.status_code, body, address)
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
        reason = str(error) or type(error).__name__
        return ServerAnswer(None, f"no server answers at {url}: {reason}", reachable=False)


def _answer(status: int, body: bytes, address: str) -> ServerAnswer:
    if status in (HTTPStatus.NOT_FOUND, HTTPStatus.SERVICE_UNAVAILABLE):
        return ServerAnswer(None, f"{address} answers {status}: no such model", absent=True)
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        reason = f"{address} answers {status}: set MLOPS_API_TOKEN to a token that may read it"
        return ServerAnswer(None, reason)
    if status != HTTPStatus.OK:
        return ServerAnswer(None, f"{address} answers {status}")
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return ServerAnswer(None, f"{address} does not answer with JSON")
    properties = document.get("properties") if isinstance(document, dict) else None
    found = properties.get("sha256") if isinstance(properties, dict) else None
    if not isinstance(found, str):
        return ServerAnswer(None, f"{address} does not name the sha256 of what it serves")
    return ServerAnswer(found)


def wait_for_digest(
    url: str, model: str, sha256: str, token: str | None = None, seconds: float | None = None
) -> ServerAnswer:
    """Ask a server until it serves a file, or for some time.

    Args:
        url: of the server.
        model: name of the model.
        sha256: of the ONNX file that it is to serve.
        token: that the caller has.
        seconds: at most; `WAIT_SECONDS` if None.

    Returns:
        The last answer.
    """
    until = time.monotonic() + (WAIT_SECONDS if seconds is None else seconds)
    while True:
        found = ask_server(url, model, token)
        if found.sha256 == sha256 or time.monotonic() >= until:
            return found
        time.sleep(min(INTERVAL_SECONDS, max(0.0, until - time.monotonic())))
