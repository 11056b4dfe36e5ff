"""Declarations of catalogues that would publish a secret, or lead nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops_assets.discovery.registration.declaration import read_catalogues
from mlops_assets.errors import SettingsError


@pytest.mark.parametrize(
    "files",
    [
        "https://user:secret@files.example.org/workspace",
        "https://files.example.org/workspace?sig=secret",
        "https://files.example.org/workspace#part",
        "files.example.org/workspace",
        "",
    ],
)
def test_the_url_of_files_that_each_record_has_holds_no_secret(tmp_path: Path, files: str) -> None:
    declared = tmp_path / "catalogues.yaml"
    declared.write_text(f"files: '{files}'\n")
    with pytest.raises(SettingsError, match="without credentials, query or fragment") as raised:
        read_catalogues(declared)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("files", ["https://files.example.org/workspace", "s3://bucket/our%20team"])
def test_files_are_on_a_server_or_in_a_bucket(tmp_path: Path, files: str) -> None:
    declared = tmp_path / "catalogues.yaml"
    declared.write_text(f"files: {files}\n")
    assert read_catalogues(declared).files == files
