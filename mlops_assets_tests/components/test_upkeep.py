"""The assets that back a workspace up, and count what nothing needs."""

from __future__ import annotations

import os
from pathlib import Path

import dagster as dg
import pytest

from mlops_assets.components.upkeep import BACKUP, UNNEEDED, upkeep
from mlops_assets.errors import SettingsError
from mlops_assets.store import Store
from mlops_assets.upkeep.backup.documents import BackupPlace
from resources import StoreResource


def test_every_night_a_backup_and_a_count_whose_numbers_are_in_the_history(
    assessed: Store,
    instance: dg.DagsterInstance,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    definitions = dg.Definitions.merge(
        upkeep(),
        dg.Definitions(resources={"store": StoreResource()}, executor=dg.in_process_executor),
    )
    job = definitions.resolve_job_def("upkeep")
    with pytest.raises(SettingsError, match="set MLOPS_BACKUP"):
        job.execute_in_process(instance=instance)
    monkeypatch.setenv("MLOPS_BACKUP", str(tmp_path / "backups"))
    assert job.execute_in_process(instance=instance).success
    event = instance.get_latest_materialization_event(BACKUP)
    assert event is not None and event.asset_materialization is not None
    made = BackupPlace((tmp_path / "backups").as_uri(), tmp_path / "cache").read(None)
    assert event.asset_materialization.metadata["name"].value == made.name
    tags = event.asset_materialization.tags or {}
    assert tags["dagster/data_version"] == made.digest
    old = assessed.workspace.put_object(b"of a commit that was killed")
    os.utime(assessed.workspace.root / old.path, (0, 0))
    young = assessed.workspace.put_object(b"of a commit under way")
    config = {"ops": {"workspace__unneeded": {"config": {"delete": True}}}}
    job = definitions.resolve_implicit_global_asset_job_def()
    result = job.execute_in_process(
        instance=instance, asset_selection=[UNNEEDED], run_config=config
    )
    assert result.success
    assert assessed.workspace.exists(young.path)
    assert not assessed.workspace.exists(old.path)
