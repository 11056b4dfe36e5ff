"""Pushes as git servers send them, and which of them count.

Names of branches are chosen by whoever may push: here they are only compared, and recorded.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from mlops_assets.errors import SpecificationError
from mlops_assets.integrations.git_webhooks.declaration import (
    DeclaredGitWebhook,
    Event,
    Provider,
)
from mlops_assets.text.json_values import Json, JsonObject
from mlops_assets.text.printable import printable

MAX_REF = 255  # characters that are recorded; git's own limit is that of a file system
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_HEADS, _TAGS = "refs/heads/", "refs/tags/"


@dataclass(frozen=True)
class Push:
    """A push of one branch or tag.

    Attributes:
        event: whether it is of a branch or of a tag.
        name: of the branch or tag.
        commit: that it is at now; None if it was deleted.
        repository: as the server names it.
        sha256: of the request, by which one that is sent again is known.
    """

    event: Event
    name: str
    commit: str | None
    repository: str
    sha256: str

    @property
    def ref(self) -> str:
        """The whole name, as it is recorded."""
        whole = printable((_HEADS if self.event == "push" else _TAGS) + self.name)
        return whole if len(whole) <= MAX_REF else f"{whole[: MAX_REF - 1]}…"

    def ignored(self, webhook: DeclaredGitWebhook) -> str:
        """Return why a push does not count for a webhook; empty if it does."""
        if self.repository not in webhook.repositories:
            return "pushes of this repository do not count"
        if self.event not in webhook.events:
            return f"the event {self.event} does not count"
        if self.commit is None:
            return "it was deleted"
        if not any(fnmatchcase(self.name, pattern) for pattern in webhook.refs):
            return "pushes of this name do not count"
        return ""


def read_pushes(webhook: DeclaredGitWebhook, event: str, document: Json, body: bytes) -> list[Push]:
    """Return the pushes that a request states; none if it is of another event.

    Args:
        webhook: that was called.
        event: value of the header with the name of the event; empty for servers without one.
        document: the body of the request.
        body: the same, as it was received.

    Raises:
        SpecificationError: it is of a push, and does not state what a push is.
    """
    if not isinstance(document, dict):
        raise SpecificationError("the body is not a JSON object")
    sha256 = hashlib.sha256(f"{webhook.name}\n".encode() + body).hexdigest()
    return _READERS[webhook.provider](event, document, sha256)


def event_header(provider: Provider) -> str | None:
    """Return the header with the name of the event; None if the body states it."""
    return {"github": "x-github-event", "gitea": "x-gitea-event"}.get(provider)


def _of_github(event: str, document: JsonObject, sha256: str) -> list[Push]:
    if event != "push":
        return []
    repository = _text(_object(document, "repository"), "full_name")
    return _pushed(_text(document, "ref"), _text(document, "after"), repository, sha256)


def _of_gitlab(_event: str, document: JsonObject, sha256: str) -> list[Push]:
    if document.get("object_kind") not in ("push", "tag_push"):
        return []
    repository = _text(_object(document, "project"), "path_with_namespace")
    return _pushed(_text(document, "ref"), _text(document, "after"), repository, sha256)


def _of_azure(_event: str, document: JsonObject, sha256: str) -> list[Push]:
    if document.get("eventType") != "git.push":
        return []
    resource = _object(document, "resource")
    repository = _object(resource, "repository")
    name = f"{_text(_object(repository, 'project'), 'name')}/{_text(repository, 'name')}"
    updates = resource.get("refUpdates")
    if not isinstance(updates, list):
        raise SpecificationError("the body has no list 'refUpdates'")
    found = []
    for update in updates:
        if not isinstance(update, dict):
            raise SpecificationError("an entry of 'refUpdates' is not an object")
        found += _pushed(_text(update, "name"), _text(update, "newObjectId"), name, sha256)
    return found


def _pushed(ref: str, commit: str, repository: str, sha256: str) -> list[Push]:
    if not _COMMIT.fullmatch(commit):
        raise SpecificationError("the commit is not 40 or 64 hexadecimal digits")
    own = commit if commit.strip("0") else None
    if ref.startswith(_HEADS):
        return [Push("push", ref.removeprefix(_HEADS), own, repository, sha256)]
    if ref.startswith(_TAGS):
        return [Push("tag", ref.removeprefix(_TAGS), own, repository, sha256)]
    return []  # notes, pull requests


def _object(document: Mapping[str, Json], name: str) -> JsonObject:
    found = document.get(name)
    if not isinstance(found, dict):
        raise SpecificationError(f"the body has no object {name!r}")
    return found


def _text(document: Mapping[str, Json], name: str) -> str:
    found = document.get(name)
    if not isinstance(found, str):
        raise SpecificationError(f"the body has no text {name!r}")
    return found


_READERS: dict[Provider, Callable[[str, JsonObject, str], list[Push]]] = {
    "github": _of_github,
    "gitea": _of_github,
    "gitlab": _of_gitlab,
    "gitlab_token": _of_gitlab,
    "azure": _of_azure,
}
