"""The sensor `deploy`, which has a service deployed again when its alias has moved.

It sees every move in the registry, also those by commands and over HTTP.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg

from mlops_assets.components.naming import MODEL, MODEL_VERSION
from mlops_assets.components.sensors.run_reports import has_failed, latest_run, report
from mlops_assets.errors import MlopsError
from mlops_assets.serving.specification import ServiceSpecification
from resources import StoreResource

if TYPE_CHECKING:
    from mlops_assets.registry import Promotion, Registry

INTERVAL_SECONDS = 30
MAX_REASON = 2000


def deploy_sensor(
    specification: ServiceSpecification, job: str, asset: dg.AssetKey
) -> dg.SensorDefinition:
    """Return the sensor of a service.

    A move is requested once; the run deploys what the alias names by then. A move is settled, too,
    if somebody has deployed its version, chosen another one, or undeployed the service since.

    Args:
        specification: of the service.
        job: that deploys it.
        asset: its deployment.
    """
    name, alias = specification.name, specification.alias

    @dg.sensor(
        name=f"{name}_deploy",
        job_name=job,
        minimum_interval_seconds=INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Deploys {specification.model} in {name} when {alias!r} moves.",
    )
    def deploy(context: dg.SensorEvaluationContext, store: StoreResource) -> dg.SensorResult:
        try:
            registry = store.open().registry
            move = _last_move(registry, specification)
            settled = move is None or _is_settled(registry, specification, move)
        except MlopsError as error:
            return dg.SensorResult(skip_reason=str(error)[:MAX_REASON])
        if move is None:
            return dg.SensorResult(
                skip_reason=f"no version of {specification.model} is {alias!r} yet"
            )
        key = f"{move.version}/{move.moved.isoformat()}"
        if settled or context.cursor == key:
            return dg.SensorResult(skip_reason=_reason(context, specification, asset), cursor=key)
        why = f"{alias} moved to {move.version} by {move.moved_by}"
        config = {"reason": f"{why}: {move.reason}" if move.reason else why}
        request = dg.RunRequest(
            run_key=f"{name}/{key}",
            run_config={"ops": {asset.to_python_identifier(): {"config": config}}},
            tags={MODEL: specification.model, MODEL_VERSION: move.version},
        )
        return dg.SensorResult([request], cursor=key)

    return deploy


def _last_move(registry: Registry, specification: ServiceSpecification) -> Promotion | None:
    moves = registry.promotions(specification.model)
    return next((move for move in moves[::-1] if move.alias == specification.alias), None)


def _is_settled(registry: Registry, specification: ServiceSpecification, move: Promotion) -> bool:
    from mlops_assets.integrations.deployment.deploy import CHOSEN
    from mlops_assets.integrations.deployment.standing import newest_deployment
    from mlops_assets.registry.promotion.deployments import DEPLOYED

    made = newest_deployment(registry, specification.name)
    if made is None or made.deployed < move.moved:
        return False
    # one that began before the move has deployed the version of then
    return made.version == move.version or made.action != DEPLOYED or CHOSEN in made.details


def _reason(
    context: dg.SensorEvaluationContext, specification: ServiceSpecification, asset: dg.AssetKey
) -> str:
    run = latest_run(context.instance, asset)
    if run is None or run.is_success:
        return f"{specification.alias!r} of {specification.model} has not moved"
    text = report(context.instance, run)
    if has_failed(run):
        text += (
            "; correct the cause, then re-execute the run or run 'mlops service deploy"
            f" {specification.name}'"
        )
    return text[:MAX_REASON]
