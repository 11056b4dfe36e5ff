"""The sensor `<model>_retrain`: a model whose rules fail is trained on newer data, once.

When it is due, and what is missing, is decided by `mlops_assets.monitoring.retraining`.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import dagster as dg

from mlops_assets.components.naming import MODEL, add_data_versions
from mlops_assets.components.sensors.new_version import is_trained_by_itself
from mlops_assets.components.sensors.run_reports import has_failed, latest_runs, report
from mlops_assets.errors import MlopsError
from mlops_assets.serving.specification import ServiceSpecification
from resources import StoreResource

if TYPE_CHECKING:
    from mlops_assets.monitoring.retraining import LastRetraining, Retraining
    from mlops_assets.registry import Registry

INTERVAL_SECONDS = 60
MAX_REASON = 2000
# tag of a Dagster run: numbers of the alarms because of which it trains
ALARM = "mlops/alarm"


def retrain_sensor(specification: ServiceSpecification, job: str) -> dg.SensorDefinition | None:
    """Return the sensor of the model of a service; None if it does not retrain.

    A data version is requested once for each alarm, and never if a run was planned for it, whoever
    started that. A model that trains on every new version is left to its sensor `new_version`. The
    run is noted on the alarms at the tick that finds it.

    Args:
        specification: of the service.
        job: the lifecycle of the model.
    """
    if not specification.retrain.enabled:
        return None
    model = specification.model

    @dg.sensor(
        name=f"{model}_retrain",
        job_name=job,
        minimum_interval_seconds=INTERVAL_SECONDS,
        # by `retrain: {enabled: true}`
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Trains {model} on newer data once its rules of monitoring have failed.",
    )
    def retrain(context: dg.SensorEvaluationContext, store: StoreResource) -> dg.SensorResult:
        from mlops_assets.monitoring.retraining import plan_retraining

        last = _last(context.cursor)
        try:
            opened = store.open()
            found = plan_retraining(opened, specification, last)
            if last is not None:
                # it may have ended, and been promoted, since the last tick
                _note_run(context, opened.registry, model, last)
            wanted = _wanted(found)
            run = None if wanted is None else _note_run(context, opened.registry, model, wanted)
        except MlopsError as error:
            return dg.SensorResult(skip_reason=str(error)[:MAX_REASON])
        if run is not None:
            return dg.SensorResult(skip_reason=_shortened(_state(context.instance, run, found)))
        if wanted is None or not found.is_due:
            return dg.SensorResult(skip_reason=_shortened(found.reason))
        cursor = json.dumps(asdict(wanted))
        if is_trained_by_itself(context, model):
            reason = f"{found.reason}; left to the sensor {model}_new_version"
            return dg.SensorResult(skip_reason=_shortened(reason), cursor=cursor)
        context.log.info(found.reason)
        add_data_versions(context.instance, opened.registry, str(found.dataset))
        request = dg.RunRequest(
            run_key=f"{model}/alarm-{wanted.alarms[0]}/{found.dataset}@{wanted.data_version}",
            partition_key=wanted.data_version,
            tags={MODEL: model, ALARM: ", ".join(map(str, wanted.alarms))},
        )
        return dg.SensorResult([request], cursor=cursor)

    return retrain


def _last(cursor: str | None) -> LastRetraining | None:
    from mlops_assets.monitoring.retraining import LastRetraining

    if not cursor:
        return None
    found = json.loads(cursor)
    return LastRetraining(found["day"], tuple(found["alarms"]), found["data_version"])


def _wanted(found: Retraining) -> LastRetraining | None:
    """Return the retraining that alarms and newer data ask for; None if something is missing."""
    from mlops_assets.monitoring.retraining import LastRetraining

    if found.day is None or found.data_version is None:
        return None
    return LastRetraining(found.day, tuple(alarm.id for alarm in found.alarms), found.data_version)


def _note_run(
    context: dg.SensorEvaluationContext, registry: Registry, model: str, wanted: LastRetraining
) -> dg.DagsterRun | None:
    """Note the newest run that trains on a data version on the alarms; return it.

    A re-execution replaces the run that it is one of.
    """
    asset = dg.AssetKey([model, "record"])
    run = latest_runs(context.instance, asset, [wanted.data_version]).get(wanted.data_version)
    record = context.instance.get_run_record_by_id(run.run_id) if run else None
    if run is None or record is None:
        return None
    own = run.tags.get(ALARM, "").split(", ")
    for number in wanted.alarms:
        alarm = registry.alarm(number)
        # not one of before the alarm, whose version is not in use
        is_consequence = str(number) in own or record.create_timestamp > alarm.opened
        if is_consequence and alarm.orchestration_run != run.run_id:
            registry.note_retraining(alarm, run.run_id, wanted.data_version)
    return run


def _state(instance: dg.DagsterInstance, run: dg.DagsterRun, found: Retraining) -> str:
    """Return what came of the run of a data version."""
    reference = f"{found.dataset}@{found.data_version}"
    if run.is_success:
        return found.reason
    text = f"{found.reason}; for {reference}, {report(instance, run)}"
    if has_failed(run):
        text += "; correct the cause, then re-execute the run from failure"
    return text


def _shortened(reason: str) -> str:
    return reason[:MAX_REASON] + ("…" if reason[MAX_REASON:] else "")
