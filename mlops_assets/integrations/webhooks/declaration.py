"""The YAML file that names the receivers of events.

Secrets are not in it, but the names of the environment variables, or the files, that hold them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from mlops_assets.errors import NameRefused
from mlops_assets.names import check_name
from mlops_assets.registry.promotion.outbox import EVENTS
from mlops_assets.secret import Secret
from mlops_assets.strict import Strict, read_settings_file, refusing, require_unique


def check_receiver_url(url: str) -> str:
    """Return the URL of a receiver.

    Raises:
        ValueError: it is not one.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        raise ValueError("write a URL without user and password, such as https://HOST/hooks/mlops")
    if parts.fragment:
        raise ValueError("write the URL without a fragment")
    return url


def _webhook_name(name: str) -> str:
    with refusing(NameRefused):
        return check_name(name, "webhook name")


def _event(event: str) -> str:
    if event not in EVENTS:
        raise ValueError(f"{event!r} is not an event; there are {', '.join(EVENTS)}")
    return event


Event = Annotated[str, AfterValidator(_event)]


class DeclaredWebhook(Strict):
    """A receiver of events.

    Attributes:
        name: of the webhook in commands and messages.
        url: that messages are sent to; or where it is, if it is a secret itself.
        events: that it receives; all by default.
        secret: that messages are signed with.
        former_secret: while receivers change to a new one, the one before: messages are signed with
            both.
    """

    name: Annotated[str, AfterValidator(_webhook_name)]
    url: Annotated[str, AfterValidator(check_receiver_url)] | Secret
    events: Annotated[tuple[Event, ...], Field(min_length=1)] = EVENTS
    secret: Secret
    former_secret: Secret | None = None


class DeclaredWebhooks(Strict):
    """All webhooks of a project, each with a name of its own."""

    webhooks: list[DeclaredWebhook]

    @model_validator(mode="after")
    def _unique(self) -> DeclaredWebhooks:
        require_unique([webhook.name for webhook in self.webhooks], "webhooks")
        return self


def read_webhooks(path: Path) -> DeclaredWebhooks:
    """Read the declaration of the webhooks.

    Args:
        path: YAML file with the fields of `DeclaredWebhooks`.

    Raises:
        SettingsError: the file cannot be read, or is invalid.
    """
    return read_settings_file(DeclaredWebhooks, "MLOPS_WEBHOOKS", path)
