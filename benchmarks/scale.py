"""One code location with 100 models and 1,000 data versions of each, on PostgreSQL.

Issue 20 wants definitions within 10 s, a tick of each sensor within 5 s, and pages of the hub and
queries of Dagster's pages within 1.5 s.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager
from functools import partial
from pathlib import Path

import httpx
import psutil

from benchmarks.options import Options
from benchmarks.processes import clean_environment, postgres_server, server, take_steps
from benchmarks.scale_project import (
    MODELS,
    VERSIONS,
    ScaleProject,
    make_project,
    model_name,
)
from benchmarks.tables import median, print_table

ROUNDS = 5
_SECOND_LIMITS = {"definitions": 10.0, "snapshot for the web server": 10.0}
_TICK_LIMIT = 5.0
_PAGE_LIMIT = 1.5
# a code server loads the project first
_READY_SECONDS = 900.0
_LAST = MODELS - 1
PAGES = {
    "home": "/",
    "models": "/models",
    "a model": f"/models/{model_name(0)}",
    "training data": "/data",
    "runs": "/runs",
    "runs of a model (API)": f"/api/v1/runs?where=model+%3D+%27{model_name(_LAST)}%27",
}
_ASSET = f'{{path: ["{model_name(_LAST)}", "record"]}}'
_LIVE = ", ".join(f'{{path: ["{model_name(number)}", "record"]}}' for number in range(10))
# what Dagster's own pages request, without the fields that are only drawn
QUERIES = {
    "the asset graph": """{assetNodes {id assetKey {path} dependencyKeys {path}
        dependedByKeys {path} groupName kinds isPartitioned isMaterializable jobNames
        owners {... on TeamAssetOwner {team}} tags {key value}
        repository {id name location {id name}} assetChecksOrError {__typename}}}""",
    "state of 10 assets of the graph": f"""{{assetNodes(assetKeys: [{_LIVE}]) {{id
        assetKey {{path}} latestMaterializationByPartition(partitions: ["v1"]) {{timestamp}}
        assetMaterializations(limit: 1) {{timestamp runId}}
        partitionStats {{numMaterialized numMaterializing numPartitions numFailed}}}}}}""",
    "partitions of an asset": f"""{{assetNodeOrError(assetKey: {_ASSET}) {{... on AssetNode {{id
        partitionKeysByDimension {{name type partitionKeys}}
        assetPartitionStatuses {{... on DefaultPartitionStatuses {{materializedPartitions
        failedPartitions unmaterializedPartitions materializingPartitions}}}}}}}}}}""",
    "materialisations of an asset": f"""{{assetOrError(assetKey: {_ASSET}) {{... on Asset {{id
        assetMaterializations(limit: 100) {{partition timestamp runId label
        metadataEntries {{label __typename}}}}}}}}}}""",
    "runs": """{runsOrError(limit: 25) {... on Runs {results {runId status jobName tags {key
        value} startTime endTime}}}}""",
    "automation": """{workspaceOrError {... on Workspace {locationEntries {name
        locationOrLoadError {... on RepositoryLocation {repositories {name sensors {name
        sensorState {status}} schedules {name}}}}}}}}""",
}


def measure(options: Options) -> None:
    """Print what the definitions, the sensors, and the pages of hub and Dagster take."""
    with postgres_server() as url:
        project = make_project(options.folder / "project", url)
        print_table(
            (f"{MODELS} models × {VERSIONS:,} data versions", "s", "CPU s", "wanted, s"),
            list(_steps(project)),
        )
        with _hub(project) as (address, process):
            print_table(
                (f"median of {ROUNDS}", "first, ms", "ms", "CPU ms of the hub", "wanted, ms"),
                [*_pages(address, process), *_queries(address, process)],
            )


def environment_of(project: ScaleProject) -> dict[str, str]:
    """Return the environment of processes that work in the folder of the project."""
    return clean_environment(**project.environment, PYTHONWARNINGS="ignore")


def _steps(project: ScaleProject) -> Iterator[tuple[str, str, str, str]]:
    found = take_steps(
        "benchmarks.scale_steps", environment=environment_of(project), folder=project.folder
    )
    for name, seconds in found.seconds.items():
        wanted = _SECOND_LIMITS.get(name, _TICK_LIMIT)
        yield name, f"{seconds:.2f}", f"{found.cpu[name]:.2f}", f"{wanted:g}"
    yield "size of the snapshot, MiB", f"{found.facts['snapshot_mib']:.1f}", "", ""


def _pages(address: str, process: psutil.Process) -> Iterator[tuple[str, ...]]:
    with httpx.Client(base_url=address, timeout=120) as client:
        for name, path in PAGES.items():
            yield _row(f"hub: {name}", process, partial(_got, client, path))


def _queries(address: str, process: psutil.Process) -> Iterator[tuple[str, ...]]:
    with httpx.Client(base_url=address, timeout=120) as client:
        for name, query in QUERIES.items():
            yield _row(f"Dagster: {name}", process, partial(_asked, client, query))


def _got(client: httpx.Client, path: str) -> None:
    client.get(path).raise_for_status()


def _asked(client: httpx.Client, query: str) -> None:
    answer = client.post("/dagster/graphql", json={"query": query}).raise_for_status().json()
    if answer.get("errors"):
        raise RuntimeError(f"{query}: {answer['errors']}")


def _row(name: str, process: psutil.Process, request: Callable[[], None]) -> tuple[str, ...]:
    seconds, cpu = [], []
    for _ in range(ROUNDS + 1):
        before = _cpu(process)
        started = time.perf_counter()
        request()
        seconds.append(time.perf_counter() - started)
        cpu.append(_cpu(process) - before)
    figures = (seconds[0], median(seconds[1:]), median(cpu[1:]), _PAGE_LIMIT)
    return name, *(f"{1000 * figure:.0f}" for figure in figures)


@contextmanager
def _hub(project: ScaleProject) -> Iterator[tuple[str, psutil.Process]]:
    """Serve the project until the block ends; wait until its code server has loaded it."""
    mlops = str(Path(sys.executable).with_name("mlops"))
    found: list[psutil.Process] = []

    def command(host: str, port: int) -> list[str]:
        arguments = [mlops, "hub", "--host", host, "--port", str(port)]
        return [*arguments, "--module", project.module]

    log = project.folder / "hub.log"
    environment = environment_of(project)
    with (
        chdir(project.folder),
        server(command, log, environment, _READY_SECONDS) as address,
    ):
        port = int(address.rpartition(":")[2])
        found += [
            each
            for each in psutil.Process().children(recursive=True)
            if any(socket.laddr.port == port for socket in each.net_connections())
        ]
        until = time.monotonic() + _READY_SECONDS
        while httpx.get(f"http://{address}/health/ready", timeout=60).status_code != 200:
            if time.monotonic() > until:
                raise RuntimeError(f"the hub is not ready: {log.read_text()[-2000:]}")
            time.sleep(1)
        yield f"http://{address}", found[0]


def _cpu(process: psutil.Process) -> float:
    """Return the CPU seconds of a process and of those below it."""
    total = 0.0
    for each in (process, *process.children(recursive=True)):
        times = each.cpu_times()
        total += float(times.user + times.system)
    return total
