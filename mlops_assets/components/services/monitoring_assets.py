"""The assets of a service's days: the request log, the labels, and how the model did.

The bodies call the core; what their events state is in `monitoring_events`.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from mlops_assets.components.graph.kinds import workspace_kinds
from mlops_assets.components.graph.labels import Labels
from mlops_assets.components.graph.retries import retried
from mlops_assets.components.naming import MODEL, ONE_RUN_A_VERSION, tag_run
from mlops_assets.components.services.monitoring_events import (
    CHECK_DESCRIPTIONS,
    log_result,
    monitoring_result,
    observations_of,
    truth_result,
)
from mlops_assets.components.services.monitoring_schedules import monitoring_schedules
from mlops_assets.monitoring.rules import rule_names
from mlops_assets.serving.specification import ServiceSpecification
from resources import StoreResource

INFERENCE_LOG = "inference_log"
TRUTH = "truth"
MONITORING = "monitoring"


def monitoring_assets(
    specification: ServiceSpecification, labels: Labels | None = None
) -> dg.Definitions:
    """Return the assets of a service's days, with their checks, jobs and schedules.

    Args:
        specification: the service as declared.
        labels: of its assets, as declared.
    """
    model = specification.model
    log = _inference_log(specification)
    assets = [log, _truth(specification), _monitoring(specification)]
    tags = {MODEL: model}
    job = dg.define_asset_job(
        f"{model}_monitoring",
        selection=assets,
        description=f"Measures how {model} did on a day, from its request log and labels.",
        tags=tags,
    )
    compaction = dg.define_asset_job(
        f"{model}_inference_log",
        selection=[log],
        description=f"Puts the logged requests of {model} on a day into one file.",
        tags=tags,
    )
    return dg.Definitions(
        assets=(labels or Labels()).labelled(assets),
        jobs=[job, compaction],
        schedules=monitoring_schedules(specification, job, compaction),
    )


def service_days(specification: ServiceSpecification) -> dg.DailyPartitionsDefinition:
    """Return the partitions of a service: days of requests in UTC, today included."""
    return dg.DailyPartitionsDefinition(
        start_date=specification.start.isoformat(), timezone="UTC", end_offset=1
    )


def _inference_log(specification: ServiceSpecification) -> dg.AssetsDefinition:
    model = specification.model

    @dg.asset(
        key=[model, INFERENCE_LOG],
        group_name=model,
        deps=[[model, "deployment"]],
        partitions_def=service_days(specification),
        backfill_policy=ONE_RUN_A_VERSION,
        description=(
            f"Requests to {model} on a day (UTC) and their answers, in one file; kept for"
            f" {specification.log.days} days."
        ),
        kinds={"parquet", *workspace_kinds()},
    )
    @retried
    def inference_log(
        context: dg.AssetExecutionContext, store: StoreResource
    ) -> dg.MaterializeResult[Any]:
        from mlops_assets.serving.request_log.compact import compact_day
        from mlops_assets.serving.request_log.retention import enforce_retention

        opened = store.open()
        tag_run(context, opened.user, {MODEL: model})
        file = compact_day(opened, model, context.partition_key)
        removed = enforce_retention(opened, model, specification.log.days, datetime.now(UTC).date())
        return log_result(opened, model, context.partition_key, file, removed)

    return inference_log


def _truth(specification: ServiceSpecification) -> dg.AssetsDefinition:
    model = specification.model

    @dg.asset(
        key=[model, TRUTH],
        group_name=model,
        deps=[[model, INFERENCE_LOG]],
        partitions_def=service_days(specification),
        backfill_policy=ONE_RUN_A_VERSION,
        description=f"Labels of the requests to {model} on a day, as far as they are known.",
        kinds={"parquet", *workspace_kinds()},
    )
    @retried
    def truth(context: dg.AssetExecutionContext, store: StoreResource) -> dg.MaterializeResult[Any]:
        return truth_result(store.open(), model, context.partition_key)

    return truth


def _monitoring(specification: ServiceSpecification) -> dg.AssetsDefinition:
    model = specification.model
    days = service_days(specification)
    key = dg.AssetKey([model, MONITORING])
    checks = [
        dg.AssetCheckSpec(
            name, asset=key, description=CHECK_DESCRIPTIONS[name], partitions_def=days
        )
        for name in rule_names(specification.monitor)
    ]

    @dg.asset(
        key=key,
        group_name=model,
        deps=[[model, INFERENCE_LOG], [model, TRUTH]],
        partitions_def=days,
        backfill_policy=ONE_RUN_A_VERSION,
        check_specs=checks,
        description=(
            f"How {model} did on a day: data quality, applicability, drift, live and estimated"
            " metrics, by model, code and data version."
        ),
        kinds={"report", *workspace_kinds()},
    )
    @retried
    def monitoring(
        context: dg.AssetExecutionContext, store: StoreResource
    ) -> Iterator[dg.MaterializeResult[Any]]:
        from mlops_assets.monitoring.alarms import consequences
        from mlops_assets.monitoring.day import monitor_day

        opened = store.open()
        tag_run(context, opened.user, {MODEL: model})
        document = monitor_day(opened, specification, context.partition_key)
        for observation in observations_of(document):
            context.log_event(observation)
        changes = consequences(opened, specification, document)
        yield monitoring_result(opened, document, rule_names(specification.monitor), changes)

    return monitoring
