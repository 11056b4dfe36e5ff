"""Paths and methods that the REST API lacks: programs get a problem document, not a page."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus

from starlette.datastructures import URLPath
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match, NoMatchFound
from starlette.types import Receive, Scope, Send


class UnknownPaths(BaseRoute):
    """A route, after all others, of what is below a path."""

    def __init__(self, prefix: str, routes: Sequence[BaseRoute]) -> None:
        """Take what is left below a path.

        Args:
            prefix: the path.
            routes: that exist, which tell unknown methods from unknown paths.
        """
        self._prefix = prefix
        self._routes = routes

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Return whether a request is for something below the path."""
        if scope["type"] == "http":
            path: str = scope["path"]
            if path == self._prefix or path.startswith(f"{self._prefix}/"):
                return Match.FULL, {"endpoint": self}
        return Match.NONE, {}

    def url_path_for(self, name: str, /, **path_params: object) -> URLPath:
        """Find nothing: there are no named routes."""
        raise NoMatchFound(name, path_params)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request.

        Raises:
            HTTPException: always.
        """
        known = any(each.matches(scope)[0] is Match.PARTIAL for each in self._routes)
        status = HTTPStatus.METHOD_NOT_ALLOWED if known else HTTPStatus.NOT_FOUND
        raise HTTPException(status, f"{status.phrase}; see {self._prefix}/openapi.json")
