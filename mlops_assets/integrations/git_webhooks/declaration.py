"""The YAML file that names the git servers which may call the hub, and what their pushes start.

Secrets are not in it, but the names of the environment variables, or the files, that hold them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from mlops_assets.errors import NameRefused
from mlops_assets.names import Reference, check_name
from mlops_assets.principals import Principal, Role, check_principal_name
from mlops_assets.secret import Secret
from mlops_assets.strict import (
    DeclaredName,
    Strict,
    read_settings_file,
    refusing,
    require_unique,
)

# how each proves who calls, see `signatures`
Provider = Literal["github", "gitlab", "gitlab_token", "gitea", "azure"]
Event = Literal["push", "tag"]
# what is started by machines is never an approval, and creates no tokens
ROLES = frozenset({Role.SCIENTIST})


def _webhook_name(name: str) -> str:
    with refusing(NameRefused):
        return check_name(name, "name of a git webhook")


def _principal(name: str) -> str:
    with refusing(NameRefused):
        return check_principal_name(name)


def _reference(text: str) -> str:
    with refusing(NameRefused):
        Reference.parse(text)
    return text


class TrainedByPush(Strict):
    """A model that a push trains.

    Attributes:
        model: that the project declares.
        data: data version or tag; the newest version of the model's dataset if not given.
    """

    model: DeclaredName
    data: Annotated[str, AfterValidator(_reference)] | None = None


class DeclaredGitWebhook(Strict):
    """A git server, and what its pushes start.

    Attributes:
        name: the last part of the URL that it calls.
        provider: kind of the server, which decides how it proves who it is.
        secret: that it shares with the hub.
        former_secret: while the server changes to a new one, the one before; both are accepted.
        user: of basic authentication, of `azure` alone.
        repositories: whose pushes count, as the server names them: `GROUP/PROJECT`; of `azure`
            `PROJECT/REPOSITORY`.
        events: that count.
        refs: names of branches or tags that count; `*` stands for any characters.
        train: models that are trained.
        commit: datasets whose landing is committed.
        acts_for: name of the principal, with the role scientist, that the runs act for.
    """

    name: Annotated[str, AfterValidator(_webhook_name)]
    provider: Provider
    secret: Secret
    former_secret: Secret | None = None
    user: Annotated[str, Field(min_length=1, pattern="^[^:]+$")] | None = None
    repositories: Annotated[tuple[str, ...], Field(min_length=1)]
    events: Annotated[tuple[Event, ...], Field(min_length=1)] = ("push",)
    refs: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)] = (
        "main",
    )
    train: tuple[TrainedByPush, ...] = ()
    commit: tuple[DeclaredName, ...] = ()
    acts_for: Annotated[str, AfterValidator(_principal)] = "git-webhook"

    @model_validator(mode="after")
    def _complete(self) -> DeclaredGitWebhook:
        if not self.train and not self.commit:
            raise ValueError("write what a push starts: train, commit, or both")
        if (self.user is None) != (self.provider != "azure"):
            raise ValueError("write user with provider: azure, and with no other")
        require_unique([each.model for each in self.train], "models")
        return self

    @property
    def principal(self) -> Principal:
        """Who the runs act for."""
        return Principal(self.acts_for, ROLES)


class DeclaredGitWebhooks(Strict):
    """All git servers of a project, each with a name of its own."""

    git_webhooks: list[DeclaredGitWebhook]

    @model_validator(mode="after")
    def _unique(self) -> DeclaredGitWebhooks:
        require_unique([webhook.name for webhook in self.git_webhooks], "git webhooks")
        return self

    def get(self, name: str) -> DeclaredGitWebhook | None:
        """Return the webhook of a name; None if there is none."""
        return next((webhook for webhook in self.git_webhooks if webhook.name == name), None)


def read_git_webhooks(path: Path) -> DeclaredGitWebhooks:
    """Read the declaration of the git webhooks.

    Args:
        path: YAML file with the fields of `DeclaredGitWebhooks`.

    Raises:
        SettingsError: the file cannot be read, or is invalid.
    """
    return read_settings_file(DeclaredGitWebhooks, "MLOPS_GIT_WEBHOOKS", path)
