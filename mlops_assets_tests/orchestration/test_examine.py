"""What `mlops doctor` finds about a Dagster instance."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from mlops_assets.errors import OrchestratorUnavailable
from mlops_assets.orchestration.examine import examine_instance
from mlops_assets.settings import Settings
from mlops_assets_tests.servers.processes import HOST, free_port


def test_a_postgresql_that_does_not_answer_is_reported(tmp_path: Path) -> None:
    database = {
        "hostname": HOST,
        "port": free_port(),
        "username": "dagster",
        "password": "not-in-messages",
        "db_name": "dagster",
    }
    home = tmp_path / "dagster"
    home.mkdir()
    (home / "dagster.yaml").write_text(
        yaml.safe_dump({"storage": {"postgres": {"postgres_db": database}}})
    )
    settings = replace(Settings.from_environment(), dagster_home=home)
    with pytest.raises(
        OrchestratorUnavailable, match="cannot be used: too many retries"
    ) as refusal:
        list(examine_instance(settings, None))
    assert "not-in-messages" not in str(refusal.value)
