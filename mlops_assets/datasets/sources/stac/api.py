"""Requests of pystac-client to a STAC API, within limits and with checked links.

The project declares the API itself; its links come from others.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests
from pystac_client.exceptions import APIError
from pystac_client.stac_api_io import StacApiIO

from mlops_assets.datasets.sources.public_web import public_session
from mlops_assets.storage.stores import WEB

if TYPE_CHECKING:
    from pystac.link import HREF

MAX_PAGES = 10_000  # of a search
MAX_BYTES = 1 << 30  # of all pages of a search


class ApiIO(StacApiIO):
    """Requests to one STAC API.

    Its links may lead to public and trusted web servers, and to each page once.
    """

    def __init__(self, url: str, timeout: float, page_bytes: int) -> None:
        """Take the limits of requests.

        Args:
            url: of the API.
            timeout: seconds without a response.
            page_bytes: maximum size of one response.
        """
        super().__init__(timeout=timeout)
        self.session = public_session(url)
        self.session.hooks["response"].append(self._read)
        self.session.stream = True
        self._page_bytes = page_bytes
        self._requested: set[str] = set()
        self._left = MAX_BYTES

    def read_text(self, source: HREF, *args: Any, **options: Any) -> str:
        """Return the text of a link's target.

        Raises:
            APIError: the target is not on a web server.
        """
        href = str(getattr(source, "href", source))  # a link, or its target
        if urlsplit(href).scheme not in WEB:
            raise APIError(f"the API leads to {href[:200]!r}, which is not on a web server")
        return str(super().read_text(source, *args, **options))

    def request(
        self,
        href: str,
        method: str | None = None,
        headers: dict[str, str] | None = None,
        parameters: dict[str, object] | None = None,
    ) -> str:
        """Return the response to a request.

        Raises:
            APIError: it failed, was made before, or there were too many.
        """
        request = json.dumps([href, method, headers, parameters], sort_keys=True, default=str)
        if request in self._requested:
            raise APIError(f"its pages lead in circles, to {href[:200]!r}")
        if len(self._requested) >= MAX_PAGES:
            raise APIError(f"it has more than {MAX_PAGES} pages; narrow the search")
        self._requested.add(request)
        return str(super().request(href, method, headers, parameters))

    def _read(self, response: requests.Response, **_: object) -> None:
        """Read a response within the limits.

        Raises:
            ValueError: it is longer.
        """
        if response.is_redirect:
            return
        content = bytearray()
        for chunk in response.iter_content(1 << 16):
            content += chunk
            if len(content) > min(self._page_bytes, self._left):
                response.close()
                raise ValueError("its responses are too long; narrow the search")
        self._left -= len(content)
        response._content = bytes(content)
