"""Catalogues as tests open them."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import httpx

from mlops_assets.discovery.registration.catalogue import Catalogue
from mlops_assets.discovery.registration.declaration import DeclaredCatalogue
from mlops_assets.discovery.registration.open_catalogue import open_catalogue


@dataclass
class Token(httpx.Auth):
    """A bearer token."""

    token: str

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Send it with each request."""
        request.headers["Authorization"] = f"Bearer {self.token}"
        yield request


def opened(url: str, authorise: httpx.Auth | None = None, timeout: float = 60.0) -> Catalogue:
    """Open a STAC API, whose token is declared to be in the variable OTHER_TOKEN."""
    access = {"token": {"variable": "OTHER_TOKEN"}} if authorise else None
    declared = DeclaredCatalogue.model_validate({"name": "other", "url": url, "access": access})
    return open_catalogue(declared, authorise, timeout)
