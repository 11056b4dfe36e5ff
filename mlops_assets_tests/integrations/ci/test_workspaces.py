"""Workspaces of branches: nothing without their marker is taken or removed."""

from __future__ import annotations

from pathlib import Path

import pytest

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
