"""The small page in place of one of Dagster's that cannot be shown."""

from __future__ import annotations

from html import escape
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from mlops_assets.hub.rest.errors import problem

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title} · Dagster · mlops_assets</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; margin: 10vh auto; max-width: 40rem;
  padding: 0 1rem }}
</style>
</head>
<body>
<main>
<h1>{title}</h1>
<p>{text}</p>
<p><a href="/">Home of the hub</a></p>
</main>
</body>
</html>
"""
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none';"
        " frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
}
_TITLES = {
    HTTPStatus.FORBIDDEN: "Not allowed",
    HTTPStatus.SERVICE_UNAVAILABLE: "Dagster cannot be shown",
    HTTPStatus.GATEWAY_TIMEOUT: "Dagster cannot be shown",
}


def refusal(request: Request, status: int, text: str, retry: int | None = None) -> Response:
    """Return a refusal: a page for a browser that opens one, else a problem document.

    Args:
        request: what is refused.
        status: of the response.
        text: what happened, and what to do.
        retry: seconds after which the browser asks again; None if it does not.
    """
    headers = dict(_HEADERS)
    if retry is not None:
        headers["Retry-After"] = str(retry)
    if "text/html" not in request.headers.get("accept", ""):
        return problem(status, text, headers)
    if retry is not None:
        headers["Refresh"] = str(retry)
    found = HTTPStatus(status)
    content = _PAGE.format(title=_TITLES.get(found, found.phrase), text=escape(text))
    return HTMLResponse(content, status, headers)
