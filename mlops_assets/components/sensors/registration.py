"""The sensor `registration`, which has changed records registered, and failed attempts repeated."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg

from mlops_assets.components.naming import REGISTRATION, add_data_versions
from mlops_assets.components.sensors.run_reports import latest_runs
from mlops_assets.components.sensors.version_requests import MAX_NAMED
from mlops_assets.settings import Settings
from mlops_assets.text.listing import named
from resources import StoreResource

if TYPE_CHECKING:
    from mlops_assets.discovery.registration.plan import Due

MAX_REQUESTED = 25  # runs of a tick
# a run that has ended without an attempt is requested again once in this time
_AGAIN_SECONDS = 3600

# name of the dataset or model, its data version
Partition = tuple[str, str]


def registration_sensor() -> dg.SensorDefinition:
    """Return the sensor of all datasets and models of a project.

    What is due follows from the registry. A run is requested once for each attempt: while one is
    queued or in progress, no other is.
    """

    @dg.sensor(
        name=REGISTRATION,
        asset_selection=dg.AssetSelection.from_string(f'key:"*/{REGISTRATION}"'),
        minimum_interval_seconds=30,
        # as the declared catalogues say
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=(
            "Registers new and changed records with other catalogues, and tries again what failed."
        ),
    )
    def registration(context: dg.SensorEvaluationContext, store: StoreResource) -> dg.SensorResult:
        from mlops_assets.discovery.registration.registrar import open_registrar

        registrar = open_registrar(store.open(), Settings.from_environment())
        state = registrar.state()
        if context.cursor == state and not registrar.has_retry():
            return dg.SensorResult(skip_reason="no record has changed")
        wanted: dict[Partition, list[Due]] = {}
        for due in registrar.due(names=_declared(context)):
            wanted.setdefault((due.version.name, due.version.data_version), []).append(due)
        if not wanted:
            context.update_cursor(state)
            return dg.SensorResult(skip_reason=_undeclared(registrar.due()))
        for dataset in {due.version.dataset for each in wanted.values() for due in each}:
            add_data_versions(context.instance, registrar.store.registry, dataset)
        busy = _in_progress(context.instance, list(wanted))
        time = registrar.clock().timestamp()
        requests = [_request(key, due, time) for key, due in wanted.items() if key not in busy]
        in_progress = f"in progress: {named(['@'.join(key) for key in busy], MAX_NAMED)}"
        return dg.SensorResult(
            requests[:MAX_REQUESTED], skip_reason=None if requests else in_progress
        )

    return registration


def _declared(context: dg.SensorEvaluationContext) -> set[str]:
    """Return the datasets and models of the project that have the asset."""
    repository = context.repository_def
    keys = () if repository is None else repository.asset_graph.get_all_asset_keys()
    return {key.path[0] for key in keys if key.path[1:] == [REGISTRATION]}


def _in_progress(
    instance: dg.DagsterInstance, partitions: Sequence[Partition]
) -> dict[Partition, dg.DagsterRun]:
    """Return the runs that have not ended."""
    names = {name for name, _ in partitions}
    found: dict[Partition, dg.DagsterRun] = {}
    for name in names:
        versions = [version for other, version in partitions if other == name]
        runs = latest_runs(instance, dg.AssetKey([name, REGISTRATION]), versions)
        found |= {(name, key): run for key, run in runs.items() if not run.is_finished}
    return found


def _request(partition: Partition, due: Sequence[Due], time: float) -> dg.RunRequest:
    """Return the request for what is due of a partition, the same until that is attempted."""
    name, version = partition
    attempts = [
        f"{each.catalogue} {each.version.version} {each.basis} {each.tried}" for each in due
    ]
    text = "\n".join([*attempts, str(time // _AGAIN_SECONDS)])
    digest = hashlib.sha256(text.encode()).hexdigest()
    return dg.RunRequest(
        run_key=f"{name}@{version}/{digest[:16]}",
        partition_key=version,
        asset_selection=[dg.AssetKey([name, REGISTRATION])],
    )


def _undeclared(found: Sequence[Due]) -> str:
    """Return why nothing is requested, if not what is due of names without an asset."""
    names = list(dict.fromkeys(due.version.name for due in found))
    if not names:
        return "nothing is due"
    return f"not declared in this project: {named(names)}; run 'mlops registration run'"
