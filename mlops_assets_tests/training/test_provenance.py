"""The provenance of a run.

It has the code version with and without git, the environment, the machine, and the process.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mlops_assets.training.provenance import (
    code_version,
    environment,
    hardware,
    process_alive,
    repository_url,
)

SOURCE, COMMIT = re.compile(r"source\.[0-9a-f]{12}"), re.compile(r"[0-9a-f]{12}")
DIRTY = re.compile(r"[0-9a-f]{12}\+dirty\.[0-9a-f]{8}")


@pytest.fixture
def trainer(tmp_path: Path) -> Path:
    path = tmp_path / "project" / "training" / "trainer.py"
    path.parent.mkdir(parents=True)
    path.write_text("epochs = 1\n")
    return path


@pytest.fixture
def git(trainer: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Run git in a new repository around the trainer, whatever git is set to on this machine."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")

    def run(*arguments: str) -> str:
        command = ["git", "-c", "user.name=t", "-c", "user.email=t@t", *arguments]
        done = subprocess.run(
            command, cwd=trainer.parents[1], check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    run("init", "-q")
    return run


@pytest.fixture
def committed(git: Callable[..., str]) -> str:
    git("add", ".")
    git("commit", "-qm", "first")
    return git("rev-parse", "--short=12", "HEAD")


def test_a_clean_repository_gives_its_commit(trainer: Path, committed: str) -> None:
    assert code_version(trainer) == committed
    assert COMMIT.fullmatch(committed)
    trainer.with_name("notes.txt").write_text("untracked")
    assert code_version(trainer) == committed


def test_a_new_commit_is_a_new_code_version(
    trainer: Path, committed: str, git: Callable[..., str]
) -> None:
    trainer.write_text("epochs = 2\n")
    git("commit", "-qam", "second")
    assert code_version(trainer) == git("rev-parse", "--short=12", "HEAD") != committed


@pytest.mark.parametrize("staged", [False, True])
def test_changes_that_are_not_committed_show(
    staged: bool, trainer: Path, committed: str, git: Callable[..., str]
) -> None:
    found = []
    for epochs in (2, 3):
        trainer.write_text(f"epochs = {epochs}\n")
        if staged:
            git("add", ".")
        found.append(code_version(trainer))
        assert DIRTY.fullmatch(found[-1]) and found[-1].startswith(committed)
    assert found[0] != found[1]
    trainer.write_text("epochs = 2\n")
    assert code_version(trainer) == found[0]


def test_changes_elsewhere_in_the_repository_show(trainer: Path, git: Callable[..., str]) -> None:
    library = trainer.parents[1] / "library.py"
    library.write_text("a = 1\n")
    git("add", ".")
    git("commit", "-qm", "first")
    assert COMMIT.fullmatch(code_version(trainer))
    library.write_text("a = 2\n")
    assert DIRTY.fullmatch(code_version(trainer))


def test_a_changed_file_in_another_encoding_does_no_harm(
    trainer: Path, git: Callable[..., str]
) -> None:
    notes = trainer.with_name("notes.txt")
    notes.write_bytes("Ackerfläche\n".encode("latin-1"))
    git("add", ".")
    git("commit", "-qm", "first")
    notes.write_bytes("Waldfläche\n".encode("latin-1"))
    assert DIRTY.fullmatch(code_version(trainer))


def test_a_trainer_that_git_does_not_know_is_known_by_its_source(
    trainer: Path, git: Callable[..., str]
) -> None:
    assert SOURCE.fullmatch(code_version(trainer))  # no commit yet
    (trainer.parents[1] / "README").write_text("")
    git("add", "README")
    git("commit", "-qm", "first")
    assert SOURCE.fullmatch(code_version(trainer))  # trainer untracked


def test_without_a_repository_the_source_is_the_code_version(trainer: Path) -> None:
    found = code_version(trainer)
    assert SOURCE.fullmatch(found) and code_version(trainer) == found
    trainer.write_text("epochs = 2\n")
    changed = code_version(trainer)
    assert changed != found
    trainer.with_name("network.py").write_text("")
    assert code_version(trainer) not in (found, changed)
    assert len({found, changed, code_version(trainer)}) == 3


def test_without_git_the_source_is_the_code_version(
    trainer: Path, committed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_git = code_version(trainer)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert SOURCE.fullmatch(code_version(trainer)) and with_git == committed


def test_moving_a_folder_does_not_change_its_source(trainer: Path, tmp_path: Path) -> None:
    found = code_version(trainer)
    trainer.parents[1].rename(tmp_path / "moved")
    assert code_version(tmp_path / "moved" / "training" / "trainer.py") == found


def test_environment_names_python_and_packages() -> None:
    found: dict[str, Any] = environment()
    assert re.fullmatch(r"3\.\d+\.\d+.*", found["python"])
    assert {"numpy", "torch", "scikit-learn", "mlops-assets"} <= found["packages"].keys()


def test_hardware_names_the_machine_and_how_it_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MKL_CBWR", "COMPATIBLE")
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    found: dict[str, Any] = hardware("pytorch")
    assert (
        found["host"] == socket.gethostname()
        and found["cpus"] >= 1
        and isinstance(found["gpus"], list)
    )
    assert found["cpu"] in Path("/proc/cpuinfo").read_text()
    assert found["instructions"]["pytorch"] == torch.backends.cpu.get_cpu_capability()
    assert found["threads"]["pytorch"] == torch.get_num_threads()
    assert {"numpy", "openblas"} <= found["instructions"].keys()
    assert found["variables"]["MKL_CBWR"] == "COMPATIBLE"
    assert "ONEDNN_MAX_CPU_ISA" not in found["variables"]


def test_hardware_is_recorded_without_pytorch() -> None:
    program = (
        "import json, sys\n"
        "from mlops_assets.training.provenance import hardware\n"
        "found = hardware('scikit-learn')\n"
        "print(json.dumps([found, 'torch' in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    found, loaded = json.loads(done.stdout)
    assert not loaded
    assert "pytorch" not in found["instructions"] and "pytorch" not in found["threads"]


def test_a_process_is_alive_until_it_ends_and_elsewhere_for_all_we_know() -> None:
    process = subprocess.Popen(["sleep", "60"])
    try:
        assert process_alive(socket.gethostname(), process.pid)
    finally:
        process.kill()
        process.wait()
    assert not process_alive(socket.gethostname(), process.pid)
    assert process_alive("another-machine", process.pid)


@pytest.mark.parametrize(
    ("remote", "recorded"),
    [
        ("https://example.org/eo/trainers.git", "https://example.org/eo/trainers.git"),
        ("https://t0ken@example.org/eo/trainers.git", "https://example.org/eo/trainers.git"),
        ("https://me:s3cret@example.org/trainers", "https://example.org/trainers"),
        ("git@example.org:eo/trainers.git", "git@example.org:eo/trainers.git"),
    ],
)
def test_a_repository_is_recorded_without_credentials(
    remote: str, recorded: str, trainer: Path, git: Callable[..., str]
) -> None:
    assert repository_url(trainer.parent) is None
    git("remote", "add", "origin", remote)
    assert repository_url(trainer.parent) == recorded
