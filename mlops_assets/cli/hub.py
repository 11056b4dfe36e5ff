"""`mlops hub`: pages for the browser, the HTTP API, and the STAC API."""

from __future__ import annotations

import signal
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlops_assets.cli.terminal.output import Module, errors, open_store
from mlops_assets.logs import configure_logs
from mlops_assets.settings import Settings, git_webhooks_file, project_module

if TYPE_CHECKING:
    from mlops_assets.hub.orchestration.launcher import Launcher
    from mlops_assets.hub.orchestration.service import DagsterService


CONNECTIONS = 4096  # at once, of a hub that is behind a proxy
OTHER_FILES = 256  # of the registry, the workspace and Dagster


def hub(
    host: Annotated[
        str, typer.Option(help="Address to listen on; only this machine by default.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65535)] = 8080,
    largest_file: Annotated[
        str, typer.Option(help="Maximum size of an uploaded file, e.g. 2Gi.")
    ] = "2Gi",
    pages: Annotated[
        bool, typer.Option(help="Serve pages for the browser beside the APIs.")
    ] = True,
    open_: Annotated[
        bool,
        typer.Option(
            "--open", help="Let this machine's user in without sign-in, though tokens are set up."
        ),
    ] = False,
    dagster: Annotated[
        bool, typer.Option("--dagster/--no-dagster", help="Launch runs, and show Dagster's pages.")
    ] = True,
    workspace_file: Annotated[
        Path | None,
        typer.Option(
            help="Dagster's workspace.yaml with running code servers; by default"
            " MLOPS_CODE_SERVERS, and one is started if neither is given."
        ),
    ] = None,
    module: Module = None,
) -> None:
    """Serve the pages of the hub, the HTTP API at /api/v1, and the STAC API at /stac.

    On this machine it is open to its one user. On another address people sign in with their
    browser, see docs/sign-in.md, and programs send a token, see `mlops token`; without either one
    sees published records.
    """
    from mlops_assets.discovery.registration.declaration import read_catalogues
    from mlops_assets.hub.app import HubSettings, create_app, create_hub
    from mlops_assets.hub.orchestration.launcher import NoLauncher
    from mlops_assets.hub.orchestration.service import dagster_service
    from mlops_assets.hub.sign_in.modes import Mode, mode_of
    from mlops_assets.identity.declaration import is_loopback, read_identity
    from mlops_assets.identity.gateway import read_gateway
    from mlops_assets.integrations.git_webhooks.declaration import read_git_webhooks
    from mlops_assets.models.compute import bytes_of
    from mlops_assets.serving.http_server import (
        Limits,
        raise_file_limit,
        require_free_port,
        serve,
    )

    try:
        limit = int(bytes_of(largest_file))
    except ValueError as error:
        message = f"{largest_file!r} is not a valid size, e.g. 2Gi"
        raise typer.BadParameter(message, param_hint="--largest-file") from error
    require_free_port(host, port)
    settings = Settings.from_environment()
    configure_logs(settings.log_format)
    identity = read_identity(settings.identity) if settings.identity else None
    gateway = read_gateway(settings.gateway) if settings.gateway else None
    catalogues = read_catalogues(settings.catalogues) if settings.catalogues else None
    git_webhooks = git_webhooks_file()
    store = open_store()
    people = gateway is not None or (identity is not None and identity.sign_in is not None)
    programs = bool(settings.api_token or identity or settings.base_url)
    mode = mode_of(host, people, programs or store.registry.has_tokens(), open_=open_, pages=pages)
    base_url = settings.base_url
    if base_url is None and mode is Mode.PEOPLE and is_loopback(host):
        name = f"[{host}]" if ":" in host else host
        base_url = f"http://{name}:{port}"
    hub_settings = HubSettings(
        settings.dagster_home,
        token=settings.api_token,
        identity=identity,
        module=module,
        base_url=base_url,
        files_url=catalogues.files if catalogues else None,
        max_file=limit,
        local=settings.principal if mode is Mode.OPEN else None,
        gateway=gateway,
        git_webhooks=read_git_webhooks(git_webhooks) if git_webhooks else None,
    )
    # by its default action, which Uvicorn repeats, the code server and our folder would remain
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with ExitStack() as stack:
        launcher: Launcher = NoLauncher()
        service: DagsterService | None = None
        if dagster and pages:
            service = stack.enter_context(
                dagster_service(
                    settings,
                    module or project_module(),
                    workspace_file or settings.code_servers,
                    alone=hub_settings.local is not None,
                )
            )
            launcher = service.launcher
            # once, for launcher and pages: those of many models take seconds
            hub_settings = replace(hub_settings, definitions=service.definitions)
        if pages:
            app = create_hub(store, hub_settings, launcher)
        else:
            app = create_app(store, hub_settings)
        if service is not None:
            service.mount(app)
        if not is_loopback(host):
            errors.print(
                f"listening on {host} without encryption, which exposes tokens to the network: put"
                " a reverse proxy with TLS in front",
                style="yellow",
            )
        limits = None
        if settings.base_url:
            # a proxy has one address for all people, each of whose open pages is a connection
            limits = Limits(connections=CONNECTIONS, peer_connections=CONNECTIONS)
            raise_file_limit(CONNECTIONS + OTHER_FILES)
        serve(app, host, port, limits, websockets=pages)
