"""Sources of settings, their precedence, and refused workspaces."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from mlops_assets.errors import SettingsError
from mlops_assets.registry import Registry
from mlops_assets.settings import Settings, workspace_url
from mlops_assets.storage import Workspace
from mlops_assets_tests.servers.buckets import Bucket


def test_without_any_setting_everything_is_in_the_folder_workspace(tmp_path: Path) -> None:
    found = Settings.from_environment()
    root = tmp_path / "workspace"
    registry = f"sqlite:///{root / 'registry.db'}"
    assert found == Settings(root.as_uri(), registry, root / "cache", root / "dagster", "tester")


def test_overrides_win_over_the_environment_which_wins_over_the_dotenv_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text(
        "MLOPS_WORKSPACE=from_file\nMLOPS_REGISTRY=from_file\nDAGSTER_HOME=from_file\n"
    )
    monkeypatch.setenv("MLOPS_REGISTRY", "from_environment")
    monkeypatch.setenv("MLOPS_USER", "from_environment")
    found = Settings.from_environment({"MLOPS_USER": "override"})
    assert found.workspace == (tmp_path / "from_file").as_uri()
    assert found.registry == "from_environment"
    assert found.dagster_home == tmp_path / "from_file"
    assert found.user == "override"


def test_an_empty_value_counts_as_not_set(tmp_path: Path) -> None:
    assert (
        Settings.from_environment({"MLOPS_WORKSPACE": ""}).workspace
        == (tmp_path / "workspace").as_uri()
    )


@pytest.mark.parametrize(
    "workspace", ["with space", "per%cent", "hash#tag", "question?mark", "ünï"]
)
def test_a_workspace_with_odd_characters_is_the_folder_of_that_name(
    tmp_path: Path, workspace: str
) -> None:
    url = Settings.from_environment({"MLOPS_WORKSPACE": workspace}).workspace
    assert Workspace(url).root == tmp_path / workspace
    assert workspace_url(url, tmp_path / "elsewhere") == url


@pytest.mark.parametrize(
    "url", ["http://host/x", "https://host/x", "ftp://host/x", "s3://", "s3:///x", "az://"]
)
def test_a_workspace_on_what_cannot_hold_one_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match=r"use a folder, .*s3://BUCKET"):
        Settings.from_environment({"MLOPS_WORKSPACE": url, "MLOPS_REGISTRY": "sqlite://"})


@pytest.mark.parametrize("url", ["s3://bucket/x", "az://container/x", "gs://bucket"])
def test_a_remote_workspace_needs_a_registry_and_has_its_caches_in_the_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with pytest.raises(SettingsError, match=f"MLOPS_WORKSPACE={url} needs MLOPS_REGISTRY"):
        Settings.from_environment({"MLOPS_WORKSPACE": url})
    registry = "postgresql+psycopg://host/registry"
    found = Settings.from_environment({"MLOPS_WORKSPACE": f"{url}/", "MLOPS_REGISTRY": registry})
    home = tmp_path / "home"
    assert found == Settings(url, registry, found.cache, home / ".dagster", "tester")
    assert found.cache.parent == home / ".cache" / "mlops_assets"


@pytest.mark.parametrize("workspace", ["workspace", "s3://bucket/x"])
def test_the_cache_can_be_in_another_folder(tmp_path: Path, workspace: str) -> None:
    values = {
        "MLOPS_WORKSPACE": workspace,
        "MLOPS_REGISTRY": "sqlite://",
        "MLOPS_CACHE": "fast disk",
    }
    assert Settings.from_environment(values).cache == tmp_path / "fast disk"


@pytest.mark.parametrize("url", ["file://workspace", "file://data/workspace", "file:workspace"])
def test_a_file_url_that_is_not_absolute_is_refused(url: str) -> None:
    with pytest.raises(SettingsError):
        Settings.from_environment({"MLOPS_WORKSPACE": url})


@pytest.mark.parametrize(
    "workspace",
    [
        "with space",
        "hash#tag",
        "ünï",
        "per%cent",
        "per%41cent",
        "question?mark",
        "query?mode=ro",
        "plus+sign",
        "at@sign",
    ],
)
def test_the_registry_of_a_workspace_with_odd_characters_is_in_it(
    tmp_path: Path, workspace: str
) -> None:
    found = Settings.from_environment({"MLOPS_WORKSPACE": workspace})
    Workspace(found.workspace)
    Registry(found.registry)
    assert (tmp_path / workspace / "registry.db").is_file()
    assert [path.name for path in tmp_path.iterdir()] == [workspace]


def test_links_begin_with_a_url_that_is_one() -> None:
    assert Settings.from_environment().base_url is None
    assert (
        Settings.from_environment({"MLOPS_BASE_URL": "https://host:8443/hub/"}).base_url
        == "https://host:8443/hub"
    )
    for value in (
        "host",
        "ftp://host",
        "https://",
        "https://host:x",
        "https://host/?a=b",
        "https://host/\r\nA: b",
    ):
        with pytest.raises(SettingsError, match="MLOPS_BASE_URL"):
            Settings.from_environment({"MLOPS_BASE_URL": value})


def test_an_mlflow_server_is_none_unless_it_is_named_and_then_a_url() -> None:
    assert Settings.from_environment().mlflow is None
    assert (
        Settings.from_environment({"MLOPS_MLFLOW": "https://host/path/"}).mlflow
        == "https://host/path"
    )
    for value in ("host:5000", "mlruns", "file:///mlruns", "http://"):
        with pytest.raises(SettingsError, match="write the URL of an MLflow server"):
            Settings.from_environment({"MLOPS_MLFLOW": value})


def test_the_user_is_that_of_the_system_without_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLOPS_USER", "USER"):
        monkeypatch.delenv(name, raising=False)
    assert Settings.from_environment().user == pwd.getpwuid(os.getuid()).pw_name
    monkeypatch.setattr(os, "getuid", lambda: 123_456_789)
    assert Settings.from_environment().user == "uid 123456789"


def test_a_size_below_which_objects_are_packed_is_a_number_of_bytes() -> None:
    assert Settings.from_environment().pack_below is None
    for value, size in (("0", 0), ("262144", 262_144), ("8388608", 8 << 20)):
        assert Settings.from_environment({"MLOPS_PACK_BELOW": value}).pack_below == size
    for value in ("-1", "256 KiB", "1e5", "8388609", "yes", "٣"):
        with pytest.raises(SettingsError, match=f"MLOPS_PACK_BELOW={value}: write a number"):
            Settings.from_environment({"MLOPS_PACK_BELOW": value})


def test_a_bucket_packs_small_objects_unless_it_is_told_otherwise(
    tmp_path: Path, s3: Bucket
) -> None:
    assert Workspace(s3.url, tmp_path / "cache").pack_below == 256 << 10
    assert Workspace(s3.url, tmp_path / "cache", 0).pack_below == 0
    assert Workspace((tmp_path / "folder").as_uri()).pack_below == 16 << 10


def test_an_executor_that_is_unknown_is_refused(tmp_path: Path) -> None:
    settings = Settings.from_environment({"MLOPS_EXECUTOR": "multiprocess"}, tmp_path)
    assert settings.executor == "multiprocess"
    with pytest.raises(SettingsError, match="MLOPS_EXECUTOR=threads: write one of in_process"):
        Settings.from_environment({"MLOPS_EXECUTOR": "threads"}, tmp_path)


def test_workspaces_of_one_name_on_two_servers_have_two_caches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = {"MLOPS_WORKSPACE": "s3://bucket", "MLOPS_REGISTRY": "sqlite://"}
    found = set()
    for endpoint in ("https://one", "https://two", "https://one/"):
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        found.add(Settings.from_environment(values).cache)
    assert len(found) == 2
