"""What an issue tracker does for alarms, and the requests by which it is asked.

Which requests a platform takes is in the module of that platform.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Protocol

import httpx

from mlops_assets.discovery.registration.catalogue import CatalogueError
from mlops_assets.discovery.registration.exchange import Answer, Asking, Server, as_object
from mlops_assets.errors import MlopsError
from mlops_assets.integrations.issue_trackers.declaration import DeclaredTracker
from mlops_assets.text.json_values import Json, JsonObject

TIMEOUT = 15.0  # seconds of one request
PAGE = 100  # issues, the most that the platforms return at once
MAX_PAGES = 20
# the number at the end of an issue's URL
_NUMBER = re.compile(r"/(\d{1,18})/?$")


class TrackerError(MlopsError):
    """An issue tracker has refused a request, or not answered it as its API documents.

    Attributes:
        temporary: whether it can succeed later without a change here.
        after: seconds that the tracker asks to wait; None if it names none.
    """

    def __init__(self, message: str, *, temporary: bool, after: float | None = None) -> None:
        """Make an error that states what was requested, where, and what the answer was."""
        super().__init__(message)
        self.temporary = temporary
        self.after = after


@dataclass(frozen=True)
class Mark:
    """What an issue is found again by, hidden from its readers.

    Attributes:
        workspace: id of the workspace, as several may use one tracker.
        alarm: number of the alarm.
    """

    workspace: str
    alarm: int

    def __str__(self) -> str:
        return f"mlops-alarm-{self.workspace}-{self.alarm}"

    def comment(self, is_recovered: bool = False) -> str:
        """Return it as an HTML comment, with whether the issue was closed as the rule passed."""
        return f"<!-- {self} {'recovered' if is_recovered else 'open'} -->"

    def is_in(self, text: str) -> bool:
        """Return whether a text has it."""
        return any(self.comment(is_recovered) in text for is_recovered in (False, True))


@dataclass(frozen=True)
class IssueText:
    """The text of a new issue.

    Attributes:
        title: on one line, without markup.
        facts: name → value, of which any may be text of others.
        advice: what to do, one line each.
        failure: why the rule has failed, text of others.
        mark: of the issue.
    """

    title: str
    facts: Mapping[str, str]
    advice: tuple[str, ...]
    failure: str
    mark: Mark


@dataclass(frozen=True)
class TrackedIssue:
    """An issue of an alarm.

    Attributes:
        number: in its project.
        url: for people.
        is_open: whether it is.
        is_recovered: whether it was closed as the rule passed, and not by somebody before.
        body: of the issue, or its tags, as the tracker has them.
    """

    number: int
    url: str
    is_open: bool
    is_recovered: bool
    body: str


class IssueTracker(Protocol):
    """A project of an issue tracker.

    Every method may raise TrackerError. Repeating a call does no harm: its answer may have been
    lost.
    """

    def find(self, mark: Mark, since: datetime) -> TrackedIssue | None:
        """Return the issue with a mark, made since a moment; None if there is none."""
        ...

    def read(self, number: int, mark: Mark) -> TrackedIssue | None:
        """Return an issue; None if it is not there, or does not have the mark."""
        ...

    def create(self, text: IssueText) -> TrackedIssue:
        """Open an issue."""
        ...

    def close(self, issue: TrackedIssue, mark: Mark, comment: str) -> None:
        """Comment on an issue, and close it as recovered."""
        ...

    def reopen(self, issue: TrackedIssue, mark: Mark, comment: str) -> None:
        """Comment on an issue that was closed as recovered, and open it again."""
        ...


def number_of(url: str) -> int | None:
    """Return the number of an issue by its URL; None if it has none."""
    found = _NUMBER.search(url)
    return int(found[1]) if found else None


class Authorization(httpx.Auth):
    """Sends a header with every request; hidden from messages."""

    def __init__(self, value: str) -> None:
        """Send `value` as the header Authorization."""
        self._value = value

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add the header."""
        request.headers["Authorization"] = self._value
        yield request


class TrackerClient:
    """Requests to the API of one tracker; answers that lack what its documentation has are errors.

    Attributes:
        declared: the tracker.
    """

    def __init__(self, declared: DeclaredTracker, asking: Asking) -> None:
        self.declared = declared
        self._asking = asking

    def send(
        self,
        method: str,
        path: str,
        body: Json = None,
        headers: Mapping[str, str] | None = None,
        missing: bool = False,
    ) -> Answer:
        """Send a request.

        Args:
            method: of HTTP.
            path: after the base URL, quoted.
            body: sent as JSON; None for none.
            headers: beside those of every request.
            missing: whether an answer that there is no such issue is returned, too.

        Raises:
            TrackerError: the answer is another one, or did not come.
        """
        expected = (HTTPStatus.NOT_FOUND, HTTPStatus.GONE) if missing else ()
        try:
            return self._asking.ask(
                method, f"{self.declared.base_url}{path}", body, expected, headers
            )
        except CatalogueError as error:
            raise TrackerError(str(error), temporary=error.temporary, after=error.after) from error

    def object_of(self, answer: Answer) -> JsonObject | None:
        """Return the JSON object of an answer; None if there is no such thing.

        Raises:
            TrackerError: it is not one.
        """
        if answer.refusal is not None:
            return None
        found = as_object(answer)
        if not found:
            raise self.unexpected("no JSON object")
        return found

    def unexpected(self, what: str) -> TrackerError:
        """Return the error for an answer that does not have what the API documents."""
        return TrackerError(
            f"issue tracker {self.declared.name}: the answer has {what}; check that"
            f" {self.declared.base_url} is the API of {self.declared.platform}",
            temporary=True,
        )

    def listed(self, answer: Answer) -> list[JsonObject]:
        """Return the JSON objects of a list.

        Raises:
            TrackerError: it is not a list of objects.
        """
        found = answer.document
        if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
            raise self.unexpected("no list of JSON objects")
        return [each for each in found if isinstance(each, dict)]


@contextmanager
def opened_client(declared: DeclaredTracker) -> Iterator[TrackerClient]:
    """Open the API of a tracker.

    Args:
        declared: the tracker.

    Raises:
        SettingsError: its token cannot be read.
    """
    token = declared.token.read(f"issue tracker {declared.name}")
    # Azure takes personal access tokens as passwords
    basic = f"Basic {base64.b64encode(f':{token}'.encode()).decode()}"
    value = basic if declared.platform == "azure" else f"Bearer {token}"
    server = Server(
        declared.name,
        Authorization(value),
        f"token in {declared.token}",
        TIMEOUT,
        "issue tracker",
    )
    with server.asking() as asking:
        yield TrackerClient(declared, asking)
