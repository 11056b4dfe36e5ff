"""No secret of a URL is printed or kept: one in each is looked for wherever text comes out."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import make_url

from mlops_assets.errors import SettingsError
from mlops_assets.registry import open_registry
from mlops_assets.text.secret_urls import redacted
from mlops_assets_tests import interpreter

CANARY = "c4n4ry"
SCRIPT = "import sys; from mlops_assets.cli import main; main()"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (
            f"postgresql+psycopg://me:{CANARY}@host:5432/db",
            "postgresql+psycopg://me:***@host:5432/db",
        ),
        (f"postgresql://me:{CANARY}/%40@{CANARY}@host/db", "postgresql://me:***@host/db"),
        (f"postgresql://me:12/{CANARY}@host/db", "postgresql://me:***@host/db"),
        (f"postgresql://:{CANARY}@/db?host=/run", "postgresql://:***@/db?host=/run"),
        (
            f"postgresql://host/db?sslpassword={CANARY}&x=1",
            "postgresql://host/db?sslpassword=***&x=1",
        ),
        (f"https://host/a?X-Amz-Signature={CANARY}#b", "https://host/a?X-Amz-Signature=***#b"),
        (f"https://x.blob/a?sv=1&sig={CANARY}", "https://x.blob/a?sv=1&sig=***"),
        (f"a http://u:{CANARY}@h/ and s3://k:{CANARY}@b", "a http://u:***@h/ and s3://k:***@b"),
        ("http://127.0.0.1:8080/models/crops@v1", "http://127.0.0.1:8080/models/crops@v1"),
        ("sqlite:////folder/registry.db", "sqlite:////folder/registry.db"),
        ("https://me@host/path?design=1", "https://me@host/path?design=1"),
    ],
)
def test_what_opens_a_url_is_hidden_and_the_rest_is_not(url: str, expected: str) -> None:
    assert redacted(url) == expected


@pytest.mark.parametrize("part", ["s3://x/?", "//a:", "postgresql://a:", "?a&sig"])
def test_a_long_text_of_others_is_read_once(part: str) -> None:
    """Each part begins what may be a secret; read to the end from each it would take minutes."""
    text = f"{part * 100_000} @"
    assert redacted(text) == text


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql+psycopg://me:ab@cd:{CANARY}/ef@host/db",
        f"postgresql://me:{CANARY}@host:port/db",
        # the driver of this database is not installed
        f"mysql://me:{CANARY}@host/db",
        CANARY,
    ],
)
def test_no_part_of_an_invalid_registry_url_is_in_the_message(url: str) -> None:
    with pytest.raises(SettingsError, match="cannot be read: write it as") as failure:
        open_registry(url)
    assert CANARY not in "".join(traceback.format_exception(failure.value, chain=True))


COMMANDS = (["dataset", "list"], ["status"], ["doctor"])


@pytest.mark.parametrize(
    "settings",
    [
        {"MLOPS_REGISTRY": f"postgresql+psycopg://me:{CANARY}@127.0.0.1:1/db"},
        {"MLOPS_REGISTRY": f"postgresql+psycopg:/me:{CANARY}@127.0.0.1/db"},
        {"MLOPS_REGISTRY": f"nothing://me:{CANARY}@127.0.0.1/db"},
        {"MLOPS_WORKSPACE": f"s3://key:{CANARY}@bucket"},
        {"MLOPS_WORKSPACE": f"ftp://me:{CANARY}@host/x"},
        {"MLOPS_MLFLOW": f"ftp://me:{CANARY}@host"},
    ],
)
def test_errors_of_settings_hide_secrets(settings: dict[str, str], tmp_path: Path) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "MLOPS_USER": "tester",
        **settings,
    }
    for command in COMMANDS:
        for options in ([], ["--debug"]):
            done = interpreter.run(["-c", SCRIPT, *options, *command], tmp_path, environment)
            assert CANARY not in done.stdout + done.stderr, (options, command)


@pytest.mark.slow
def test_no_secret_is_left_by_a_whole_life(new_database: Callable[[], str], tmp_path: Path) -> None:
    registry = make_url(new_database()).set(password=CANARY).render_as_string(hide_password=False)
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "MLOPS_USER": "tester",
        "TMPDIR": str(temporary),
        "MLOPS_REGISTRY": registry,
        "AWS_SECRET_ACCESS_KEY": CANARY,
        "MLOPS_API_TOKEN": CANARY,
    }
    printed = ""
    for command in (
        ["init", "project"],
        ["dataset", "commit", "samples"],
        ["train", "samples_forest"],
        ["status"],
        ["doctor"],
        ["model", "verify", "samples_forest"],
        ["run", "list", "--json"],
    ):
        folder = tmp_path if command[0] == "init" else tmp_path / "project"
        done = interpreter.run(["-c", SCRIPT, *command], folder, environment)
        assert done.returncode == 0 or command == ["doctor"], done.stderr
        printed += done.stdout + done.stderr
    assert CANARY not in printed
    files = [path for path in tmp_path.rglob("*") if path.is_file() and not path.is_symlink()]
    assert len(files) > 50
    assert [path for path in files if CANARY.encode() in path.read_bytes()] == []
