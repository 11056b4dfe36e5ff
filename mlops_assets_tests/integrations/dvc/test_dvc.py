"""A repository that DVC itself made, with its remote in a folder or a bucket."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from mlops_assets.datasets.commit.commit import commit
from mlops_assets.integrations.dvc.landing import landing_of_revision
from mlops_assets.store import Store
from mlops_assets_tests.conftest import crops_table, table_specification
from mlops_assets_tests.servers.buckets import Bucket
from mlops_assets_tests.services import require_dvc

pytestmark = [pytest.mark.services, pytest.mark.slow]


@pytest.mark.parametrize("where", ["folder", "bucket"])
def test_a_repository_made_by_dvc_is_imported(
    store: Store,
    tmp_path: Path,
    where: str,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    programs = require_dvc()
    environment = {
        **os.environ,
        "HOME": str(tmp_path / "home"),
        "DVC_SITE_CACHE_DIR": str(tmp_path / "site"),
        "DVC_NO_ANALYTICS": "1",
        "PATH": f"{programs}:{os.environ['PATH']}",
    }
    bucket: Bucket | None = request.getfixturevalue("s3") if where == "bucket" else None
    if bucket is not None:
        environment |= bucket.server.environment
    repository = tmp_path / "repository"
    repository.mkdir()

    def run(*command: str) -> None:
        who = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
        given = ["git", *who, *command[1:]] if command[0] == "git" else list(command)
        done = subprocess.run(
            given, cwd=repository, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr

    run("git", "init", "--quiet")
    run("dvc", "init", "--quiet")
    run("dvc", "config", "core.analytics", "false")
    run("dvc", "remote", "add", "--default", "here", bucket.url if bucket else "../storage")
    if bucket is not None:
        run("dvc", "remote", "modify", "here", "endpointurl", bucket.server.endpoint)
        monkeypatch.setenv("MLOPS_TRUSTED_SOURCES", "s3://" + bucket.url.split("/")[2])
    data = repository / "data"
    data.mkdir()
    for seed in range(2):
        crops_table(seed=seed).to_csv(data / f"{seed}.csv", index=False)
        run("dvc", "add", "--quiet", "data")
        run("git", "add", "--all")
        run("git", "commit", "--quiet", "--message", f"season {seed}")
        run("git", "tag", f"season-{seed}")
        run("dvc", "push", "--quiet")
    # a stage of a pipeline as well
    copied = "import shutil; shutil.copytree('data', 'copied')"
    python = str(programs / "python")
    run(
        *("dvc", "stage", "add", "--quiet", "--run", "--name", "copy", "--outs", "copied"),
        f'{python} -c "{copied}"',
    )
    run("git", "add", "--all")
    run("git", "commit", "--quiet", "--message", "copy")
    run("dvc", "push", "--quiet")
    # what is imported comes from the remote
    (repository / ".dvc" / "cache").rename(tmp_path / "cache")

    contents = {}
    for rev, path in (("season-0", "data"), ("season-1", "data"), ("HEAD", "copied")):
        made = landing_of_revision(str(repository), rev, path)
        found = commit(store.workspace, store.registry, table_specification(), made=made)
        contents[rev] = (found.version.version, found.version.files, found.version.samples)
    assert contents == {
        "season-0": ("v1", 1, 300),
        "season-1": ("v2", 2, 600),
        "HEAD": ("v2", 2, 600),
    }
