"""The files for git platforms: their schemas, and the scripts that post a report."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
import yaml

from mlops_assets.integrations.ci.report import MARK
from mlops_assets_tests.services import require_script

CI = Path(__file__).resolve().parents[3] / "deployments" / "ci"
SCRIPTS = CI / "scripts"
FILES = {
    "vendor.gitlab-ci": CI / "gitlab" / ".gitlab-ci.yml",
    "vendor.github-workflows": CI / "github" / "workflows" / "mlops.yml",
    "vendor.azure-pipelines": CI / "azure" / "azure-pipelines.yml",
}


@pytest.mark.parametrize("schema", FILES)
def test_a_file_is_valid_by_the_schema_of_its_platform(schema: str) -> None:
    program = require_script("check-jsonschema")
    # as the hook of check-jsonschema for Azure has it, whose schema has all values as text
    azure = ["--data-transform", "azure-pipelines", "--regex-variant", "nonunicode"]
    options = azure if "azure" in schema else []
    done = subprocess.run(
        [program, "--builtin-schema", schema, *options, FILES[schema]],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_github_gives_each_job_what_it_needs_only_and_forks_nothing() -> None:
    document = yaml.safe_load(FILES["vendor.github-workflows"].read_text())
    assert document["permissions"] == {}
    assert "pull_request_target" not in document[True]  # 'on' of YAML 1.1
    writing = {
        name: job["permissions"]
        for name, job in document["jobs"].items()
        if "write" in job["permissions"].values()
    }
    assert writing == {"merge-request": {"contents": "read", "pull-requests": "write"}}
    assert "head.repo.full_name == github.repository" in document["jobs"]["merge-request"]["if"]
    for job in document["jobs"].values():
        assert job["timeout-minutes"]
        assert job["concurrency"]
        # values that people choose would be code there
        assert not any("${{" in step.get("run", "") for step in job["steps"])


def test_each_platform_runs_every_script() -> None:
    names = {path.name for path in SCRIPTS.glob("*.sh")} - {"stages.sh"}
    for platform, path in FILES.items():
        own = platform.removeprefix("vendor.").partition("-")[0]
        others = {f"post-report-{name}.sh" for name in ("github", "gitlab", "azure")} - {
            f"post-report-{own}.sh"
        }
        text = path.read_text()
        assert [name for name in sorted(names - others) if f"ci/{name}" not in text] == []
        assert not any(name in text for name in others)


NOTES = [{"id": 1, "body": "a note"}, {"id": 7, "body": f"{MARK}\n\nold"}]
THREADS = {
    "value": [
        {"id": 3, "comments": [{"id": 1, "content": "x"}]},
        {"id": 5, "comments": [{"id": 2, "content": f"{MARK} old"}]},
    ]
}


@pytest.mark.parametrize(
    ("platform", "program", "reply", "calls"),
    [
        (
            "github",
            "gh",
            "",
            ["pr comment 12 --body-file R/comment.md --edit-last --create-if-none"],
        ),
        (
            "gitlab",
            "glab",
            "[]",
            [
                "api --paginate projects/4/merge_requests/12/notes?sort=asc&per_page=100",
                "mr note create 12 < # report",
            ],
        ),
        # two pages follow each other
        (
            "gitlab",
            "glab",
            json.dumps(NOTES[:1]) + json.dumps(NOTES[1:]),
            [
                "api --paginate projects/4/merge_requests/12/notes?sort=asc&per_page=100",
                "mr note update 12 7 < # report",
            ],
        ),
        ("azure", "curl", '{"value": []}', ["threads?api-version=7.1", "POST"]),
        (
            "azure",
            "curl",
            json.dumps(THREADS),
            ["threads?api-version=7.1", "PATCH", "threads/5/comments/2?api-version=7.1"],
        ),
    ],
)
def test_a_report_is_posted_once_and_then_updated(
    tmp_path: Path, platform: str, program: str, reply: str, calls: list[str]
) -> None:
    results = tmp_path / "R"
    results.mkdir()
    (results / "comment.md").write_text("# report")
    (tmp_path / "reply").write_text(reply)
    _program(tmp_path / program, tmp_path)
    done = subprocess.run(
        [SCRIPTS / f"post-report-{platform}.sh"],
        env={
            "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
            "MLOPS_CI_RESULTS": "R",
            "MLOPS_CI_MERGE_REQUEST": "12",
            "MLOPS_CI_PROJECT": "4",
            "MLOPS_CI_REPOSITORY": "https://dev.example.org/o/p/_apis/git/repositories/r",
            "SYSTEM_ACCESSTOKEN": "a-token",
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    made = (tmp_path / "calls").read_text()
    places = [made.find(call) for call in calls]
    assert -1 not in places, made
    assert places == sorted(places)
    if platform == "azure":
        assert "a-token" not in made
        body = json.loads((results / "comment.json").read_text())
        comment = body["comments"][0] if "comments" in body else body
        assert comment["content"] == "# report"


def test_the_scripts_are_programs_in_strict_mode() -> None:
    bash = shutil.which("bash") or "bash"
    for path in SCRIPTS.glob("*.sh"):
        subprocess.run([bash, "-n", path], check=True)
        if path.name != "stages.sh":
            assert path.stat().st_mode & stat.S_IXUSR
            assert "stages.sh" in path.read_text()
    assert "set -euo pipefail" in (SCRIPTS / "stages.sh").read_text()


def _program(path: Path, folder: Path) -> None:
    """Write a program that records its arguments and stdin, and answers with a file."""
    path.write_text(
        "#!/bin/bash\n"
        f'printf "%s" "$*" >>{folder}/calls\n'
        # the options of curl on stdin have the token
        f'case "$*" in *--config*) cat >/dev/null;; *note*) printf " < " >>{folder}/calls;'
        f" case $3 in create|update) cat >>{folder}/calls;; esac;; esac\n"
        f"echo >>{folder}/calls\ncat {folder}/reply\n"
    )
    path.chmod(0o755)
