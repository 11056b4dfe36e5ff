"""The command `mlops up`: what it checks first, and what it prints until it is ended."""

from __future__ import annotations

import importlib.util
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from mlops_assets.cli.terminal.output import Module, advise, console, open_store
from mlops_assets.errors import Conflict, NotFound, StorageError
from mlops_assets.settings import Settings, project_module

if TYPE_CHECKING:
    from mlops_assets.cli.up.services import Services
    from mlops_assets.cli.up.web_server import Automations, Run, WebServer
    from mlops_assets.store import Store

HOST = "127.0.0.1"
LOCK_FILE = "up.lock"
POLL_SECONDS = 2.0
START_POLL_SECONDS = 0.5
OVERLAP_SECONDS = 10.0
# for runs to end once they are asked to
CANCEL_SECONDS = 30.0
_IN_PROGRESS = ("STARTING", "STARTED", "CANCELING")
_OUTCOMES = {
    "STARTED": "is running",
    "SUCCESS": "has succeeded",
    "FAILURE": "has failed",
    "CANCELED": "was canceled",
}


def up(
    port: Annotated[
        int, typer.Option(help="Port of the web server, on this machine only.", min=1, max=65535)
    ] = 3000,
    module: Module = None,
) -> None:
    """Start Dagster's web server and daemon on this project, until Ctrl-C.

    The sensors and schedules that are on then commit what lands, train and verify by themselves.
    """
    settings = Settings.from_environment()
    module = module or project_module()
    _require_web_server()
    _require_free(port)
    store = open_store()
    with _only_one(settings.dagster_home):
        landings = _prepare(settings, module, store)
        from mlops_assets.cli.up.services import Services
        from mlops_assets.cli.up.web_server import WebServer

        server = WebServer(f"http://{HOST}:{port}")
        advise(f"starting Dagster's web server and daemon on {module} …")
        _receive_signals_as_interrupts()
        with Services(module, HOST, port, settings) as services:
            try:
                _announce(server.url, _when_loaded(server, services), landings)
                advise(f"log         {services.log_file}\nCtrl-C ends it\n")
                _follow(server, services)
            except KeyboardInterrupt:
                advise("ending Dagster; a second Ctrl-C kills it …")
                _cancel_runs(server)
    advise("Dagster has ended")


def _require_web_server() -> None:
    if importlib.util.find_spec("dagster_webserver") is None:
        raise NotFound(
            "Dagster's web server is not installed here; run: pip install dagster-webserver"
        )


def _require_free(port: int) -> None:
    with socket.socket() as probe:
        # as the web server does: ports of connections that were just closed are free
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise Conflict(
                f"port {port} cannot be used: {error.strerror}; choose another with --port, e.g."
                f" --port {port % 65535 + 1}"
            ) from error


@contextmanager
def _only_one(home: Path) -> Iterator[None]:
    """Hold the lock of a Dagster home: with two daemons every sensor is evaluated twice.

    Raises:
        Conflict: another process holds it.
        StorageError: the home cannot be written.
    """
    from filelock import FileLock, Timeout

    from mlops_assets.components.project.launch import prepare_home

    try:
        held = FileLock(prepare_home(home) / LOCK_FILE, timeout=0).acquire()
    except Timeout:
        raise Conflict(
            f"another 'mlops up' is running on the Dagster home {home}; end that one first"
        ) from None
    except OSError as error:
        raise StorageError(
            f"the Dagster home {home} cannot be written: {error.strerror or error}; make it"
            " writable, or set DAGSTER_HOME to another folder"
        ) from error
    with held:
        yield


def _prepare(settings: Settings, module: str, store: Store) -> dict[str, str]:
    """Load the project, close the runs that have lost their process, and return the landings.

    Declarations that are left out are printed, with the reasons, as the project is loaded.

    Returns:
        The URL of each landing by the name of the sensor that watches it.

    Raises:
        NotFound: the project cannot be loaded.
    """
    from mlops_assets.components.project.launch import open_project
    from mlops_assets.components.project.lost_runs import close_lost_runs, close_lost_trainings
    from mlops_assets.datasets.sources import landing_url

    with open_project(settings, module) as project:
        trainings = close_lost_trainings(store, project.instance)
        lost = [*trainings, *close_lost_runs(project.instance)]
        if lost:
            advise(
                f"{len(lost)} run(s) had lost their process and are now marked as failed; 'mlops"
                " status' has the commands that resume trainings"
            )
        return {
            f"{dataset.name}_new_data": landing_url(store.workspace, dataset.source.url)
            for dataset in project.datasets()
        }


def _receive_signals_as_interrupts() -> None:
    """Let SIGTERM end this process as Ctrl-C does, and the end of its terminal too."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # not under nohup
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.default_int_handler)


def _when_loaded(server: WebServer, services: Services) -> Automations:
    """Wait until the web server answers and has loaded the project."""
    import httpx

    while True:
        services.check()
        with suppress(httpx.HTTPError):
            found = server.automations()
            if found is not None:
                return found
        time.sleep(START_POLL_SECONDS)


def _announce(url: str, automations: Automations, landings: dict[str, str]) -> None:
    console.print(f"Dagster is up: {url}")
    for sensor, landing in landings.items():
        state = "watched" if sensor in automations.on else f"not watched: {sensor} is off"
        advise(f"landing     {landing} ({state})")
    advise(f"on          {', '.join(automations.on) or 'nothing'}")
    advise(f"off         {', '.join(automations.off) or 'nothing'}")
    advise(f"to switch   {url}/automation")
    advise(f"graph       {url}/asset-groups")


def _follow(server: WebServer, services: Services) -> NoReturn:
    """Print what becomes of runs, until an interrupt or the end of the services."""
    import httpx

    since = time.time()
    known: dict[str, str] = {}
    while True:
        services.check()
        asked = time.time()
        with suppress(httpx.HTTPError):
            for run in reversed(server.runs_since(since)):
                if known.get(run.id) != run.status:
                    known[run.id] = run.status
                    _print_run(server.url, run)
            # runs of the last seconds again, as their rows may be written late
            since = asked - OVERLAP_SECONDS
        time.sleep(POLL_SECONDS)


def _print_run(url: str, run: Run) -> None:
    if run.status in _OUTCOMES:
        clock = time.strftime("%H:%M:%S")
        advise(f"{clock}  {run.subject} {_OUTCOMES[run.status]}  {url}/runs/{run.id}")


def _cancel_runs(server: WebServer) -> None:
    """End the runs in progress; those that are queued stay so."""
    import httpx

    with suppress(httpx.HTTPError):
        queued = server.runs("QUEUED")
        if queued:
            advise(f"{len(queued)} queued run(s) will start at the next 'mlops up'")
        runs = [run for run in server.runs(*_IN_PROGRESS) if run.ours]
        if not runs:
            return
        server.cancel(runs)
        advise(
            f"canceling {', '.join(run.subject for run in runs)}; 'mlops status' has the commands"
            " that resume trainings"
        )
        deadline = time.monotonic() + CANCEL_SECONDS
        while any(run.ours for run in server.runs(*_IN_PROGRESS)):
            if time.monotonic() > deadline:
                advise(f"not ended within {CANCEL_SECONDS:.0f} s, now killed")
                return
            time.sleep(START_POLL_SECONDS)
