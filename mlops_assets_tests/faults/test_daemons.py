"""Two Dagster daemons at once on one landing: nothing is committed or trained twice."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from mlops_assets.models.verify import verify_all
from mlops_assets.store import Store
from mlops_assets_tests import interpreter
from mlops_assets_tests.conftest import crops_table
from mlops_assets_tests.faults.second_daemon import DAEMONS

pytestmark = [pytest.mark.faults("two Dagster daemons"), pytest.mark.slow, pytest.mark.timeout(600)]


def test_two_daemons_at_once_commit_and_train_once(store: Store, tmp_path: Path) -> None:
    landing = store.workspace.root / "landing/fields"
    landing.mkdir(parents=True)
    crops_table().to_csv(landing / "samples.csv", index=False)
    (tmp_path / "dagster").mkdir()
    with dg.instance_for_test(temp_dir=str(tmp_path / "dagster")) as instance:
        module = ["-m", "mlops_assets_tests.faults.second_daemon", instance.root_directory]
        daemons = [interpreter.Process([*module, str(number)]) for number in range(DAEMONS)]
        for daemon in daemons:
            assert daemon.wait(300) == 0, daemon.err
        assert list(instance.get_dynamic_partitions("fields_versions")) == ["v1"]
    assert [row.version for row in store.registry.data_versions()] == ["v1"]
    (run,) = store.registry.runs()
    (row,) = store.registry.model_versions()
    assert (run.status, run.attempts, row.run_id, row.stage) == (
        "succeeded",
        1,
        run.run_id,
        "recorded",
    )
    assert verify_all(store).problems == []
