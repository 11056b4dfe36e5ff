"""Runs of Dagster whose code server is gone."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import dagster as dg
from dagster._core.storage.tags import GRPC_INFO_TAG

from mlops_assets.components.project.home import prepare_home
from mlops_assets.components.project.lost_runs import close_lost_runs


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
