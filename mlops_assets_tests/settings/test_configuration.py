"""Mounted Secrets as a source of settings: precedence, changes, and what is refused."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mlops_assets.errors import SettingsError
from mlops_assets.settings import (
    Settings,
    branch_settings,
    configuration_names,
    current_environment,
    git_webhooks_file,
    gpu_image,
    gpu_label,
    read_configuration,
    secret_variable,
    step_account,
)
from mlops_assets.settings.configuration import APPLIED, FILES, VARIABLES

SECRET = "hunter2-not-to-be-printed"
pytestmark = pytest.mark.usefixtures("restored_environment")


@pytest.fixture
def secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as Kubernetes mounts a Secret: links into a folder that is replaced as a whole."""
    mount = tmp_path / "etc-mlops"
    mount.mkdir()
    monkeypatch.setenv("MLOPS_CONFIG", str(mount))
    return mount


def mounted(mount: Path, **values: str) -> None:
    """Mount values, or replace those that are mounted, as the kubelet does."""
    number = len(list(mount.iterdir()))
    data = mount / f"..{number}"
    data.mkdir()
    for name, value in values.items():
        (data / name.replace("__", ".")).write_text(value)
    link = mount / "..new"
    link.symlink_to(data.name)
    link.replace(mount / "..data")
    for old in mount.iterdir():
        if not old.name.startswith("..") and not old.exists():
            old.unlink()
    for file in data.iterdir():
        target = mount / file.name
        if not target.is_symlink():
            target.symlink_to(f"..data/{file.name}")


def test_a_mounted_secret_is_the_source_of_settings_and_the_environment_wins(
    secret: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = "postgresql+psycopg://a:b@host/one"
    mounted(secret, bucket="field\n", MLOPS_REGISTRY=f"{registry}\n", MLOPS_USER="mounted")
    monkeypatch.setenv("MLOPS_USER", "mine")
    found = Settings.from_environment()
    assert (found.workspace, found.registry, found.user) == ("s3://field", registry, "mine")
    assert configuration_names() == {"MLOPS_WORKSPACE", "MLOPS_REGISTRY"}


def test_each_other_name_of_the_tables_sets_its_variable(secret: Path) -> None:
    for key, name in {**VARIABLES, **FILES}.items():
        other = {"access": "secret", "access_key": "secret_key"}
        values = {
            key: "value",
            **{second: "value" for first, second in other.items() if first == key},
        }
        if key in other.values():
            values["AWS_ACCESS_KEY_ID"] = "value"
        for file in secret.iterdir():
            file.unlink()
        for file_name, value in values.items():
            (secret / file_name).write_text(value)
        found = current_environment()[name]
        assert found in ("value", "s3://value", str(secret / key)), key
        assert name in configuration_names()


def test_settings_of_one_part_alone_are_read_from_there_too(secret: Path) -> None:
    mounted(
        secret,
        MLOPS_GPU_LABEL="example.org/gpu",
        MLOPS_GPU_IMAGE="example.org/gpu:1",
        MLOPS_STEP_ACCOUNT="steps",
        MLOPS_CI_ROOT="s3://ci",
        MLOPS_GIT_WEBHOOKS="/etc/git.yaml",
    )
    readers: dict[str, Callable[[], object]] = {
        "GPU_LABEL": gpu_label,
        "GPU_IMAGE": gpu_image,
        "STEP_ACCOUNT": step_account,
        "CI_ROOT": lambda: branch_settings().root,
        "GIT_WEBHOOKS": git_webhooks_file,
    }
    for name, read in readers.items():
        for each in readers:
            os.environ.pop(f"MLOPS_{each}", None)
        os.environ.pop(APPLIED, None)
        assert str(read()) == (secret / f"MLOPS_{name}").read_text()


def test_what_is_replaced_or_removed_changes_at_once_also_for_child_processes(
    secret: Path, tmp_path: Path
) -> None:
    mounted(secret, HUB_SECRET="one", MLOPS_MLFLOW="http://host")
    assert secret_variable("HUB_SECRET") == "one"
    child = dict(os.environ)
    mounted(secret, HUB_SECRET="two")
    assert secret_variable("HUB_SECRET") == "two"
    assert Settings.from_environment().mlflow is None
    # a child of before the change, with the values of then in its environment
    code = "from mlops_assets.settings import *; print(secret_variable('HUB_SECRET'))"
    assert _python(code, child) == "two"
    # and one for which its parent has chosen a value
    assert _python(code, {**child, "HUB_SECRET": "chosen"}) == "chosen"
    del os.environ["MLOPS_CONFIG"]
    assert secret_variable("HUB_SECRET") == ""


def test_an_authority_is_passed_on_to_libraries_that_have_no_setting_of_ours(
    secret: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounted(secret, ca__crt="-----BEGIN CERTIFICATE-----")
    monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)
    monkeypatch.setenv("PGSSLROOTCERT", "mine.pem")
    environment = current_environment()
    assert environment["AWS_CA_BUNDLE"] == str(secret / "ca.crt")
    assert environment["PGSSLROOTCERT"] == "mine.pem"


def test_files_of_lines_and_several_sources_are_read_and_the_first_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = tmp_path / "one.env", tmp_path / "two"
    one.write_text('MLOPS_USER=first\nHUB_SECRET="with $dollar"\n')
    two.mkdir()
    (two / "MLOPS_USER").write_text("second")
    (two / "MLOPS_MLFLOW").write_text("http://host")
    monkeypatch.delenv("MLOPS_USER")
    monkeypatch.setenv("MLOPS_CONFIG", f"{one}:{two}")
    found = Settings.from_environment()
    assert (found.user, found.mlflow) == ("first", "http://host")
    assert secret_variable("HUB_SECRET") == "with $dollar"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "AWS_ACCESS_KEY_ID",
            SECRET.encode(),
            "AWS_ACCESS_KEY_ID, and nothing there holds AWS_SEC",
        ),
        (
            "secret",
            SECRET.encode(),
            "AWS_SECRET_ACCESS_KEY, and nothing there holds AWS_ACCESS_KEY",
        ),
        ("MLOPS_API_TOKEN", f"{SECRET}\nb".encode(), "MLOPS_API_TOKEN in .* line break"),
        ("HUB_SECRET", SECRET.encode() + b"\xff", "HUB_SECRET is not text in UTF-8"),
        ("HUB_SECRET", SECRET.encode() + b"\x00", "HUB_SECRET in .*control character"),
        ("LD_PRELOAD", SECRET.encode(), "holds LD_PRELOAD, which is not read"),
        ("PYTHONPATH", SECRET.encode(), "holds PYTHONPATH, which is not read"),
        ("BASH_ENV", SECRET.encode(), "holds BASH_ENV, which is not read"),
        ("GIT_CONFIG_COUNT", SECRET.encode(), "holds GIT_CONFIG_COUNT, which is not read"),
        ("GDAL_DRIVER_PATH", SECRET.encode(), "holds GDAL_DRIVER_PATH, which is not read"),
        ("MLOPS_CONFIG", SECRET.encode(), "holds MLOPS_CONFIG, which is not read"),
    ],
)
def test_a_wrong_value_is_named_by_its_file_and_never_printed(
    secret: Path, name: str, content: bytes, message: str
) -> None:
    (secret / name).write_bytes(content)
    with pytest.raises(SettingsError, match=message) as raised:
        Settings.from_environment()
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "names .*, which has no setting"),
        ("", "names .*, which has no setting"),
        ("bukcet=a\n", "names .*, which has no setting"),
        ("MLOPS_USER=b\nbucket: [s]\n", "line 2 of .* cannot be read"),
        ('MLOPS_USER="b\n', "line 1 of .* cannot be read"),
    ],
)
def test_a_source_without_settings_is_not_taken_for_the_settings_of_this_machine(
    tmp_path: Path, content: str | None, message: str
) -> None:
    source = tmp_path / "source"
    source.mkdir() if content is None else source.write_text(content)
    with pytest.raises(SettingsError, match=message):
        read_configuration(str(source))


def test_pipes_and_huge_files_are_refused_before_they_are_read(tmp_path: Path) -> None:
    huge = tmp_path / "huge"
    with huge.open("wb") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(SettingsError, match="has more than 1,048,576 bytes"):
        read_configuration(str(huge))
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(SettingsError, match="is a pipe or device"):
        read_configuration(str(pipe))


def test_a_secret_that_is_not_mounted_is_one_line_of_the_command(tmp_path: Path) -> None:
    environment = {**os.environ, "MLOPS_CONFIG": str(tmp_path / "missing")}
    done = subprocess.run(
        [sys.executable, "-c", "from mlops_assets.cli import main; main()", "status"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert "mount the Secret there" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_what_is_neither_a_variable_nor_known_is_listed_as_ignored(secret: Path) -> None:
    mounted(secret, bukcet="a", MLOPS_USER="b")
    assert read_configuration(str(secret)).ignored == (str(secret / "bukcet"),)
    # a file that is nothing but a password, or base64
    values = secret.parent / "values"
    values.write_text(f"MLOPS_USER=b\n{SECRET}\n{SECRET}==\nbukcet=a\n")
    ignored = read_configuration(str(values)).ignored
    assert SECRET not in str(ignored)
    assert ignored[-1] == f"bukcet in {values}"
    current_environment()
    assert "bukcet" not in os.environ.get(APPLIED, "")


def _python(code: str, environment: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
