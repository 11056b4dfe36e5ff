"""`mlops hub`: the HTTP API of external runs, and the STAC API."""

from __future__ import annotations

from typing import Annotated

import typer

from mlops_assets.cli.terminal.output import Module, errors, open_store
from mlops_assets.settings import Settings


def hub(
    host: Annotated[
        str, typer.Option(help="Address to listen on; only this machine by default.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65535)] = 8080,
    largest_file: Annotated[
        str, typer.Option(help="Maximum size of an uploaded file, e.g. 2Gi.")
    ] = "2Gi",
    module: Module = None,
) -> None:
    """Serve the HTTP API of external runs, and the STAC API at /stac.

    Callers need a token, see `mlops token`; without one they see published records.
    """
    from mlops_assets.discovery.registration.declaration import read_catalogues
    from mlops_assets.hub.app import HubSettings, create_hub
    from mlops_assets.hub.orchestration.launcher import NoLauncher
    from mlops_assets.identity.declaration import is_loopback, read_identity
    from mlops_assets.models.specification import bytes_of
    from mlops_assets.serving.http_server import require_free_port, serve

    try:
        limit = int(bytes_of(largest_file))
    except ValueError as error:
        message = f"{largest_file!r} is not a valid size, e.g. 2Gi"
        raise typer.BadParameter(message, param_hint="--largest-file") from error
    require_free_port(host, port)
    settings = Settings.from_environment()
    identity = read_identity(settings.identity) if settings.identity else None
    catalogues = read_catalogues(settings.catalogues) if settings.catalogues else None
    hub_settings = HubSettings(
        settings.dagster_home,
        token=settings.api_token,
        identity=identity,
        module=module,
        base_url=settings.base_url,
        files_url=catalogues.files if catalogues else None,
        max_file=limit,
        local=settings.principal if is_loopback(host) and not identity else None,
    )
    app = create_hub(open_store(), hub_settings, NoLauncher())
    if not is_loopback(host):
        errors.print(
            f"listening on {host} without encryption, which exposes tokens to the network: put a"
            " reverse proxy with TLS in front",
            style="yellow",
        )
    serve(app, host, port, websockets=True)
