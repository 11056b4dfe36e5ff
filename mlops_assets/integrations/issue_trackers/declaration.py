"""The YAML file that names the issue trackers of a project.

Tokens are not in it, but the names of the environment variables, or the files, that hold them.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, Field, model_validator

from mlops_assets.discovery.registration.declaration import ServerUrl
from mlops_assets.errors import NameRefused
from mlops_assets.names import check_name
from mlops_assets.secret import Secret
from mlops_assets.strict import Strict, read_settings_file, refusing, require_unique

Platform = Literal["gitlab", "github", "azure"]
PLATFORMS: tuple[Platform, ...] = get_args(Platform)
DEFAULT_URLS: dict[Platform, str] = {
    "gitlab": "https://gitlab.com",
    "github": "https://api.github.com",
    "azure": "https://dev.azure.com",
}
# what a project is on each platform
PROJECTS: dict[Platform, str] = {
    "gitlab": "GROUP/PROJECT, or the number of the project",
    "github": "OWNER/REPOSITORY",
    "azure": "ORGANIZATION/PROJECT",
}
_PROJECT: dict[Platform, re.Pattern[str]] = {
    "gitlab": re.compile(r"\d+|[\w.-]+(/[\w.-]+)+"),
    "github": re.compile(r"[\w.-]+/[\w.-]+"),
    # names of projects may have spaces
    "azure": re.compile(r"[\w.-]+/[\w.-]+( [\w.-]+)*"),
}


def _tracker_name(name: str) -> str:
    with refusing(NameRefused):
        return check_name(name, "name of an issue tracker")


class DeclaredTracker(Strict):
    """A project of an issue tracker.

    Attributes:
        name: of the tracker in messages.
        platform: its kind.
        url: of the platform, or of its API with GitHub: `https://HOST/api/v3` of an own server.
        project: that issues are opened in, as `PROJECTS` has it.
        token: that may write issues: of GitLab with the scope `api`, of GitHub with write access to
            issues, of Azure Boards with the scope `Work Items (Read & Write)`.
        models: whose alarms have issues there; of all models if not given.
        labels: of new issues; tags in Azure Boards.
        work_item: type of work items in Azure Boards.
    """

    name: Annotated[str, AfterValidator(_tracker_name)]
    platform: Platform
    url: ServerUrl | None = None
    project: str
    token: Secret
    models: tuple[str, ...] | None = None
    labels: tuple[Annotated[str, Field(pattern=r"^[^,;\s][^,;]*$")], ...] = ()
    work_item: Annotated[str, Field(pattern=r"^[\w ]+$")] = "Issue"

    @model_validator(mode="after")
    def _project_of_platform(self) -> DeclaredTracker:
        is_valid = _PROJECT[self.platform].fullmatch(self.project)
        if not is_valid or {".", ".."} & set(self.project.split("/")):
            raise ValueError(f"write project as {PROJECTS[self.platform]}, not {self.project!r}")
        return self

    @property
    def base_url(self) -> str:
        """URL of the platform, without a slash at its end."""
        return self.url or DEFAULT_URLS[self.platform]


class DeclaredTrackers(Strict):
    """All issue trackers of a project; an alarm has its issue in the first that has its model."""

    trackers: list[DeclaredTracker]

    @model_validator(mode="after")
    def _unique(self) -> DeclaredTrackers:
        require_unique([tracker.name for tracker in self.trackers], "issue trackers")
        return self

    def of_model(self, model: str) -> DeclaredTracker | None:
        """Return the tracker of a model's alarms; None if they have no issues."""
        chosen = (each for each in self.trackers if each.models is None or model in each.models)
        return next(chosen, None)


def read_trackers(path: Path) -> DeclaredTrackers:
    """Read the declaration of the issue trackers.

    Args:
        path: YAML file with the fields of `DeclaredTrackers`.

    Raises:
        SettingsError: the file cannot be read, or is invalid.
    """
    return read_settings_file(DeclaredTrackers, "MLOPS_ISSUES", path)
