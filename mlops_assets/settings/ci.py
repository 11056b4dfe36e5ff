"""Settings of pipelines of git platforms, and of the webhooks that git servers call."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mlops_assets.errors import SettingsError
from mlops_assets.settings.configuration import APPLIED, CONFIG, current_environment
from mlops_assets.settings.settings import Settings, registry_file, workspace_url

# of a command in the workspace of a branch: production, as it was outside of it
PRODUCTION_WORKSPACE = "MLOPS_PRODUCTION_WORKSPACE"
PRODUCTION_REGISTRY = "MLOPS_PRODUCTION_REGISTRY"
# its values are in the environment already; read again it would put production's back where a
# branch has none
_SOURCES = (CONFIG, APPLIED)
# whom production reports to, who runs for it, and its cache: what a branch trains is not theirs
_OF_PRODUCTION = (
    "MLOPS_BACKUP",
    "MLOPS_CACHE",
    "MLOPS_CATALOGUES",
    "MLOPS_CODE_SERVERS",
    "MLOPS_ISSUES",
    "MLOPS_LAUNCH",
    "MLOPS_LOG_HEAD",
    "MLOPS_MLFLOW",
    "MLOPS_WEBHOOKS",
)


@dataclass(frozen=True)
class BranchSettings:
    """Settings of the workspaces of branches, from `MLOPS_CI_ROOT` and `MLOPS_CI_REGISTRY`.

    Attributes:
        root: URL that they are below.
        registry: URL of the database in which each has a schema; None for files in them.
    """

    root: str
    registry: str | None = field(default=None, repr=False)


def branch_settings() -> BranchSettings:
    """Return where the workspaces of branches are.

    Raises:
        SettingsError: `MLOPS_CI_ROOT` is not set, or cannot hold workspaces.
    """
    root = current_environment().get("MLOPS_CI_ROOT")
    if not root:
        raise SettingsError(
            "MLOPS_CI_ROOT is not set; name the folder or the bucket, beside the workspace of"
            " production, that gets a workspace for each branch"
        )
    return BranchSettings(
        workspace_url(root, Path.cwd()), current_environment().get("MLOPS_CI_REGISTRY") or None
    )


def production_settings() -> Settings:
    """Return the settings of production, of a command in the workspace of a branch.

    Raises:
        SettingsError: it is not in one.
    """
    workspace = current_environment().get(PRODUCTION_WORKSPACE)
    if not workspace:
        raise SettingsError(
            f"{PRODUCTION_WORKSPACE} is not set; run this in the workspace of a branch, by"
            " 'mlops ci exec BRANCH -- COMMAND'"
        )
    registry = current_environment().get(PRODUCTION_REGISTRY, "")
    return Settings.from_environment(
        {"MLOPS_WORKSPACE": workspace, "MLOPS_REGISTRY": registry}, Path("/")
    )


def environment_in(settings: Settings, workspace: str, registry: str | None) -> dict[str, str]:
    """Return the environment of a command in the workspace of a branch.

    It has the credentials of this process, and neither its cache nor its launcher, nor those whom
    production reports to.

    Args:
        settings: those of production.
        workspace: URL of the workspace of the branch.
        registry: URL of its registry; None for a file in it, which must be a folder then.
    """
    own = {name: value for name, value in current_environment().items() if name not in _SOURCES}
    parts = urlsplit(workspace)
    folder = Path(unquote(parts.path))
    if parts.scheme != "file":
        folder = Path.home() / ".mlops-ci" / folder.name
    # empty, as a missing one would be read from the project's .env
    return own | {
        **dict.fromkeys(_OF_PRODUCTION, ""),
        PRODUCTION_WORKSPACE: settings.workspace,
        PRODUCTION_REGISTRY: settings.registry,
        "MLOPS_WORKSPACE": workspace,
        "MLOPS_REGISTRY": registry or registry_file(folder),
        "DAGSTER_HOME": str(folder / "dagster"),
    }


def plan_file() -> Path:
    """Return the file that names the models of pipelines: `MLOPS_CI_PLAN`, else `ci.yaml`."""
    return Path.cwd() / (current_environment().get("MLOPS_CI_PLAN") or "ci.yaml")


def git_webhooks_file() -> Path | None:
    """Return the YAML file that names the git servers which may call the hub, if any."""
    path = current_environment().get("MLOPS_GIT_WEBHOOKS")
    return Path.cwd() / path if path else None
