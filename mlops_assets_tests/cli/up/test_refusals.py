"""What `mlops up` refuses before it starts anything."""

from __future__ import annotations

import importlib.util
import socket
from pathlib import Path

import pytest
from filelock import FileLock

from mlops_assets.cli.up import services
from mlops_assets_tests.cli.conftest import Mlops


@pytest.fixture(autouse=True)
def _nothing_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(*_arguments: object) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr(services, "start_child", start)


@pytest.fixture
def port() -> int:
    """A port that is free."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_port_in_use_is_named_with_another(project: Path, mlops: Mlops) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        outcome = mlops("up", "--port", str(port))
    assert outcome.code == 1
    assert f"error: port {port} cannot be used: Address already in use; choose" in outcome.err


def test_a_second_one_on_the_same_home_is_refused(project: Path, mlops: Mlops, port: int) -> None:
    home = project / "workspace" / "dagster"
    with FileLock(home / "up.lock"):
        outcome = mlops("up", "--port", str(port))
    assert outcome.code == 1
    assert f"another 'mlops up' is running on the Dagster home {home}" in outcome.err


def test_a_home_that_cannot_be_written_is_named(
    project: Path, mlops: Mlops, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "file").touch()
    monkeypatch.setenv("DAGSTER_HOME", str(project / "file" / "home"))
    outcome = mlops("up", "--port", str(port))
    assert (outcome.code, outcome.err.count("\n")) == (1, 1)
    assert f"{project / 'file' / 'home'} cannot be written: Not a directory" in outcome.err


def test_a_web_server_that_is_not_installed_is_named(
    project: Path, mlops: Mlops, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name: None if name == "dagster_webserver" else find(name),
    )
    outcome = mlops("up")
    assert (outcome.code, "pip install dagster-webserver" in outcome.err) == (1, True)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("import no_such_package\n", "No module named 'no_such_package'"),
        ("defs = 1 +\n", "SyntaxError: invalid syntax (definitions.py, line 1)"),
        ("defs = open('/nonexistent')\n", "No such file or directory: '/nonexistent'"),
    ],
)
def test_a_project_that_cannot_be_loaded_is_one_error(
    project: Path, mlops: Mlops, port: int, content: str, reason: str
) -> None:
    (project / "fieldwork" / "definitions.py").write_text(content)
    outcome = mlops("up", "--port", str(port))
    assert (outcome.code, "Traceback" in outcome.err) == (1, False)
    assert "fieldwork.definitions cannot be loaded" in outcome.err and reason in outcome.err
