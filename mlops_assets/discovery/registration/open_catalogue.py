"""Catalogues as they are declared, ready to take records."""

from __future__ import annotations

import httpx

from mlops_assets.discovery.registration.catalogue import Catalogue
from mlops_assets.discovery.registration.declaration import DeclaredCatalogue
from mlops_assets.discovery.registration.eoepca import ResourceRegistration
from mlops_assets.discovery.registration.exchange import TIMEOUT, Server
from mlops_assets.discovery.registration.stac_api import StacApi


def open_catalogue(
    declared: DeclaredCatalogue, authorise: httpx.Auth | None, timeout: float = TIMEOUT
) -> Catalogue:
    """Return a catalogue; nothing is asked of it yet.

    Args:
        declared: the catalogue.
        authorise: adds its credentials to requests; None for none.
        timeout: seconds of one request, until its answer is read.
    """
    server = Server(declared.name, authorise, str(declared.access), timeout)
    if declared.api is not None:
        return ResourceRegistration(declared.url, declared.api, declared.records, server)
    return StacApi(declared.url, server)
