"""Servers of models: CPU time of a request beside a bare loop, KServe and MLServer.

The clients are this process; what is measured is the process tree of the server.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil

from benchmarks.options import Options
from benchmarks.peer_environments import install_peer
from benchmarks.processes import ROOT, clean_environment
from benchmarks.serving_models import MODELS, SHAPE, gflop, network, publish, write_models
from benchmarks.tables import median, print_table
from mlops_assets.registry import ModelVersion, Registry
from mlops_assets.storage import Workspace
from mlops_assets.store import Store

CONNECTIONS = 4
_REQUESTS = {"small": 3000, "large": 120}
_WARM = {"small": 100, "large": 8}
_STARTS_WITHIN = 60.0
PROMOTIONS = 20
# times the bare loop; seconds; MiB
_WANTED = {("small", "JSON"): 1.8, ("small", "binary"): 2.2, ("large", "JSON"): 1.05}
_WANTED_SECONDS, _WANTED_MIB = 3.0, 160
JSON, BINARY = "JSON", "binary"


@dataclass(frozen=True)
class Side:
    """A server that is compared.

    Attributes:
        name: for people.
        command: host and port → command.
        environment: of its process.
        binary: headers of a binary request; None if it takes none.
        raw: whether its binary requests have no header of the protocol.
    """

    name: str
    command: Callable[[str, int], Sequence[str]]
    environment: dict[str, str]
    binary: bool = True
    raw: bool = False


@dataclass
class Figures:
    """What was measured of a server, a value a round.

    Attributes:
        cpu: model and form of the requests → CPU milliseconds a request.
        seconds: from its start to its first answers.
    started: CPU seconds that it has taken until then.
        mib: resident memory of its processes, after all requests.
    """

    cpu: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    started: list[float] = field(default_factory=list)
    mib: list[float] = field(default_factory=list)


def measure(options: Options) -> None:
    """Print CPU time of requests, start and memory of each server; then promotions of ours."""
    folder = options.folder
    store = Store(
        Workspace((folder / "workspace").as_uri()), Registry(f"sqlite:///{folder}/registry.db")
    )
    write_models(store, folder)
    sides = _sides(folder)
    figures = {side.name: Figures() for side in sides}
    for _ in range(options.rounds):
        for side in sides:
            _measure(side, figures[side.name], folder)
    _print(figures)
    _promote(store, sides[1], folder)


def _sides(folder: Path) -> list[Side]:
    ours = clean_environment(
        MLOPS_WORKSPACE=str(folder / "workspace"),
        MLOPS_REGISTRY=f"sqlite:///{folder}/registry.db",
        MLOPS_CACHE=str(folder / "cache"),
    )
    python = sys.executable
    mlops = str(Path(python).with_name("mlops"))

    def peer(name: str) -> Callable[[str, int], Sequence[str]]:
        programs = install_peer(f"serving-{name}")
        own = [str(programs / "python"), "-m", f"benchmarks.serving_{name}", str(folder)]
        return lambda host, port: [*own, host, str(port)]

    return [
        Side(
            "bare Starlette, orjson, ONNX Runtime",
            lambda host, port: [
                python,
                "-m",
                "benchmarks.serving_bare",
                str(folder),
                host,
                str(port),
            ],
            clean_environment(),
            raw=True,
        ),
        Side(
            "`mlops serve`",
            lambda host, port: [
                mlops,
                "serve",
                *(f"{name}@production" for name in MODELS),
                "--host",
                host,
                "--port",
                str(port),
            ],
            ours,
        ),
        Side("KServe 0.21", peer("kserve"), clean_environment()),
        Side("MLServer 1.7.1", peer("mlserver"), clean_environment(), binary=False),
    ]


def _measure(side: Side, figures: Figures, folder: Path) -> None:
    with _running(side, folder) as (process, port, seconds):
        figures.seconds.append(seconds)
        figures.started.append(_cpu(process))
        for model in MODELS:
            for form in (JSON, BINARY) if side.binary else (JSON,):
                body, headers = _request(form, side.raw)
                _ask(port, model, body, headers, _WARM[model])
                before = _cpu(process)
                _ask(port, model, body, headers, _REQUESTS[model])
                used = 1000 * (_cpu(process) - before) / _REQUESTS[model]
                figures.cpu.setdefault((model, form), []).append(used)
        figures.mib.append(sum(own.memory_info().rss for own in _tree(process)) / (1 << 20))


@contextmanager
def _running(side: Side, folder: Path) -> Iterator[tuple[psutil.Process, int, float]]:
    """Run a server until the end; yield its process, its port, and the seconds of its start."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        host, port = probe.getsockname()
    log = folder / "server.log"
    started = time.perf_counter()
    with log.open("wb") as output:
        process = subprocess.Popen(
            side.command(host, port), cwd=ROOT, stdout=output, stderr=output, env=side.environment
        )
    try:
        body, headers = _request(JSON, side.raw)
        while not _answers(port, body, headers):
            if process.poll() is not None or time.perf_counter() - started > _STARTS_WITHIN:
                raise RuntimeError(f"{side.name} does not serve: {log.read_text()[-2000:]}")
            time.sleep(0.02)
        yield psutil.Process(process.pid), port, time.perf_counter() - started
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _request(form: str, raw: bool) -> tuple[bytes, dict[str, str]]:
    """Return body and headers of a request with one sample."""
    values = np.random.default_rng(0).normal(size=(1, *SHAPE)).astype(np.float32)
    entry: dict[str, object] = {"name": "input", "datatype": "FP32", "shape": [1, *SHAPE]}
    if form == JSON:
        entry["data"] = values.ravel().round(6).astype(float).tolist()
        return json.dumps({"inputs": [entry]}).encode(), {"content-type": "application/json"}
    octets = {"content-type": "application/octet-stream"}
    if raw:
        return values.tobytes(), octets
    entry["parameters"] = {"binary_data_size": values.nbytes}
    head = json.dumps({"inputs": [entry], "parameters": {"binary_data_output": True}}).encode()
    return head + values.tobytes(), {**octets, "inference-header-content-length": str(len(head))}


def _answers(port: int, body: bytes, headers: dict[str, str]) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        for model in MODELS:
            connection.request("POST", f"/v2/models/{model}/infer", body, headers)
            response = connection.getresponse()
            response.read()
            if response.status != 200:
                return False
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return True


def _ask(port: int, model: str, body: bytes, headers: dict[str, str], requests: int) -> None:
    """Send requests by several connections.

    Raises:
        RuntimeError: one was not answered.
    """
    failed: list[str] = []

    def ask() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        for _ in range(requests // CONNECTIONS):
            connection.request("POST", f"/v2/models/{model}/infer", body, headers)
            response = connection.getresponse()
            text = response.read()
            if response.status != 200:
                failed.append(f"{response.status} {text[:200]!r}")
        connection.close()

    threads = [threading.Thread(target=ask) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise RuntimeError(f"{len(failed)} requests failed: {failed[0]}")


def _tree(process: psutil.Process) -> list[psutil.Process]:
    return [process, *process.children(recursive=True)]


def _cpu(process: psutil.Process) -> float:
    """Return the CPU seconds of a process and its children."""
    times = [own.cpu_times() for own in _tree(process)]
    return sum(own.user + own.system for own in times)


def _print(figures: dict[str, Figures]) -> None:
    bare = next(iter(figures.values()))
    cases = [(model, form) for model in MODELS for form in (JSON, BINARY)]
    sizes = {name: f"{gflop(convolutions):.2g} GFLOP" for name, convolutions in MODELS.items()}
    rows = []
    for name, found in figures.items():
        cells = []
        for case in cases:
            if case not in found.cpu:
                cells.append("–")
                continue
            own, base = median(found.cpu[case]), median(bare.cpu[case])
            cells.append(f"{own:.2f} ({own / base:.2f} ×)")
        start = f"{median(found.seconds):.1f} ({median(found.started):.1f})"
        rows.append([name, *cells, start, f"{median(found.mib):.0f}"])
    wanted = [f"{_WANTED[case]} ×" if case in _WANTED else "" for case in cases]
    rows.append(["wanted of ours", *wanted, f"{_WANTED_SECONDS:g}", f"{_WANTED_MIB}"])
    header = [f"{model} ({sizes[model]}), {form}" for model, form in cases]
    print_table(["CPU ms a request (× bare)", *header, "start s (CPU s)", "MiB"], rows)


def _promote(store: Store, side: Side, folder: Path) -> None:
    """Print the failed requests while the alias of a model moves."""
    rows: list[ModelVersion] = [
        publish(store, "small", f"v1-{number:08x}", network(MODELS["small"], number))
        for number in range(1, 4)
    ]
    statuses: list[int] = []
    versions: set[str] = set()
    stopped = threading.Event()
    with _running(side, folder) as (process, port, _):
        body, headers = _request(JSON, False)

        def ask() -> None:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            while not stopped.is_set():
                try:
                    connection.request("POST", "/v2/models/small/infer", body, headers)
                    response = connection.getresponse()
                    found = json.loads(response.read())
                    statuses.append(response.status)
                    versions.add(found.get("model_version", ""))
                except (OSError, http.client.HTTPException):
                    statuses.append(0)

        threads = [threading.Thread(target=ask) for _ in range(CONNECTIONS)]
        for thread in threads:
            thread.start()
        before = process.memory_info().rss
        for number in range(PROMOTIONS):
            store.registry.promote(rows[number % len(rows)], [])
            time.sleep(1.2)
        grown = process.memory_info().rss - before
        stopped.set()
        for thread in threads:
            thread.join()
    failed = sum(status != 200 for status in statuses)
    print(
        f"{PROMOTIONS} promotions under {CONNECTIONS} connections: {failed} of {len(statuses):,}"
        f" requests failed; {len(versions)} versions have answered; memory grew by"
        f" {grown / (1 << 20):.0f} MiB on {os.cpu_count()} cores.\n"
    )
