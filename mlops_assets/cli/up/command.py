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
from mlops_assets.errors import Conflict, NotFound, OrchestratorUnavailable, StorageError
from mlops_assets.hub.orchestration.links import PREFIX, dagster_run_url
from mlops_assets.settings import Settings, project_module

if TYPE_CHECKING:
    from dagster import DagsterInstance

    from mlops_assets.cli.up.runs import Automations, Run
    from mlops_assets.cli.up.services import Services
    from mlops_assets.store import Store

HOST = "127.0.0.1"
LOCK_FILE = "up.lock"
POLL_SECONDS = 2.0
START_POLL_SECONDS = 0.5
OVERLAP_SECONDS = 10.0
# for runs to end once they are asked to
CANCEL_SECONDS = 30.0
_OUTCOMES = {
    "STARTED": "is running",
    "SUCCESS": "has succeeded",
    "FAILURE": "has failed",
    "CANCELED": "was canceled",
}


def up(
    port: Annotated[
        int, typer.Option(help="Port of the hub, on this machine only.", min=1, max=65535)
    ] = 3000,
    module: Module = None,
) -> None:
    """Start the hub and Dagster's daemon on this project, until Ctrl-C.

    Dagster's pages are below /dagster of the hub.

    The sensors and schedules that are on then commit what lands, train and verify by themselves.
    """
    settings = Settings.from_environment()
    module = module or project_module()
    _require_web_server()
    _require_free(port)
    store = open_store()
    with _only_one(settings.dagster_home):
        landings = _prepare(settings, module, store)
        import dagster as dg

        from mlops_assets.cli.up.services import Services

        url = f"http://{HOST}:{port}"
        advise(f"starting the hub and Dagster's daemon on {module} …")
        _receive_signals_as_interrupts()
        with (
            Services(module, port, settings) as services,
            dg.DagsterInstance.from_config(str(settings.dagster_home)) as instance,
        ):
            try:
                _announce(url, _when_loaded(url, services, instance), landings)
                advise(f"log         {services.log_file}\nCtrl-C ends it\n")
                _follow(url, services, instance)
            except KeyboardInterrupt:
                advise("ending the hub and Dagster; a second Ctrl-C kills them …")
                _cancel_runs(instance)
    advise("the hub and Dagster have ended")


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

    from mlops_assets.components.project.home import prepare_home

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
    from mlops_assets.components.project.lost_runs import close_lost_runs, close_lost_trainings
    from mlops_assets.datasets.sources import landing_url
    from mlops_assets.orchestration.project import open_project

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


def _when_loaded(url: str, services: Services, instance: DagsterInstance) -> Automations:
    """Wait until the hub responds and Dagster has loaded the project."""
    import httpx
    from dagster._core.workspace.load_target import WorkspaceFileTarget

    from mlops_assets.cli.up.runs import automations
    from mlops_assets.orchestration.code_locations import CodeLocations

    while not services.workspace.exists():
        services.check()
        time.sleep(START_POLL_SECONDS)
    target = WorkspaceFileTarget([str(services.workspace)])
    with CodeLocations(instance, target) as locations:
        while True:
            services.check()
            with suppress(OrchestratorUnavailable):
                found = automations(locations)
                break
            time.sleep(START_POLL_SECONDS)
    # this machine needs no proxy
    with httpx.Client(base_url=url, trust_env=False) as client:
        while True:
            services.check()
            with suppress(httpx.HTTPError):
                client.get("/")
                return found
            time.sleep(START_POLL_SECONDS)


def _announce(url: str, automations: Automations, landings: dict[str, str]) -> None:
    console.print(f"The hub is up: {url}")
    for sensor, landing in landings.items():
        state = "watched" if sensor in automations.on else f"not watched: {sensor} is off"
        advise(f"landing     {landing} ({state})")
    advise(f"on          {', '.join(automations.on) or 'nothing'}")
    advise(f"off         {', '.join(automations.off) or 'nothing'}")
    advise(f"to switch   {url}{PREFIX}/automation")
    advise(f"graph       {url}{PREFIX}/asset-groups")


def _follow(url: str, services: Services, instance: DagsterInstance) -> NoReturn:
    """Print what becomes of runs, until an interrupt or the end of the services."""
    from mlops_assets.cli.up.runs import runs_since
    from mlops_assets.components.project.storage_failures import database_failures

    since = time.time()
    known: dict[str, str] = {}
    while True:
        services.check()
        asked = time.time()
        # a database that is locked for long, or restarts, is asked again
        with suppress(*database_failures()):
            for run in reversed(runs_since(instance, since)):
                if known.get(run.id) != run.status:
                    known[run.id] = run.status
                    _print_run(url, run)
            # runs of the last seconds again, as their rows may be written late
            since = asked - OVERLAP_SECONDS
        time.sleep(POLL_SECONDS)


def _print_run(url: str, run: Run) -> None:
    if run.status in _OUTCOMES:
        clock = time.strftime("%H:%M:%S")
        advise(f"{clock}  {run.subject} {_OUTCOMES[run.status]}  {url}{dagster_run_url(run.id)}")


def _cancel_runs(instance: DagsterInstance) -> None:
    """End the runs in progress; those that are queued stay so."""
    from dagster import DagsterRunStatus

    from mlops_assets.cli.up.runs import cancel, runs
    from mlops_assets.components.project.lost_runs import IN_PROGRESS

    queued = runs(instance, DagsterRunStatus.QUEUED)
    if queued:
        advise(f"{len(queued)} queued run(s) will start at the next 'mlops up'")
    ours = [run for run in runs(instance, *IN_PROGRESS) if run.ours]
    if not ours:
        return
    cancel(instance, ours)
    advise(
        f"canceling {', '.join(run.subject for run in ours)}; 'mlops status' has the commands"
        " that resume trainings"
    )
    deadline = time.monotonic() + CANCEL_SECONDS
    while any(run.ours for run in runs(instance, *IN_PROGRESS)):
        if time.monotonic() > deadline:
            advise(f"not ended within {CANCEL_SECONDS:.0f} s, now killed")
            return
        time.sleep(START_POLL_SECONDS)
