"""Registration of Items with stac-fastapi-pgstac on PostGIS: one by one, and by `StacApi` in bulk.

The ways alternate on one server, each into a Collection of its own; what is there afterwards is
compared with what was sent, Item by Item. One by one is a client on one connection that is kept:
with four of them pgstac answers 500 now and then.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial

import httpx
import psutil

from benchmarks.discovery import Side, listening
from benchmarks.options import Options
from benchmarks.peer_environments import install_peer
from benchmarks.pgstac_peer import is_installed, writable_pgstac
from benchmarks.stac_items import collection, items
from benchmarks.tables import median, print_table
from mlops_assets.discovery.registration.comparison import differences
from mlops_assets.discovery.registration.exchange import Server
from mlops_assets.discovery.registration.stac_api import StacApi
from mlops_assets.text.json_values import JsonObject

ITEMS = 1_000
WANTED = 10.0
Way = Callable[[Sequence[JsonObject]], None]


def measure(options: Options) -> None:
    """Print Items a second, and seconds of CPU, of each way."""
    if not is_installed():
        print("postgresql-15-postgis-3 is not installed: nothing is measured\n", flush=True)
        return
    with (
        writable_pgstac(options.folder, install_peer("pgstac")) as peer,
        httpx.Client(base_url=peer.url, timeout=600) as client,
    ):
        side = Side("pgstac", client, (*map(psutil.Process, peer.processes), listening(peer.url)))
        api = StacApi(peer.url, Server("pgstac", timeout=600))
        one_by_one, bulk, again = "one by one: `POST …/items`", "in bulk: new", "in bulk: known"
        taken: dict[str, list[tuple[float, float]]] = {one_by_one: [], bulk: [], again: []}
        for number in range(max(3, options.rounds)):
            for ways in (
                {one_by_one: partial(_post_each, client)},
                {bulk: api.put, again: api.put},
            ):
                documents = _documents(f"{len(ways)}-{number}")
                api.put([{**collection(), "id": str(documents[0]["collection"])}])
                for name, put in ways.items():
                    taken[name].append(_timed(side, put, documents))
                _check(client, documents)
    slowest, _ = _medians(taken[one_by_one])
    rows = []
    for name, figures in taken.items():
        seconds, cpu = _medians(figures)
        rows.append((name, f"{ITEMS / seconds:,.0f}", f"{cpu:.2f}", f"{slowest / seconds:.1f}"))
    header = (f"{ITEMS:,} Items to pgstac", "Items/s", "CPU s, client and server")
    print_table((*header, f"×, wanted {WANTED:g}"), rows)


def _documents(name: str) -> list[JsonObject]:
    return [{**item, "collection": name} for item in items(ITEMS)]


def _post_each(client: httpx.Client, documents: Sequence[JsonObject]) -> None:
    for item in documents:
        client.post(f"/collections/{item['collection']}/items", json=item).raise_for_status()


def _timed(side: Side, put: Way, documents: Sequence[JsonObject]) -> tuple[float, float]:
    """Return the seconds that it takes, and those of CPU of client and server."""
    cpu, started = side.cpu() + time.process_time(), time.perf_counter()
    put(documents)
    seconds = time.perf_counter() - started
    return seconds, side.cpu() + time.process_time() - cpu


def _medians(figures: Sequence[tuple[float, float]]) -> tuple[float, float]:
    return median(seconds for seconds, _ in figures), median(cpu for _, cpu in figures)


def _check(client: httpx.Client, documents: Sequence[JsonObject]) -> None:
    """Check that each Item is there as it was sent."""
    answer = client.get(
        f"/collections/{documents[0]['collection']}/items", params={"limit": len(documents)}
    )
    found = {str(item["id"]): item for item in answer.raise_for_status().json()["features"]}
    for item in documents:
        assert differences(item, found.pop(str(item["id"]))) == []
    assert not found
