"""The hub and the store of a route, on behalf of the caller."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from mlops_assets.hub.context import Hub
from mlops_assets.store import Store


async def _hub(request: Request) -> Hub:
    hub: Hub = request.app.state.hub
    return hub


HubOf = Annotated[Hub, Depends(_hub)]


async def _store(hub: HubOf, request: Request) -> Store:
    return hub.store.acting(request.state.principal)


StoreOf = Annotated[Store, Depends(_store)]
