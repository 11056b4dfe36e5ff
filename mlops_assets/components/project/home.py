"""The Dagster home of a project."""

from __future__ import annotations

import secrets
from importlib.resources import files
from pathlib import Path

from mlops_assets.errors import StorageError


def prepare_home(home: Path) -> Path:
    """Make a Dagster home with our dagster.yaml (no telemetry, GPU pool) if needed; return it.

    Args:
        home: folder of the Dagster instance.

    Raises:
        StorageError: it cannot be written.
    """
    target = home / "dagster.yaml"
    try:
        home.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            template = files("mlops_assets.cli") / "templates" / "dagster.yaml"
            _write_whole(target, template.read_text())
    except OSError as error:
        raise StorageError(
            f"Dagster home {home} cannot be written: {error.strerror}; free space, or name a folder"
            " in DAGSTER_HOME that the user of this process may write"
        ) from error
    return home


def _write_whole(target: Path, text: str) -> None:
    """Write a file; a half one would be used from then on."""
    staged = target.with_name(f"{target.name}.{secrets.token_hex(4)}")
    try:
        staged.write_text(text)
        staged.replace(target)
    finally:
        staged.unlink(missing_ok=True)
