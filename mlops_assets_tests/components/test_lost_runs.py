"""Runs of Dagster whose code server is gone."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.tags import GRPC_INFO_TAG

from mlops_assets.components.project import lost_runs
from mlops_assets.components.project.home import prepare_home
from mlops_assets.components.project.lost_runs import close_lost_runs, close_lost_trainings
from mlops_assets.store import Store
from mlops_assets_tests.registry.rows import new_run


@dg.job
def nothing() -> None: ...


def test_only_runs_in_progress_without_their_code_server_are_closed(tmp_path: Path) -> None:
    alive, gone = str(tmp_path / "alive"), str(tmp_path / "gone")
    home = prepare_home(tmp_path / "home")
    with (
        dg.DagsterInstance.from_config(str(home)) as instance,
        socket.socket(socket.AF_UNIX) as server,
    ):
        server.bind(alive)
        server.listen()

        def run(status: dg.DagsterRunStatus, path: str | None) -> str:
            tags = {GRPC_INFO_TAG: json.dumps({"host": "localhost", "socket": path})}
            created = instance.create_run_for_job(nothing, status=status, tags=tags if path else {})
            return created.run_id

        lost = run(dg.DagsterRunStatus.STARTED, gone)
        run(dg.DagsterRunStatus.STARTED, alive)
        # by a command
        run(dg.DagsterRunStatus.STARTED, None)
        run(dg.DagsterRunStatus.SUCCESS, gone)
        assert close_lost_runs(instance) == [lost]
        failed = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE]))
        assert [each.run_id for each in failed] == [lost]
        assert close_lost_runs(instance) == []


def test_a_training_whose_pod_is_gone_ends_after_its_run_of_dagster(
    store: Store, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    states = (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.STARTED)
    failed, active = (instance.create_run_for_job(nothing, status=state) for state in states)
    for number, run in enumerate((failed, active)):
        started = {"host": "a pod", "orchestration_run": run.run_id}
        store.registry.start_run(new_run(f"training-{number}", **started))
    instance.report_run_failed(failed)
    # a pod that is to end may be writing a checkpoint
    assert close_lost_trainings(store, instance) == []
    monkeypatch.setattr(lost_runs, "GRACE_SECONDS", -1)
    (gone,) = close_lost_trainings(store, instance)
    states_now = {r.orchestration_run: r.status for r in store.registry.runs()}
    assert states_now == {failed.run_id: "failed", active.run_id: "running"}
    assert store.registry.run(gone).orchestration_run == failed.run_id
