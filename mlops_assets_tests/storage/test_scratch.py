"""Temporary folders: removed at the end, or by the next process."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from mlops_assets.errors import StorageError
from mlops_assets.storage.scratch import scratch_folder


def test_folders_that_no_process_holds_are_removed_and_others_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with scratch_folder("one") as held:
        (held / "content").touch()
        abandoned = tmp_path / "mlops-run-killed.scratch"
        (abandoned / "folder").mkdir(parents=True)
        for name in ("mlops-gpus", "other.scratch"):
            (tmp_path / name).mkdir()
        (tmp_path / "mlops-link.scratch").symlink_to(tmp_path / "mlops-gpus")
        with scratch_folder("two") as other:
            assert (held / "content").exists()
            assert not abandoned.exists()
        assert not other.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "mlops-gpus",
        "mlops-link.scratch",
        "other.scratch",
    ]


def test_a_place_that_cannot_have_folders_is_named_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(
            StorageError,
            match=rf"in {tmp_path}/file: File exists; free space there, or set MLOPS_CACHE",
        ),
        scratch_folder("one", tmp_path / "file"),
    ):
        pass
