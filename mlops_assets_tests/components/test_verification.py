"""The check `as_published` of the asset `workspace`.

Everything once a week, what has changed every night.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from mlops_assets.components.verification import verification
from mlops_assets.paths import Owner
from mlops_assets.store import Store
from resources import StoreResource

# schedule → whether the check passed, its metadata and its description
Verify = Callable[[str], tuple[bool, dict[str, Any], str]]


@pytest.fixture
def verified(assessed: Store, instance: dg.DagsterInstance) -> Verify:
    """Run one of the two schedules' runs and return the evaluation."""
    definitions = dg.Definitions.merge(
        verification(),
        dg.Definitions(resources={"store": StoreResource()}, executor=dg.in_process_executor),
    )
    schedules = {
        schedule.name: schedule
        for schedule in definitions.schedules or []
        if isinstance(schedule, dg.ScheduleDefinition)
    }

    def verify(schedule: str) -> tuple[bool, dict[str, Any], str]:
        context = dg.build_schedule_context(instance)
        (request,) = schedules[schedule].evaluate_tick(context).run_requests or []
        job = definitions.resolve_job_def("verify")
        result = job.execute_in_process(
            run_config=request.run_config, instance=instance, raise_on_error=False
        )
        (evaluation,) = result.get_asset_check_evaluations()
        metadata = {name: value.value for name, value in evaluation.metadata.items()}
        return evaluation.passed, metadata, str(evaluation.description)

    return verify


def test_every_night_what_has_changed_since_everything_was_well(
    verified: Verify, assessed: Store
) -> None:
    passed, first, _ = verified("verify_changes")  # nothing was verified yet
    assert (passed, first["whole"], first["since_entry"]) == (True, True, 0)
    assert first["files"] > 5
    passed, second, _ = verified("verify_changes")
    assert (passed, second["whole"], second["files"]) == (True, False, 0)
    assessed.registry.add_files(
        Owner("catalog"), [assessed.workspace.put("catalog/new.json", b"{}")]
    )
    assert verified("verify_changes")[1]["files"] == 1
    assert verified("verify_everything")[1]["files"] == first["files"] + 1
    assert verified("verify_changes")[1]["files"] == 0


def test_damage_is_found_at_the_latest_by_the_complete_verification(
    verified: Verify, assessed: Store
) -> None:
    assert verified("verify_everything")[0]
    assessed.workspace.put("datasets/fields/v1/version.json", b"{}")
    assert verified("verify_changes")[0]
    passed, metadata, description = verified("verify_everything")
    assert not passed
    assert "datasets/fields/v1/version.json: its bytes" in description
    assert len(metadata["problems"]) == 1
    assert not verified("verify_changes")[0]  # everything, until it passes


def test_a_changed_registry_is_found_in_the_night(verified: Verify, assessed: Store) -> None:
    from sqlalchemy import text

    assert verified("verify_everything")[0]
    with assessed.registry._engine.begin() as connection:
        connection.execute(text("UPDATE data_versions SET created_by = 'nobody'"))
    passed, _, description = verified("verify_changes")
    assert not passed
    assert "created_by is 'nobody', was 'tester'" in description


def test_the_head_of_the_log_is_kept_outside_of_the_workspace(
    verified: Verify, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_LOG_HEAD", str(tmp_path / "elsewhere"))
    passed, metadata, _ = verified("verify_changes")
    (head,) = (tmp_path / "elsewhere").iterdir()
    assert passed
    assert metadata["head"].partition(":")[2] in head.read_text()
    head.write_text(head.read_text().replace(metadata["head"].partition(":")[2], "0" * 64))
    assert not verified("verify_changes")[0]
