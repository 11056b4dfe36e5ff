"""`mlops backup`, `mlops restore` and `mlops gc`, as a person uses them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from mlops_assets.paths import BACKUP_BLOBS, Owner
from mlops_assets.store import Store
from mlops_assets_tests.cli.conftest import Mlops


def test_a_workspace_that_was_lost_is_restored_from_a_backup(
    store: Store, mlops: Mlops, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert mlops("backup", "verify", "backups").code == 1
    store.registry.add_files(Owner("catalog"), [store.workspace.put("catalog/a.json", b"{}")])
    made = mlops("backup", "create", "backups", "--name", "first", "--json")
    assert (made.code, made.json["name"], made.json["files"]) == (0, "first", 1)
    listed = mlops("backup", "list", "backups", "--json").json
    assert [row["head"] for row in listed] == [mlops("log", "head").out.strip()]
    assert "all as they were written" in mlops("backup", "verify", "backups", "first").out
    refused = mlops("restore", "backups")
    assert (refused.code, "is not empty: it has catalog/a.json" in refused.err) == (1, True)
    shutil.rmtree(store.workspace.root)
    monkeypatch.setenv("MLOPS_WORKSPACE", str(tmp_path / "elsewhere"))
    assert mlops("restore", "backups", "--at", "second").code == 1
    assert "1 files" in mlops("restore", "backups", "--at", "first").out
    assert mlops("verify").code == 0
    for path in (tmp_path / "backups" / BACKUP_BLOBS).rglob("*"):
        if path.is_file():
            path.write_bytes(b"damaged")
    damaged = mlops("backup", "verify", "backups", "--json")
    assert (damaged.code, damaged.json["passed"]) == (1, False)


def test_unneeded_files_are_counted_and_removed_only_on_demand(
    store: Store, mlops: Mlops, tmp_path: Path
) -> None:
    orphan = store.workspace.put_object(b"orphan")
    path = store.workspace.root / orphan.path
    os.utime(path, (0, 0))
    assert "run 'mlops gc --delete'" in mlops("gc", "--keys", "keys").err
    assert (tmp_path / "keys").read_text() == f"{orphan.path}\n"
    assert path.exists()
    done = mlops("gc", "--delete", "--json").json
    assert {row["kind"]: row["files"] for row in done["kinds"]}["objects"] == 1
    assert not path.exists()
    assert "0 file(s)" in mlops("gc").out
    assert mlops("verify").code == 0
