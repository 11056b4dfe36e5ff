"""The log of a training step in Dagster, while it trains and afterwards."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from mlops_assets.components.naming import add_data_versions
from mlops_assets.components.project.home import prepare_home
from mlops_assets.store import Store
from mlops_assets_tests.interpreter import Process

EXECUTE = """
import dagster as dg, sys
from mlops_assets_tests.components.project import chatty_job
with dg.DagsterInstance.from_config(sys.argv[1]) as instance:
    job = dg.reconstructable(chatty_job)
    tags = {"dagster/partition": "v1"}
    with dg.execute_job(job, instance=instance, tags=tags) as result:
        sys.exit(not result.success)
"""


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """An instance as projects have it."""
    with dg.DagsterInstance.from_config(str(prepare_home(tmp_path / "dagster"))) as made:
        yield made


def compute_log(instance: dg.DagsterInstance) -> str:
    """Return what Dagster has captured of all steps so far."""
    found = Path(instance.root_directory).rglob("*.err")
    return "".join(path.read_bytes().decode() for path in found)


def step_log(instance: dg.DagsterInstance) -> list[str]:
    """Return the lines about epochs in the log of the only run."""
    records = instance.get_run_records()
    events = instance.all_logs(records[0].dagster_run.run_id) if records else []
    return [event.user_message for event in events if event.user_message.startswith("epoch")]


@pytest.mark.slow
@pytest.mark.usefixtures("drawn")
def test_a_trainer_is_followed_while_it_trains_whatever_it_prints(
    assessed: Store, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    # what is printed is buffered, as it goes to a file
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    add_data_versions(instance, assessed.registry, "fields")
    first = {"epoch 0 begins\n", "\\x1b[2Jto stderr\n", "of a child\n"}
    with Process(["-c", EXECUTE, instance.root_directory]) as process:
        deadline = time.monotonic() + 200
        while not (step_log(instance) and all(text in compute_log(instance) for text in first)):
            assert process.poll() is None and time.monotonic() < deadline, process.err
            time.sleep(0.2)
        Path("go").touch()
        assert process.wait(200) == 0, process.err
    assert step_log(instance) == [
        "epoch 1 of 3: loss 1, accuracy 0, seed 7",
        "epoch 3 of 3: loss 0.3333, accuracy 0.2, seed 7",
    ]
    captured = compute_log(instance)
    assert "xxno end" in captured
    assert len(captured) < 20 << 20
    event = instance.get_latest_materialization_event(dg.AssetKey(["crop_forest", "trained_model"]))
    assert event is not None and event.asset_materialization is not None
    metadata = event.asset_materialization.metadata
    assert metadata["seed"].value == 0
    assert str(metadata["learning_curves"].value).startswith("![")
    assert (
        "| loss | 0.3333 | 0.3333 | 1 | 3 |" in str(metadata["logged_metrics"].value).splitlines()
    )
