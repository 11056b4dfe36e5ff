"""Search of 100,000 Items through the STAC API, beside stac-fastapi-pgstac on PostGIS.

Both servers are one process of Uvicorn, asked in turns by one client; what they find is compared
Item by Item. CPU seconds are those of all processes of a side: PostgreSQL counts with its server.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
from pydantic_core import from_json, to_json

from benchmarks.options import Options
from benchmarks.pgstac_peer import is_installed, pgstac
from benchmarks.processes import clean_environment, server
from benchmarks.stac_items import COLLECTION, collection, items, searches, sorted_searches
from benchmarks.tables import median, print_table
from mlops_assets.principals import local
from mlops_assets.registry import Registry
from mlops_assets.registry.records.external import send_collection, send_items
from mlops_assets.storage import Workspace
from mlops_assets.store import Store

ITEMS = 100_000
SEARCHES = 60
WANTED = 5.0
WANTED_ITEMS = 3_000
_AT_ONCE = 1_000
_TOKEN = "a-token-of-a-benchmark"
# named, as the two differ in them: pgstac adds nothing that ours lacks
_COMPARED = ("id", "collection", "geometry", "bbox", "properties", "assets")


@dataclass(frozen=True)
class Side:
    """A server that is measured.

    Attributes:
        name: for the table.
        client: asks it.
        processes: whose CPU counts.
    """

    name: str
    client: httpx.Client
    processes: tuple[psutil.Process, ...]

    def cpu(self) -> float:
        """Return the seconds of CPU that its processes have taken, ended ones included."""
        total = 0.0
        for parent in self.processes:
            for process in (parent, *parent.children(recursive=True)):
                times = process.cpu_times()
                total += times.user + times.system
            ended = parent.cpu_times()
            total += ended.children_user + ended.children_system
        return total


def measure(options: Options) -> None:
    """Print requests a second and CPU a request of both, and Items loaded a second."""
    ours = load(options.folder, ITEMS)
    rows = [("loading, ours: 1,000 Items a transaction", f"{ours[0]:,.0f}", f"{ours[1]:,.0f}")]
    with our_server(options.folder) as side:
        if not is_installed():
            print("postgresql-15-postgis-3 is not installed: only ours is measured\n", flush=True)
            print_searches([side], options.rounds)
        else:
            with pgstac(options.folder, collection(), items(ITEMS)) as peer:
                rows.append(("loading, `pypgstac load`", f"{ITEMS / peer.load_seconds:,.0f}", ""))
                with httpx.Client(base_url=peer.url, timeout=600) as client:
                    processes = (*map(psutil.Process, peer.processes), listening(peer.url))
                    print_searches([side, Side("pgstac", client, processes)], options.rounds)
    print_table(("what", "Items/s", f"Items a CPU s, wanted {WANTED_ITEMS:,}/s"), rows)


def load(folder: Path, count: int) -> tuple[float, float]:
    """Load Items into a workspace of ours; return Items a second, and a second of CPU."""
    workspace = Workspace((folder / "workspace").as_uri())
    registry = Registry(f"sqlite:///{folder / 'workspace' / 'registry.db'}")
    store = Store(workspace, registry.acting(local("benchmark")))
    send_collection(store.registry, collection(), replace=False)
    # lines of a file, which the peer parses, too
    lines = [to_json(item) for item in items(count)]
    started, cpu = time.perf_counter(), time.process_time()
    for first in range(0, count, _AT_ONCE):
        some = [from_json(line) for line in lines[first : first + _AT_ONCE]]
        send_items(store.registry, COLLECTION, some, replace=False)
    taken = count / (time.perf_counter() - started), count / (time.process_time() - cpu)
    registry.close()
    return taken


@contextmanager
def our_server(folder: Path) -> Iterator[Side]:
    """Run `mlops hub` on that workspace."""
    environment = clean_environment(
        MLOPS_WORKSPACE=str(folder / "workspace"), MLOPS_API_TOKEN=_TOKEN
    )
    programs = Path(sys.executable).parent
    with server(
        lambda host, port: [str(programs / "mlops"), "hub", "--host", host, "--port", str(port)],
        folder / "hub.log",
        environment,
    ) as address:
        url = f"http://{address}"
        headers = {"Authorization": f"Bearer {_TOKEN}"}
        with httpx.Client(base_url=f"{url}/stac", headers=headers, timeout=600) as client:
            yield Side("ours", client, (listening(url),))


def print_searches(sides: list[Side], rounds: int) -> None:
    """Print what searches take, after comparing what they find."""
    rows = []
    for name, bodies in (
        ("`bbox`, `datetime`, two CQL2 terms", searches(SEARCHES)),
        ("sorted by `eo:cloud_cover`", sorted_searches(SEARCHES)),
    ):
        found = [[_features(side, body) for body in bodies] for side in sides]
        for one, other in zip(found[0], found[-1], strict=True):
            assert [each["id"] for each in one] == [each["id"] for each in other], name
            assert one == other, name
        figures: dict[str, list[tuple[float, float]]] = {side.name: [] for side in sides}
        for _ in range(max(3, rounds)):
            for side in sides:
                cpu, started = side.cpu(), time.perf_counter()
                for body in bodies:
                    _features(side, body)
                seconds = time.perf_counter() - started
                figures[side.name].append(
                    (len(bodies) / seconds, 1000 * (side.cpu() - cpu) / len(bodies))
                )
        rates = [median(rate for rate, _ in taken) for taken in figures.values()]
        costs = [median(cost for _, cost in taken) for taken in figures.values()]
        items_found = sum(len(each) for each in found[0])
        rows.append(
            (
                f"{name}; {len(bodies)} searches, {items_found:,} Items",
                *itertools.chain.from_iterable(
                    (f"{rate:.0f}", f"{cost:.1f}") for rate, cost in zip(rates, costs, strict=True)
                ),
                f"{rates[0] / rates[-1]:.1f}",
                f"{costs[-1] / costs[0]:.1f}",
            )
        )
    names = [(f"{side.name}, requests/s", f"{side.name}, CPU ms") for side in sides]
    header = ("what", *itertools.chain.from_iterable(names), f"× requests/s, wanted {WANTED:g}")
    print_table((*header, "× CPU"), rows)


def _features(side: Side, body: dict[str, Any]) -> list[dict[str, Any]]:
    answer = side.client.post("/search", json=body)
    assert answer.status_code == httpx.codes.OK, answer.text
    return [{name: each[name] for name in _COMPARED} for each in answer.json()["features"]]


def listening(url: str) -> psutil.Process:
    """Return the process that listens at an address."""
    port = httpx.URL(url).port
    for child in psutil.Process().children(recursive=True):
        if any(found.laddr.port == port for found in child.net_connections() if found.laddr):
            return child
    raise RuntimeError(f"nothing of ours listens at {url}")
