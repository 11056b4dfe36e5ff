"""`mlops doctor` where something is wrong: each row that can be checked is there, with a remedy."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import create_engine, update

from mlops_assets.paths import PROBES
from mlops_assets.registry.schema import SchemaRevision
from mlops_assets.settings import Settings
from mlops_assets.upkeep.doctor import Finding, examine_registry, examine_workspace
from mlops_assets.upkeep.doctor.finding import WARNING, clock
from mlops_assets_tests.cli.conftest import Mlops
from mlops_assets_tests.servers.buckets import Bucket

NOW = datetime(2026, 11, 30, tzinfo=UTC)
pytestmark = pytest.mark.usefixtures("restored_environment")


def rows_of(mlops: Mlops) -> dict[str, dict[str, object]]:
    """Return the rows of a doctor that finds something wrong, by what was checked."""
    outcome = mlops("doctor", "--json")
    assert outcome.code == 1
    return {row["what"]: row for row in outcome.json}


def test_a_registry_that_is_down_leaves_all_other_rows(
    project: Path, mlops: Mlops, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "postgresql+psycopg://ann:hunter2@127.0.0.1:9/registry?connect_timeout=2"
    monkeypatch.setenv("MLOPS_REGISTRY", url)
    rows = rows_of(mlops)
    assert not rows["registry"]["well"]
    assert "check MLOPS_REGISTRY, that the server runs" in str(rows["registry"]["detail"])
    assert "hunter2" not in str(rows)
    assert {"workspace", "disk", "python", "dagster home"} <= {
        what for what, row in rows.items() if row["well"]
    }


def test_a_secret_that_is_not_mounted_is_a_row(
    project: Path, mlops: Mlops, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_CONFIG", str(project / "missing"))
    rows = rows_of(mlops)
    assert "mount the Secret there" in str(rows["configuration"]["detail"])
    # once, and that nothing else was looked at
    assert "mount the Secret there" not in str(rows["settings"]["detail"])
    assert "registry, disks, keys, Dagster and project were not checked" in str(
        rows["settings"]["detail"]
    )
    assert rows["python"]["well"]


def test_the_source_of_settings_is_named_without_values(
    project: Path, mlops: Mlops, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = project / "secret"
    folder.mkdir()
    (folder / "MLOPS_API_TOKEN").write_text("hunter2-hunter2-hunter2-hunter2")
    (folder / "bukcet").write_text("misspelt")
    monkeypatch.setenv("MLOPS_CONFIG", str(folder))
    outcome = mlops("doctor")
    assert f"{folder}: MLOPS_API_TOKEN" in outcome.out
    assert "bukcet: not a name that is read" in outcome.out
    assert "hunter2" not in outcome.out


@pytest.mark.parametrize(
    ("revision", "message"), [("9999", "install the newest release"), ("0007", "'mlops migrate'")]
)
def test_another_schema_is_reported_and_not_changed(
    project: Path, mlops: Mlops, revision: str, message: str
) -> None:
    assert mlops("status").code == 0
    settings = Settings.from_environment()
    list(examine_registry(settings.registry))
    assert mlops("doctor").code == 0
    engine = create_engine(settings.registry)
    with engine.begin() as connection:
        connection.execute(update(SchemaRevision).values(version_num=revision))
    rows = rows_of(mlops)
    assert message in str(rows["schema"]["detail"])
    with engine.connect() as connection:
        found = connection.execute(SchemaRevision.__table__.select()).scalar_one()
    assert found == revision
    engine.dispose()


@pytest.mark.parametrize(("seconds", "well"), [(29, True), (31, False), (-29, True), (-31, False)])
def test_a_clock_may_differ_as_much_as_tokens_allow(seconds: int, well: bool) -> None:
    assert clock("clock", NOW + timedelta(seconds=seconds), NOW, NOW).well is well


def test_rights_in_a_bucket_are_tried_and_nothing_is_left(
    s3: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings.from_environment(
        {"MLOPS_WORKSPACE": f"{s3.url}/space", "MLOPS_REGISTRY": "sqlite://"}
    )
    found = {finding.what: finding for finding in examine_workspace(settings)}
    assert found["workspace"].detail.endswith("write, read, list, delete")
    assert found["clock of the workspace"].well
    assert s3.paths() == []

    def refused(*_: object) -> None:
        raise PermissionError("no")

    monkeypatch.setattr("obstore.delete", refused)
    denied = [finding for finding in examine_workspace(settings) if not finding.well]
    assert len(denied) == 1
    assert "cannot delete: probes/" in denied[0].detail
    assert len(s3.paths(f"space/{PROBES}")) == 1
    monkeypatch.setattr("obstore.put", refused)
    detail = [finding.detail for finding in examine_workspace(settings) if not finding.well]
    assert len(detail) == 1
    assert "cannot write: probes/" in detail[0]


def test_plain_http_to_another_machine_is_warned_of(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from mlops_assets.upkeep.doctor.workspace import _transport

    def warned(endpoint: str) -> list[Finding]:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        return list(_transport("s3://bucket"))

    assert warned("http://127.0.0.1:9000") == warned("https://minio.example") == []
    (found,) = warned("http://minio.example:9000")
    assert found.well and found.detail.startswith(WARNING)


def test_what_stops_every_command_is_reported_although_each_part_is_well(
    project: Path, mlops: Mlops, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_CACHE", "shared")
    mlops("log", "head")
    monkeypatch.setenv("MLOPS_WORKSPACE", "another")
    assert "set MLOPS_CACHE" in mlops("log", "head").err
    rows = rows_of(mlops)
    assert rows["workspace"]["well"] and rows["registry"]["well"]
    assert "set MLOPS_CACHE" in str(rows["workspace and registry"]["detail"])
