"""The route of what the home page shows."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import APIRouter
from fastapi.concurrency import run_in_threadpool

from mlops_assets.hub.rest.caller import HubOf, StoreOf
from mlops_assets.hub.views.home import Home, RunningWork, running_work

router = APIRouter(tags=["home"])


@dataclass(frozen=True)
class HomeDocument:
    """The home page: `home` as it was kept until a change, `running` as it is now."""

    home: Home
    running: RunningWork


@router.get(
    "/home",
    operation_id="getHome",
    summary="Show what needs attention, what is running, and what is new",
    response_description="All that the home page shows.",
)
async def get_home(hub: HubOf, store: StoreOf) -> HomeDocument:
    """Return alarms, failures, pending decisions, running work, newest versions, production."""

    def found() -> HomeDocument:
        return HomeDocument(hub.home.read(store), running_work(store))

    return await run_in_threadpool(found)
