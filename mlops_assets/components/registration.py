"""The assets `registration` of datasets and models, where a project declares catalogues.

They are downstream of the records, and in no lifecycle: a catalogue that does not answer holds
nothing up. The sensor `registration` has them made, and made again. The core does it.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg

from mlops_assets.components.graph.kinds import registry_kinds
from mlops_assets.components.graph.retries import retried
from mlops_assets.components.naming import (
    DATA_VERSION,
    ONE_RUN_A_VERSION,
    REGISTRATION,
    data_versions,
    tag_run,
)
from mlops_assets.components.sensors.registration import registration_sensor
from mlops_assets.errors import SettingsError
from mlops_assets.settings import Settings
from mlops_assets.text.markup import plain, table
from resources import StoreResource

if TYPE_CHECKING:
    from mlops_assets.discovery.registration.registrar import Outcome

CHECK = "registered_and_equal"


def has_catalogues() -> bool:
    """Return whether `MLOPS_CATALOGUES` is set; not if the settings cannot be used.

    A run that needs them reports why.
    """
    try:
        return Settings.from_environment().catalogues is not None
    except SettingsError:
        return False


def registration_sensors() -> list[dg.SensorDefinition]:
    """Return the sensor of a project with catalogues."""
    return [registration_sensor()] if has_catalogues() else []


def registration_assets(name: str, dataset: str, tag: str) -> list[dg.AssetsDefinition]:
    """Return the asset of a dataset or model, in a project with catalogues.

    Args:
        name: of the dataset or model.
        dataset: whose versions are the partitions.
        tag: of runs that work on it.
    """
    if not has_catalogues():
        return []
    key = dg.AssetKey([name, REGISTRATION])

    @dg.asset(
        key=key,
        group_name=name,
        description=(
            "What other catalogues have of the record, as MLOPS_CATALOGUES declares them. One that"
            " fails is tried again."
        ),
        deps=[[name, "record"]],
        partitions_def=data_versions(dataset),
        backfill_policy=ONE_RUN_A_VERSION,
        kinds={"stac", *registry_kinds()},
        check_specs=[
            dg.AssetCheckSpec(
                CHECK,
                asset=key,
                description=(
                    "Each catalogue has the record as it is published and visible, which was read"
                    " back and compared."
                ),
                partitions_def=data_versions(dataset),
            )
        ],
    )
    @retried
    def registration(
        context: dg.AssetExecutionContext, store: StoreResource
    ) -> dg.MaterializeResult:  # type: ignore[type-arg]
        from mlops_assets.discovery.registration.registrar import open_registrar

        opened = store.open()
        tag_run(context, opened.user, {tag: name, DATA_VERSION: context.partition_key})
        registrar = open_registrar(opened, Settings.from_environment())
        return _result(registrar.register_data_version(name, context.partition_key))

    return [registration]


def _result(outcomes: Sequence["Outcome"]) -> dg.MaterializeResult:  # type: ignore[type-arg]
    failed = [outcome for outcome in outcomes if outcome.error is not None]
    rows = [
        [
            outcome.reference,
            outcome.catalogue,
            outcome.state or "not visible enough",
            f"[{plain(outcome.url)}]({outcome.url})" if outcome.is_there else "",
            plain(outcome.error or ""),
        ]
        for outcome in outcomes
    ]
    return dg.MaterializeResult(
        metadata={
            "registrations": dg.MetadataValue.md(
                table(["version", "catalogue", "state", "URL", "error"], rows)
            ),
            # of the newest version
            **{
                outcome.catalogue: dg.MetadataValue.url(outcome.url)
                for outcome in outcomes
                if outcome.is_there
            },
        },
        check_results=[
            dg.AssetCheckResult(
                check_name=CHECK,
                passed=not failed,
                severity=dg.AssetCheckSeverity.WARN,
                description="; ".join(outcome.summary for outcome in failed or outcomes),
            )
        ],
    )
