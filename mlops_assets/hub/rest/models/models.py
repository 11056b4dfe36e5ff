"""The routes that read models: what pages show of them, their files, and verification.

Decisions on versions are in `decisions`.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse

from mlops_assets.hub.context import Hub
from mlops_assets.hub.rest.caller import HubOf, StoreOf
from mlops_assets.hub.rest.openapi import binary_response, problems
from mlops_assets.hub.views.models import history, maps, monitoring, overview, versions
from mlops_assets.hub.views.models.version import card, chain, files, verification, view
from mlops_assets.hub.views.models.version.snippets import version_snippets
from mlops_assets.lineage.deployments import DeploymentLineage
from mlops_assets.models.specification import ModelSpecification
from mlops_assets.names import Reference, check_key, check_name

router = APIRouter(prefix="/models", tags=["models"])
_VERSION = "/{model}/{version}"

Model = Annotated[str, Path(description="Name of a model.")]
Version = Annotated[str, Path(description="Its version, or an alias.")]
Page = Annotated[int, Query(ge=1, le=1_000_000, description="Number of the page.")]

NO_MODEL = problems(404)
# nothing of a page runs, nor loads anything; the frame is a page of the hub
SANDBOX = {
    "Content-Security-Policy": (
        "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:;"
        " frame-ancestors 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
}


def _reference(model: str, version: str) -> Reference:
    return Reference(check_name(model, "model"), check_key(version, "version"))


def _specification(hub: Hub, model: str) -> ModelSpecification | None:
    return hub.models.models.get(check_name(model, "model"))


def _html(description: str) -> dict[int | str, dict[str, object]]:
    return {200: {"description": description, "content": {"text/html": {}}}, **NO_MODEL}


@router.get(
    "",
    operation_id="listModels",
    summary="List models",
    response_description="All models by name.",
)
async def list_models(store: StoreOf, hub: HubOf) -> list[overview.ModelSummary]:
    """Return all models: what is in production, how it does, and its last monitored day."""
    return await run_in_threadpool(
        overview.models_overview, store, hub.models.models, hub.models.left_out
    )


@router.get(
    "/{model}",
    operation_id="getModel",
    summary="Return a model",
    response_description="The model.",
    responses=NO_MODEL,
)
async def get_model(store: StoreOf, hub: HubOf, model: Model) -> overview.ModelSummary:
    """Return a model: what is in production, how it does, and its last monitored day."""
    return await run_in_threadpool(
        overview.model_summary, store, hub.models.models, hub.models.left_out, model
    )


@router.get(
    "/{model}/versions",
    operation_id="listVersions",
    summary="List the versions of a model",
    response_description="A page of its versions.",
    responses=problems(404, 422),
)
async def list_versions(
    store: StoreOf,
    hub: HubOf,
    model: Model,
    page: Page = 1,
    size: Annotated[int, Query(ge=1, le=versions.MAX_PAGE, description="Rows.")] = versions.PAGE,
    sort: Annotated[
        str, Query(description="`created` or a metric; `-` before it: the largest first.")
    ] = "-created",
) -> versions.VersionsPage:
    """Return versions with metrics, intervals, gates and approval, the newest first."""
    specification = _specification(hub, model)
    return await run_in_threadpool(
        versions.versions_page, store, specification, model, page, size, sort
    )


@router.get(
    "/{model}/history",
    operation_id="getModelHistory",
    summary="Return the history of a model",
    response_description="A page of what has happened, newest first.",
)
async def get_history(
    store: StoreOf,
    model: Model,
    page: Page = 1,
    size: Annotated[int, Query(ge=1, le=history.MAX_PAGE, description="Events.")] = history.PAGE,
) -> history.HistoryPage:
    """Return moves of aliases, decisions and deployments: who, when and why."""
    return await run_in_threadpool(
        history.model_history, store, check_name(model, "model"), page, size
    )


@router.get(
    "/{model}/deployments",
    operation_id="listModelDeployments",
    summary="List the deployments of a model",
    response_description="Deployments, newest first.",
)
async def list_deployments(store: StoreOf, model: Model) -> list[DeploymentLineage]:
    """Return what serves, or has served, versions of a model."""
    return await run_in_threadpool(history.model_deployments, store, check_name(model, "model"))


@router.get(
    "/{model}/monitoring",
    operation_id="getModelMonitoring",
    summary="Return the monitored days of a model",
    response_description="The last days, oldest first.",
)
async def get_monitoring(
    store: StoreOf,
    model: Model,
    days: Annotated[
        int, Query(ge=1, le=monitoring.MAX_DAYS, description="Number of days.")
    ] = monitoring.DAYS,
) -> list[monitoring.MonitoredDay]:
    """Return drift, share outside, live metrics, estimates and rules of the last days."""
    return await run_in_threadpool(
        monitoring.monitoring_of, store, check_name(model, "model"), days
    )


@router.get(
    "/{model}/alarms",
    operation_id="listModelAlarms",
    summary="List the open alarms of a model",
    response_description="Open alarms, newest first.",
)
async def list_alarms(store: StoreOf, model: Model) -> list[monitoring.OpenAlarm]:
    """Return rules of monitoring that have failed and have not passed again."""
    return await run_in_threadpool(monitoring.open_alarms, store, check_name(model, "model"))


@router.get(
    "/{model}/monitoring/{day}/report",
    operation_id="getMonitoringReport",
    summary="Return the report of a monitored day",
    response_class=Response,
    responses=_html("The report, one page without scripts."),
)
async def get_report(
    store: StoreOf, model: Model, day: Annotated[str, Path(description="`YYYY-MM-DD`, UTC.")]
) -> Response:
    """Return the report of a day; only to those who may see all of its versions."""
    content = await run_in_threadpool(
        monitoring.read_report, store, check_name(model, "model"), check_key(day, "day")
    )
    return Response(content, media_type="text/html; charset=utf-8", headers=SANDBOX)


@router.get(
    "/{model}/maps",
    operation_id="listModelMaps",
    summary="List the maps of a model",
    response_description="Maps, newest first.",
)
async def list_maps(
    store: StoreOf,
    model: Model,
    version: Annotated[str | None, Query(description="Only of this version.")] = None,
    page: Page = 1,
    size: Annotated[int, Query(ge=1, le=maps.MAX_PAGE, description="Maps.")] = maps.PAGE,
) -> list[maps.ShownMap]:
    """Return maps with their files and the share outside the area of applicability."""
    return await run_in_threadpool(
        maps.maps_of, store, check_name(model, "model"), version, page, size
    )


@router.get(
    _VERSION,
    operation_id="getVersion",
    summary="Return a model version",
    response_description="The version.",
    responses=NO_MODEL,
)
async def get_version(
    store: StoreOf, hub: HubOf, model: Model, version: Version
) -> view.VersionView:
    """Return metrics, gates, approval, rights, and the `state` that decisions are sent with."""
    specification = _specification(hub, model)
    return await run_in_threadpool(
        view.version_view, store, specification, _reference(model, version)
    )


@router.get(
    f"{_VERSION}/chain",
    operation_id="getChain",
    summary="Return the chain behind a model version",
    response_description="Its parts, none of them verified.",
    responses=NO_MODEL,
)
async def get_chain(store: StoreOf, model: Model, version: Version) -> chain.Chain:
    """Return data, run, code, model, record, deployments and maps, and what each comes from."""
    return await run_in_threadpool(chain.version_chain, store, _reference(model, version))


@router.post(
    f"{_VERSION}/verify",
    operation_id="verifyVersion",
    summary="Verify the chain behind a model version",
    response_description="Its parts, each `verified` or `broken`, with the files that are wrong.",
    responses=NO_MODEL,
)
async def verify_version(store: StoreOf, model: Model, version: Version) -> chain.Chain:
    """Read every byte behind a model version again, which takes as long as reading its data."""
    return await run_in_threadpool(verification.verify_chain, store, _reference(model, version))


@router.get(
    f"{_VERSION}/files",
    operation_id="listVersionFiles",
    summary="List the files of a model version",
    response_description="Its published files, and those of its record.",
    responses=NO_MODEL,
)
async def list_files(store: StoreOf, model: Model, version: Version) -> list[files.PublishedFile]:
    """Return the files of a model version with their sha256."""
    return await run_in_threadpool(files.version_files, store, _reference(model, version))


@router.get(
    f"{_VERSION}/files/{{name:path}}",
    operation_id="getVersionFile",
    summary="Download a file of a model version",
    response_class=Response,
    responses={200: binary_response("The file."), **NO_MODEL},
)
async def get_file(
    store: StoreOf,
    model: Model,
    version: Version,
    name: Annotated[str, Path(description="As `listVersionFiles` or `listModelMaps` has it.")],
) -> Response:
    """Return a file of a model version, of its record or of its maps, verified before."""
    opened = await run_in_threadpool(files.open_file, store, _reference(model, version), name)
    return FileResponse(
        opened.path,
        media_type=opened.media_type,
        filename=opened.name,
        content_disposition_type="inline" if opened.inline else "attachment",
        headers={**SANDBOX, "ETag": f'"{opened.sha256}"'},
    )


@router.get(
    f"{_VERSION}/maps/{{name:path}}/applicability.png",
    operation_id="getMapApplicability",
    summary="Return where a map is applicable",
    response_class=Response,
    responses={200: {"description": "A picture.", "content": {"image/png": {}}}, **NO_MODEL},
)
async def get_map_applicability(
    store: StoreOf,
    model: Model,
    version: Version,
    name: Annotated[str, Path(description="Name of the map.")],
) -> Response:
    """Return a picture of a map's area of applicability: blue inside, orange outside."""
    content = await run_in_threadpool(
        maps.applicability_picture, store, _reference(model, version), name
    )
    return Response(content, media_type="image/png", headers=SANDBOX)


@router.get(
    f"{_VERSION}/card",
    operation_id="getModelCard",
    summary="Return the model card",
    response_class=Response,
    responses=_html("The card as of today, one page without scripts."),
)
async def get_card(store: StoreOf, model: Model, version: Version) -> Response:
    """Return the card of a model version with gates, decisions and signatures as of today."""
    content = await run_in_threadpool(card.card_html, store, _reference(model, version))
    return Response(content, media_type="text/html; charset=utf-8", headers=SANDBOX)


@router.get(
    f"{_VERSION}/snippets",
    operation_id="getVersionSnippets",
    summary="Return code that uses a model version",
    response_description="Name of the tool → code.",
    responses=NO_MODEL,
)
async def get_snippets(store: StoreOf, model: Model, version: Version) -> dict[str, str]:
    """Return commands and code that predict with, serve, run or read a model version."""
    return await run_in_threadpool(version_snippets, store, _reference(model, version))
