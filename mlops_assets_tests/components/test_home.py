"""The Dagster home of a project."""

from __future__ import annotations

import resource
import signal
from pathlib import Path

import pytest

from mlops_assets.components.project.home import prepare_home
from mlops_assets.errors import StorageError


def test_a_home_that_could_not_be_written_is_made_whole_by_the_next_command(
    tmp_path: Path,
) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        # as a full volume, which takes the file and not its content
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
        with pytest.raises(StorageError, match=rf"home {tmp_path} cannot be written: .*; free"):
            prepare_home(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert list(tmp_path.iterdir()) == []
    assert "telemetry" in (prepare_home(tmp_path) / "dagster.yaml").read_text()
    # what its owner has written stays
    (tmp_path / "dagster.yaml").write_text("{}")
    prepare_home(tmp_path)
    assert (tmp_path / "dagster.yaml").read_text() == "{}"
