"""The scripts of pipelines as they stand, in a git repository with a remote."""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import pytest

from mlops_assets.integrations.ci.branches import branch_name
from mlops_assets.integrations.ci.report import MARK
from mlops_assets.names import Reference
from mlops_assets.registry import Registry, open_registry
from mlops_assets_tests import interpreter
from mlops_assets_tests.deployments.ci.test_files import SCRIPTS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_200)]
GOOD, WORSE = "n_estimators: 20", "n_estimators: 1, max_depth: 1"
PLAN = """\
models:
  - name: samples_forest
    data: samples@ci
    gates:
      - {metric: accuracy, not_worse_than: production, tolerance: 0.05}
"""
EQUAL = "feature/`equal` @all"  # a branch may be called so
GONE = ("MLOPS_", "DAGSTER_", "GIT_", "CI")


@dataclass(frozen=True)
class Repository:
    """A project in a git repository, production in its workspace, and a bare remote."""

    root: Path

    @property
    def branches(self) -> Path:
        return self.root.parent / "branches"

    @property
    def declaration(self) -> Path:
        return self.root / "fieldwork" / "defs" / "samples" / "defs.yaml"

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(GONE)}
        identity = {
            f"GIT_{who}_{what}": f"tester{at}"
            for who in ("AUTHOR", "COMMITTER")
            for what, at in (("NAME", ""), ("EMAIL", "@example.org"))
        }
        scripts = sysconfig.get_path("scripts")
        return {
            **kept,
            **identity,
            "PATH": f"{scripts}{os.pathsep}{kept['PATH']}",
            "MLOPS_CI_ROOT": str(self.branches),
            "MLOPS_USER": "pipeline",
        }

    def git(self, *arguments: str) -> None:
        subprocess.run(
            ["git", *arguments], cwd=self.root, env=self.environment, check=True, timeout=60
        )

    def commit(self, branch: str, declaration: str) -> None:
        self.git("checkout", "--quiet", "-B", branch, "main")
        self.declaration.write_text(declaration)
        self.git("commit", "--quiet", "--allow-empty", "--all", "--message", f"Work on {branch}")
        self.git("push", "--quiet", "origin", branch)

    def run(self, script: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [f"ci/{script}"],
            cwd=self.root,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=900,
        )

    def versions(self) -> list[str]:
        return [row.version for row in self._registry.model_versions("samples_forest")]

    def production(self) -> str:
        return self._registry.aliases("samples_forest")["production"]

    @property
    def _registry(self) -> Registry:
        return open_registry(f"sqlite:///{self.root / 'workspace' / 'registry.db'}")


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    folder = tmp_path_factory.mktemp("ci")
    found = Repository(folder / "fieldwork")

    def mlops(*command: str, cwd: Path = found.root) -> None:
        done = interpreter.run(["mlops", *command], cwd, found.environment)
        assert done.returncode == 0, done.stdout + done.stderr

    mlops("init", str(found.root), cwd=folder)
    text = found.declaration.read_text()
    assert "n_estimators: 300" in text
    found.declaration.write_text(text.replace("n_estimators: 300", GOOD))
    (found.root / "ci.yaml").write_text(PLAN)
    shutil.copytree(SCRIPTS, found.root / "ci")
    mlops("dataset", "commit", "samples", "--tag", "ci")
    mlops("train", "samples_forest")
    mlops("model", "promote", "samples_forest")
    subprocess.run(["git", "init", "--quiet", "--bare", folder / "remote.git"], check=True)
    found.git("init", "--quiet", "--initial-branch", "main")
    found.git("remote", "add", "origin", str(folder / "remote.git"))
    found.git("add", "--all")
    found.git("commit", "--quiet", "--message", "Add the project")
    found.git("push", "--quiet", "origin", "main")
    return found


def test_an_equal_model_passes_and_a_worse_one_does_not(repository: Repository) -> None:
    good = repository.declaration.read_text()
    before = repository.versions(), repository.production()
    repository.commit("feature/equal", good)
    passed = repository.run("merge-request.sh", MLOPS_CI_BRANCH=EQUAL, MLOPS_CI_COMMIT="1a2b3c")
    assert passed.returncode == 0, passed.stdout + passed.stderr
    report = (repository.root / "ci-results" / "comment.md").read_text()
    assert report.startswith(f"{MARK}\n\n## Models: passed\n")
    assert "`samples@v1 of production`" in report
    assert f"| `samples_forest` | passed | `samples@v1` | `{_trained(repository, EQUAL)}`" in report
    assert "| `accuracy not worse than production (tolerance 0.05)` | passed |" in report
    assert "#### Metrics" in report
    repository.commit("worse", good.replace(GOOD, WORSE))
    failed = repository.run("merge-request.sh", MLOPS_CI_BRANCH="worse")
    assert failed.returncode == 1, failed.stdout + failed.stderr
    report = (repository.root / "ci-results" / "report.md").read_text()
    assert "## Models: failed" in report
    assert "not worse than production (tolerance 0.05)` | **failed** |" in report
    # production was only read
    assert (repository.versions(), repository.production()) == before


def test_a_branch_that_is_called_like_an_option_passes_no_gate(tmp_path: Path) -> None:
    done = subprocess.run(
        ["bash", "-c", '. "$0"; in_branch sh -c "exit 3"', str(SCRIPTS / "stages.sh")],
        cwd=tmp_path,
        env=Repository(tmp_path / "project").environment | {"MLOPS_CI_BRANCH": "--help"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 3, done.stdout + done.stderr


def test_a_wrong_declaration_fails_with_its_file_and_line(repository: Repository) -> None:
    good = _main(repository)
    repository.commit("wrong", good.replace("task: classification", "task: clasification"))
    done = repository.run("merge-request.sh", MLOPS_CI_BRANCH="wrong")
    assert done.returncode == 1
    report = (repository.root / "ci-results" / "comment.md").read_text()
    assert "Stages that have failed: `validate`." in report
    line = good[: good.index("task:")].count("\n") + 1
    assert f"defs/samples/defs.yaml:{line} - " in report
    assert "'clasification' is not one of" in report


def test_main_trains_a_tag_promotes_and_closed_branches_go(repository: Repository) -> None:
    _main(repository)
    before = repository.versions()
    done = repository.run("main.sh")
    assert done.returncode == 0, done.stdout + done.stderr
    (new,) = set(repository.versions()) - set(before)
    assert repository.production() != new
    wrong = repository.run("tag.sh", MLOPS_CI_TAG="model-samples_forest-v9-00000000")
    assert wrong.returncode == 1
    assert "samples_forest@v9-00000000 is not known" in wrong.stderr
    done = repository.run("tag.sh", MLOPS_CI_TAG=f"model-samples_forest-{new}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert repository.production() == new
    # of a branch that is still there, and of one that was merged
    for branch in ("kept", "closed"):
        made = subprocess.run(
            ["mlops", "ci", "exec", branch, "--", "mlops", "--version"],
            cwd=repository.root,
            env=repository.environment,
            check=False,
        )
        assert made.returncode == 0
    repository.git("push", "--quiet", "origin", "main:kept")
    closed = repository.branches / branch_name("closed")
    dry = repository.run("clean-up.sh", MLOPS_CI_DRY_RUN="1")
    assert (dry.returncode, closed.exists()) == (0, True)
    assert "nothing was removed" in dry.stdout
    unreachable = repository.run("clean-up.sh", MLOPS_CI_REMOTE="/nowhere.git")
    assert (unreachable.returncode != 0, closed.exists()) == (True, True)
    done = repository.run("clean-up.sh")
    assert (done.returncode, closed.exists()) == (0, False)
    assert (repository.branches / branch_name("kept")).is_dir()


def _main(repository: Repository) -> str:
    repository.git("checkout", "--quiet", "--force", "main")
    return repository.declaration.read_text()


def _trained(repository: Repository, branch: str) -> str:
    database = repository.branches / branch_name(branch) / "registry.db"
    registry = open_registry(f"sqlite:///{database}")
    return registry.model_version(Reference("samples_forest")).version
