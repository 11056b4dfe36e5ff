"""The contract of every workspace, whatever store it is on.

The stores are a folder, S3, Azure Blob and Google Cloud Storage.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops_assets.errors import IntegrityError
from mlops_assets.storage import Workspace
from mlops_assets.testing.workspaces import WorkspaceContract
from mlops_assets_tests.servers.buckets import Bucket


class TestWorkspace(WorkspaceContract):
    @pytest.fixture(
        params=[
            "file",
            *(pytest.param(name, marks=pytest.mark.services) for name in ("s3", "az", "gs")),
        ]
    )
    def workspace(self, request: pytest.FixtureRequest, tmp_path: Path) -> Workspace:
        if request.param == "file":
            return Workspace((tmp_path / "my workspace").as_uri())
        return Workspace(request.getfixturevalue(request.param).url, tmp_path / "cache")


def test_a_copy_that_is_not_as_it_was_published_is_refused_and_not_kept(
    s3: Bucket, tmp_path: Path
) -> None:
    workspace = Workspace(s3.url, tmp_path / "cache")
    stat = workspace.put("a", b"abc")
    workspace.put("a", b"abd")
    with pytest.raises(IntegrityError, match=r"a in s3://.* is not as it was published"):
        workspace.local_path("a", stat.sha256)
    workspace.put("a", b"abc")
    assert workspace.local_path("a", stat.sha256).read_bytes() == b"abc"
    assert [path.name for path in workspace.cache.rglob("*.scratch")] == []


def test_a_copy_that_was_changed_is_fetched_again(s3: Bucket, tmp_path: Path) -> None:
    file = Workspace(s3.url, tmp_path / "cache").put("a.bin", b"content")
    kept = Workspace(s3.url, tmp_path / "cache").local_path("a.bin", file.sha256)
    kept.write_bytes(b"changed")
    assert (
        Workspace(s3.url, tmp_path / "cache").local_path("a.bin", file.sha256).read_bytes()
        == b"content"
    )
