"""Workspaces of branches: nothing without their marker is taken or removed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import obstore
import pytest
from sqlalchemy import text

from mlops_assets.errors import Conflict
from mlops_assets.integrations.ci.branches import branch_name, branch_workspace
from mlops_assets.integrations.ci.workspaces import (
    Removal,
    claim,
    not_open,
    planned_removals,
    remove_workspace,
)
from mlops_assets.paths import BRANCH_MARKER
from mlops_assets.registry import Registry
from mlops_assets.registry.engine import open_engine
from mlops_assets_tests.registry.rows import data_version
from mlops_assets_tests.servers.buckets import Bucket


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "branches"


def _claimed(root: Path, branch: str) -> Path:
    found = branch_workspace(branch, root.as_uri(), "file:///production")
    claim(found, "file:///production")
    folder = root / branch_name(branch)
    (folder / "models").mkdir()
    (folder / "models" / "model.onnx").write_bytes(b"1")
    return folder


def _planned(root: Path, *open_branches: str) -> list[Removal]:
    return list(planned_removals(root.as_uri(), not_open(open_branches), root / "cache"))


def test_only_workspaces_of_closed_branches_are_removed(root: Path, tmp_path: Path) -> None:
    closed, still_open = _claimed(root, "feature/x"), _claimed(root, "feature/y")
    other = root / branch_name("no-marker")
    other.mkdir()
    (other / "data").write_text("kept")
    (root / "data").mkdir()
    moved = root / branch_name("moved")
    moved.mkdir()
    (moved / BRANCH_MARKER).write_text((still_open / BRANCH_MARKER).read_text())
    broken = root / branch_name("broken")
    broken.mkdir()
    (broken / BRANCH_MARKER).write_text("{")
    (root / branch_name("linked")).symlink_to(still_open)
    found = {each.name: each for each in _planned(root, "feature/y", "main")}
    assert {name: each.action for name, each in found.items()} == {
        closed.name: "remove",
        still_open.name: "keep",
        **{each: "leave" for each in found if each not in (closed.name, still_open.name)},
    }
    assert len(found) == 7
    remove_workspace(
        branch_workspace("feature/x", root.as_uri(), "file:///production"), tmp_path / "cache"
    )
    assert not closed.exists()
    assert (still_open / "models" / "model.onnx").exists()
    for branch in ("no-marker", "moved"):
        workspace = branch_workspace(branch, root.as_uri(), "file:///production")
        with pytest.raises(Conflict, match="is not the workspace of the branch"):
            remove_workspace(workspace, tmp_path / "cache")
    assert (other / "data").read_text() == "kept"


def test_a_remote_that_cannot_be_read_closes_no_branch(root: Path) -> None:
    _claimed(root, "feature/x")
    with pytest.raises(Conflict, match="no branch is open"):
        _planned(root)


def test_a_link_in_a_workspace_leads_nothing_else_into_the_removal(
    root: Path, tmp_path: Path
) -> None:
    folder = _claimed(root, "feature/x")
    outside = tmp_path / "production"
    outside.mkdir()
    (outside / "registry.db").write_text("kept")
    (folder / "link").symlink_to(outside)
    workspace = branch_workspace("feature/x", root.as_uri(), "file:///production")
    remove_workspace(workspace, tmp_path / "cache")
    assert (outside / "registry.db").read_text() == "kept"


def test_a_folder_with_other_things_is_not_claimed(root: Path) -> None:
    folder = root / branch_name("feature/x")
    folder.mkdir(parents=True)
    (folder / "registry.db").write_text("of somebody")
    with pytest.raises(Conflict, match=r"has no branch\.json but 'registry\.db'"):
        claim(branch_workspace("feature/x", root.as_uri(), "file:///p"), "file:///p")


@pytest.mark.services
def test_branches_of_a_bucket_have_schemas_that_do_not_see_each_other(
    s3: Bucket, new_database: Callable[[], str], tmp_path: Path
) -> None:
    database, root = new_database(), f"{s3.url}/ci"
    production = f"{s3.url}/production"
    registries = {}
    for branch in ("feature/x", "feature/y"):
        found = branch_workspace(branch, root, production, database)
        claim(found, production, tmp_path / "cache")
        claim(found, production, tmp_path / "cache")  # again, as each command does
        registries[branch] = Registry(str(found.registry))
    registries["feature/x"].publish_data_version(data_version(), [])
    assert registries["feature/y"].data_versions() == []
    # production may have its registry in the same database
    Registry(database).close()
    for each in registries.values():
        each.close()
    planned = list(planned_removals(root, not_open({"feature/y"}), tmp_path / "cache"))
    assert {each.branch: each.action for each in planned} == {
        "feature/x": "remove",
        "feature/y": "keep",
    }
    closed = branch_workspace("feature/x", root, production, database)
    remove_workspace(closed, tmp_path / "cache")
    keys = [entry["path"] for page in obstore.list(s3.store) for entry in page]
    assert keys == [f"ci/{branch_name('feature/y')}/{BRANCH_MARKER}"]
    engine = open_engine(database)
    with engine.connect() as connection:
        names = set(connection.scalars(text("SELECT schema_name FROM information_schema.schemata")))
    engine.dispose()
    kept = branch_workspace("feature/y", root, production, database).schema
    assert {name for name in names if name.startswith("ci_")} == {kept}
