"""`mlops serve`: the inference server, by the Open Inference Protocol over HTTP."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from mlops_assets.cli.terminal.output import Module, console, errors
from mlops_assets.logs import configure_logs
from mlops_assets.settings import Settings, onnx_provider, project_folder, project_module

if TYPE_CHECKING:
    from mlops_assets.identity.bearer import Bearers
    from mlops_assets.names import Reference
    from mlops_assets.serving.request_log.writer import RequestLogWriter
    from mlops_assets.serving.sessions.interface import Repository
    from mlops_assets.serving.specification import RequestLog, ServiceSpecification
    from mlops_assets.store import Store

CONNECTIONS = 4096  # open at once; those that are idle cost little
# files and connections of the server itself
OTHER_FILES = 256


def serve(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL@ALIAS]...",
            help="What to serve, by alias or version; else the models of declared services, else"
            " all with the alias production.",
        ),
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; only this machine by default.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65535)] = 8000,
    threads: Annotated[
        int | None,
        typer.Option(
            help="Requests that run at the same time; as many as processors by default.",
            min=1,
            max=256,
            show_default=False,
        ),
    ] = None,
    queue: Annotated[
        int, typer.Option(help="Requests that wait; one more is answered 503.", min=0, max=10_000)
    ] = 64,
    max_body: Annotated[str, typer.Option(help="Maximum size of a request, e.g. 1Gi.")] = "80Mi",
    finite: Annotated[
        bool, typer.Option("--finite", help="Refuse NaN and infinities in binary tensors.")
    ] = False,
    log: Annotated[
        bool, typer.Option("--log/--no-log", help="Log requests, as the service declares.")
    ] = True,
    sign_in: Annotated[
        bool | None,
        typer.Option(
            "--sign-in/--no-sign-in",
            help="Demand tokens; by default beyond this machine, and where there are any.",
            show_default=False,
        ),
    ] = None,
    module: Module = None,
) -> None:
    """Serve models over HTTP by the Open Inference Protocol, and follow their aliases.

    Without tokens only this machine is answered, see `mlops token`.
    """
    from mlops_assets.identity.declaration import is_loopback
    from mlops_assets.monitoring.truth.routes import truth_routes
    from mlops_assets.serving.app import ServerSettings, create_server_app
    from mlops_assets.serving.http_server import Limits, raise_file_limit, require_free_port
    from mlops_assets.serving.http_server import serve as serve_app
    from mlops_assets.serving.images import image_routes
    from mlops_assets.serving.sessions.repository import ModelRepository
    from mlops_assets.store import open_store

    limit = _size(max_body)
    require_free_port(host, port)
    settings = Settings.from_environment()
    configure_logs(settings.log_format)
    store = open_store(settings)
    bearers = _bearers(store, settings, host, sign_in)
    services = _services(module or project_module())
    references = _references(store, models, services)
    repository = ModelRepository(store, references, onnx_provider())
    _report(repository, f"http://{host}:{port}")
    if bearers is not None and not is_loopback(host):
        errors.print(
            f"listening on {host} without encryption, which exposes tokens and data to the"
            " network: put a reverse proxy with TLS in front",
            style="yellow",
        )
    writer: RequestLogWriter | None = None
    routes = [*image_routes(), *truth_routes()]
    if log:
        # pyarrow takes 26 MiB of memory, which a server without a log does not need
        from mlops_assets.serving.request_log.writer import RequestLogWriter
        from mlops_assets.serving.routes.request_log import log_routes

        writer = RequestLogWriter(store.workspace, _kept(repository, services))
        routes += log_routes(writer)
    app = create_server_app(
        store,
        repository,
        writer,
        ServerSettings(
            bearers=bearers,
            threads=threads or len(os.sched_getaffinity(0)),
            queue=queue,
            max_body=limit,
            finite=finite,
            extra_routes=routes,
        ),
    )
    raise_file_limit(CONNECTIONS + OTHER_FILES)
    repository.watch()
    try:
        serve_app(
            app,
            host,
            port,
            Limits(connections=CONNECTIONS, peer_connections=CONNECTIONS),
            access_log=False,
        )
    finally:
        repository.close()


def _size(text: str) -> int:
    from mlops_assets.models.compute import bytes_of

    try:
        size = int(bytes_of(text))
    except (ValueError, OverflowError):
        size = 0
    if size < 1:
        raise typer.BadParameter(
            f"{text!r} is not a valid size, e.g. 80Mi", param_hint="--max-body"
        )
    return size


def _bearers(store: Store, settings: Settings, host: str, sign_in: bool | None) -> Bearers | None:
    """Return the tokens that callers need; None where everyone is the local user.

    Raises:
        SettingsError: tokens are needed, and there are none.
    """
    from mlops_assets.identity.bearer import Bearers, checked_bearers
    from mlops_assets.identity.declaration import is_loopback, read_identity

    local = is_loopback(host)
    if sign_in is False and not local:
        raise typer.BadParameter(
            f"{host} is reached by others, who need tokens; listen on 127.0.0.1",
            param_hint="--no-sign-in",
        )
    identity = read_identity(settings.identity) if settings.identity else None
    issuer = None
    if identity is not None:
        from mlops_assets.identity.issuer import Issuer

        issuer = Issuer(identity)
    bearers = Bearers(store.registry, settings.api_token, issuer)
    wanted = sign_in if sign_in is not None else (not local or bearers.some)
    return checked_bearers(bearers) if wanted else None


def _services(module: str) -> Sequence[ServiceSpecification]:
    from mlops_assets.serving.declared import declared_services

    folder = project_folder(module)
    return declared_services(folder / "defs") if folder else []


def _references(
    store: Store, models: Sequence[str] | None, services: Sequence[ServiceSpecification]
) -> list[Reference]:
    """Return what is to be served.

    Raises:
        NameRefused: an argument is not a reference.
        NotFound: nothing is declared, and nothing is in production.
    """
    from mlops_assets.errors import NotFound
    from mlops_assets.integrations.deployment.kinds import WITH_SERVER
    from mlops_assets.names import Reference
    from mlops_assets.serving.sessions.repository import DEFAULT_ALIAS

    if models:
        return [Reference.parse(text) for text in models]
    # a model that is declared and not trained yet keeps no other from being served
    known = {listed.model for listed in store.registry.list_model_versions()}
    declared = [
        Reference(service.model, service.alias)
        for service in services
        if service.engine in WITH_SERVER and service.model in known
    ]
    aliases = store.registry.all_aliases()
    found = declared or [
        Reference(model, DEFAULT_ALIAS)
        for (model, _version), names in sorted(aliases.items())
        if DEFAULT_ALIAS in names
    ]
    if not found:
        raise NotFound(
            f"no model has the alias {DEFAULT_ALIAS}: run 'mlops model promote MODEL', or name what"
            " to serve, 'mlops serve MODEL@VERSION'"
        )
    return found


def _kept(
    repository: Repository, services: Sequence[ServiceSpecification]
) -> dict[str, RequestLog]:
    """Return what is logged of each model; by default all of its requests."""
    from mlops_assets.serving.specification import RequestLog

    declared = {service.model: service.log for service in reversed(services)}
    served = {name: declared.get(name, RequestLog()) for name in repository.names()}
    # of clusters that send their requests here
    return {name: log for name, log in declared.items() if log.url is not None} | served


def _report(repository: Repository, url: str) -> None:
    for name in repository.names():
        for state in repository.status(name):
            if state.ready:
                console.print(f"{url}/v2/models/{name} is {name}@{state.version}")
            if state.reason is not None:
                errors.print(f"not served: {state.reason}", style="yellow")
