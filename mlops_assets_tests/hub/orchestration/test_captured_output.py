"""Output of steps as Dagster has captured it."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from urllib.parse import urlsplit

import dagster as dg
import pytest
import yaml

from mlops_assets.errors import OrchestratorUnavailable
from mlops_assets.hub.orchestration import captured_output
from mlops_assets.hub.orchestration.captured_output import CapturedOutput
from mlops_assets_tests.servers.buckets import Bucket, FaultyBucket

CHART = Path(__file__).parents[3] / "deployments" / "kubernetes" / "chart"


@dg.asset(key=["crops", "trained_model"])
def trained_model() -> None:
    """Print."""
    os.write(sys.stderr.fileno(), b"epoch 1\nepoch 2\n")


def test_what_a_step_has_printed_is_read_from_any_byte(tmp_path: Path) -> None:
    home = tmp_path / "dagster"
    home.mkdir()
    with dg.DagsterInstance.from_config(str(home)) as instance:
        run = dg.materialize([trained_model], instance=instance)
    output = CapturedOutput(home)
    whole, end = output.read(run.run_id, "crops__trained_model", 0, 10_000)
    assert b"epoch 1\nepoch 2\n" in whole and end == len(whole)
    assert output.read(run.run_id, "crops__trained_model", end - 8, 10_000)[1] == end
    assert output.read(run.run_id, "crops__trained_model", 0, 100) == (whole[-100:], end)
    assert output.read("00000000-0000-4000-8000-000000000000", "a", 3, 100) == (b"", 3)
    captured_output._instance.cache_clear()


def test_a_storage_that_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    home = tmp_path / "dagster"
    home.mkdir()
    with dg.DagsterInstance.from_config(str(home)) as instance:
        run = dg.materialize([trained_model], instance=instance)
    events = next(home.rglob(f"{run.run_id}.db"))
    events.write_bytes(b"garbage" * 1000)
    for left in events.parent.glob(f"{run.run_id}.db-*"):
        left.unlink()
    with pytest.raises(OrchestratorUnavailable, match="captured cannot be read"):
        CapturedOutput(home).read(run.run_id, "crops__trained_model", 0, 10)
    captured_output._instance.cache_clear()


def cluster_home(folder: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Dagster home whose output goes where the chart has it; partial output every second."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("DAGSTER_LOGS_BUCKET", urlsplit(bucket.url).netloc)
    monkeypatch.setenv("DAGSTER_LOGS_PREFIX", "team/logs")
    chart = yaml.safe_load((CHART / "files" / "dagster.yaml").read_text())
    logs = chart["compute_logs"]
    assert logs["config"]["upload_interval"] <= 60
    # of a pod each has its own
    logs["config"] |= {"local_dir": str(folder / "local"), "upload_interval": 1}
    folder.mkdir()
    (folder / "dagster.yaml").write_text(
        yaml.safe_dump({"telemetry": {"enabled": False}, "compute_logs": logs})
    )
    return folder


@pytest.mark.services
def test_what_a_step_has_printed_is_in_the_bucket_and_is_read_on_another_machine(
    s3: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = cluster_home(tmp_path / "dagster", s3, monkeypatch)
    with dg.DagsterInstance.from_config(str(home)) as instance:
        run = dg.materialize([trained_model], instance=instance)
        keys = captured_output._log_key(instance, run.run_id, "crops__trained_model")
        assert keys is not None
        # as the resolver of `capturedLogs` of Dagster's GraphQL reads it
        page = instance.compute_log_manager.get_log_data(keys).stderr
    assert page is not None and b"epoch 1" in page
    (path,) = [path for path in s3.paths("team/logs") if path.endswith(".err")]
    assert path == f"team/logs/storage/{run.run_id}/compute_logs/{keys[-1]}.err"
    (home / "local").rename(tmp_path / "gone")
    output = CapturedOutput(home)
    whole, end = output.read(run.run_id, "crops__trained_model", 0, 10_000)
    assert b"epoch 1\nepoch 2\n" in whole
    assert output.read(run.run_id, "crops__trained_model", 0, 100) == (whole[-100:], end)
    captured_output._instance.cache_clear()


_KILLED = """
    import os, signal, sys, time
    import dagster as dg

    @dg.asset
    def asset():
        os.write(2, b"before the end")
        time.sleep(3)
        os.kill(os.getpid(), signal.SIGKILL)

    dg.materialize([asset], instance=dg.DagsterInstance.from_config(sys.argv[1]))
"""


@pytest.mark.services
def test_a_pod_that_is_killed_leaves_what_it_has_printed(
    s3: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = cluster_home(tmp_path / "dagster", s3, monkeypatch)
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(_KILLED), str(home)]
    done = subprocess.run(command, capture_output=True, timeout=120, check=False)
    assert done.returncode == -9, done.stderr.decode()
    assert [path for path in s3.paths("team/logs") if path.endswith(".err.partial")]
    (home / "local").rename(tmp_path / "gone")
    with dg.DagsterInstance.from_config(str(home)) as instance:
        (run,) = instance.get_runs()
    whole, end = CapturedOutput(home).read(run.run_id, "asset", 0, 10_000)
    assert b"before the end" in whole and end == len(whole)
    captured_output._instance.cache_clear()


@pytest.mark.services
def test_a_bucket_that_refuses_is_a_problem_without_a_traceback(
    faulty_s3: FaultyBucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = cluster_home(tmp_path / "dagster", faulty_s3, monkeypatch)
    with dg.DagsterInstance.from_config(str(home)) as instance:
        run = dg.materialize([trained_model], instance=instance)
    (home / "local").rename(tmp_path / "gone")
    faulty_s3.faults.add("*compute_logs*", method="GET", status=403, times=100)
    with pytest.raises(OrchestratorUnavailable, match="captured cannot be read"):
        CapturedOutput(home).read(run.run_id, "crops__trained_model", 0, 10)
    captured_output._instance.cache_clear()
