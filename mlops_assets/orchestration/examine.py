"""Checks of a Dagster instance, its daemon and a project, for `mlops doctor`."""

from __future__ import annotations

import time
from collections.abc import Iterator

import dagster as dg

from mlops_assets.components.project.definitions import declared_models, left_out
from mlops_assets.components.project.home import prepare_home
from mlops_assets.components.project.lost_runs import close_lost_trainings
from mlops_assets.components.project.storage_failures import storage_failures
from mlops_assets.errors import OrchestratorUnavailable
from mlops_assets.orchestration.project import open_project
from mlops_assets.orchestration.submission import MAX_HEARTBEAT_AGE
from mlops_assets.settings import Settings
from mlops_assets.store import Store
from mlops_assets.upkeep.doctor import Finding, examine_gpus


def examine_instance(settings: Settings, store: Store | None) -> Iterator[Finding]:
    """Yield the state of a Dagster instance; runs whose process is gone are closed.

    Args:
        settings: name the instance, and whether commands rely on its daemon.
        store: with the runs; None if it cannot be opened.

    Raises:
        OrchestratorUnavailable: its storage cannot be read, or its settings are wrong.
    """
    try:
        with dg.DagsterInstance.from_config(str(prepare_home(settings.dagster_home))) as instance:
            yield Finding("dagster home", True, str(settings.dagster_home))
            yield _daemon(settings, instance)
            if store is not None:
                gone = close_lost_trainings(store, instance)
                lost = f"{len(gone)} run(s) had lost their process and are now marked as failed"
                yield Finding("runs", not gone, lost if gone else "no run has lost its process")
    except storage_failures() as error:
        reason = str(error).strip().partition("\n")[0]
        raise OrchestratorUnavailable(
            f"the Dagster instance of {settings.dagster_home} cannot be used: {reason}; check its"
            " dagster.yaml, and the variables and the database that it names"
        ) from error


def _daemon(settings: Settings, instance: dg.DagsterInstance) -> Finding:
    beats = instance.get_daemon_heartbeats().values()
    newest = max((beat.timestamp for beat in beats), default=None)
    if newest is not None and time.time() - newest <= MAX_HEARTBEAT_AGE:
        troubled = sorted({beat.daemon_type for beat in beats if beat.errors})
        if troubled:
            return Finding("daemon", False, f"reports errors of {', '.join(troubled)}: see its log")
        return Finding("daemon", True, "runs")
    last = "has never run" if newest is None else f"was last seen {time.time() - newest:,.0f} s ago"
    return Finding(
        "daemon",
        settings.launch != "instance",
        f"{last}: queued runs, schedules and sensors wait for 'mlops up' or dagster-daemon",
    )


def examine_project(settings: Settings, module: str | None) -> Iterator[Finding]:
    """Yield whether the definitions of a project load, and whether its GPUs are there.

    Args:
        settings: of the project.
        module: its definitions; those of the current folder if None.

    Raises:
        MlopsError: they do not load at all.
    """
    with open_project(settings, module) as project:
        assets = len(project.definitions.resolve_asset_graph().get_all_asset_keys())
        wrong = left_out(project.definitions)
        detail = f"; invalid and left out: {', '.join(wrong)}" if wrong else ""
        yield Finding("project", not wrong, f"{assets} assets load{detail}")
        models = declared_models(project.definitions)
        yield from examine_gpus(
            settings,
            {name: model.compute.gpus for name, model in models.items() if model.compute.gpus},
        )
