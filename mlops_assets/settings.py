"""Where things are: one frozen Settings, the only reader of the environment.

No other module may look at `os.environ`; what varies between a laptop and a cluster is decided here.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from dotenv import dotenv_values

from mlops_assets.errors import SettingsError


@dataclass(frozen=True)
class Settings:
    """Settings of one process.

    Attributes:
        workspace: URL of the workspace, `file:///…`.
        registry: SQLAlchemy URL of the registry database.
        dagster_home: folder of the Dagster instance that our own commands use.
        user: who promotes and commits, as written into the audit trail.
    """

    workspace: str
    registry: str
    dagster_home: Path
    user: str

    @classmethod
    def from_environment(cls, overrides: Mapping[str, str] | None = None, directory: Path | None = None) -> Settings:
        """Read `MLOPS_WORKSPACE`, `MLOPS_REGISTRY`, `DAGSTER_HOME`, `MLOPS_USER`.

        A `.env` file in `directory` is read too, as the dagster command does; the environment wins over it.

        Args:
            overrides: values that win over the environment.
            directory: what relative paths start from; the current directory by default.

        Raises:
            SettingsError: a value that cannot be used.
        """
        directory = directory or Path.cwd()
        values = {**dotenv_values(directory / ".env"), **os.environ, **(overrides or {})}
        root = workspace_path(values.get("MLOPS_WORKSPACE") or "workspace", directory)
        home = Path(values.get("DAGSTER_HOME") or root / "dagster")
        return cls(
            workspace=root.as_uri(),
            registry=values.get("MLOPS_REGISTRY") or f"sqlite:///{quote(str(root / 'registry.db'))}",
            dagster_home=home if home.is_absolute() else directory / home,
            user=values.get("MLOPS_USER") or values.get("USER") or "unknown",
        )


def workspace_path(workspace: str, directory: Path) -> Path:
    """Return the folder of a workspace given as a path or a `file://` URL.

    Raises:
        SettingsError: the URL has another scheme, or is no absolute path.
    """
    parts = urlsplit(workspace)
    if parts.scheme == "file":
        path = Path(unquote(parts.path))
        if parts.netloc not in ("", "localhost") or not path.is_absolute():
            raise SettingsError(f"MLOPS_WORKSPACE={workspace}: a file URL is written file:///ABSOLUTE/PATH")
        return path
    if "://" in workspace:
        raise SettingsError(
            f"MLOPS_WORKSPACE={workspace}: workspaces on {parts.scheme}:// are not supported yet; "
            "use a folder or a file:// URL"
        )
    return (directory / Path(workspace).expanduser()).resolve()
