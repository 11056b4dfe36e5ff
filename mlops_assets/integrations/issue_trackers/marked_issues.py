"""Issues in Markdown whose description has the mark: GitLab and GitHub differ in requests only."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from datetime import datetime, timedelta

from mlops_assets.integrations.issue_trackers.text import markdown
from mlops_assets.integrations.issue_trackers.tracker import (
    MAX_PAGES,
    PAGE,
    IssueText,
    Mark,
    TrackedIssue,
    TrackerClient,
    TrackerError,
)
from mlops_assets.text.json_values import Json, JsonObject

# by which the clock of a tracker may be behind
_SKEW = timedelta(hours=1)


class MarkedIssues(ABC):
    """Issues whose description has the mark as an HTML comment.

    Attributes:
        body_field: of an issue, that has its description.
        number_field: that has its number.
        url_field: that has its URL for people.
        open_state: the value of `state` of an open one.
    """

    body_field: str
    number_field: str
    url_field: str
    open_state: str

    def __init__(self, client: TrackerClient) -> None:
        """Work on the issues of the project of a client."""
        self.client = client

    @abstractmethod
    def page(self, since: str, number: int) -> list[JsonObject]:
        """Return a page of the issues that were made or changed since a moment, newest first."""

    @abstractmethod
    def change(self, number: int, body: str, is_open: bool) -> None:
        """Set the description of an issue, and whether it is open."""

    @abstractmethod
    def comment(self, number: int, text: str) -> None:
        """Comment on an issue, in Markdown."""

    @abstractmethod
    def post(self, title: str, body: str) -> JsonObject:
        """Open an issue; return it."""

    @abstractmethod
    def get(self, number: int) -> JsonObject | None:
        """Return an issue; None if there is none."""

    def find(self, mark: Mark, since: datetime) -> TrackedIssue | None:
        """Return the issue with a mark, made since a moment; None if there is none."""
        moment = (since - _SKEW).strftime("%Y-%m-%dT%H:%M:%SZ")
        for document in self._documents(moment):
            if mark.is_in(str(document.get(self.body_field) or "")):
                return self._issue(document, mark)
        return None

    def _documents(self, since: str) -> Iterator[JsonObject]:
        for number in range(1, MAX_PAGES + 1):
            found = self.page(since, number)
            yield from found
            if len(found) < PAGE:
                return
        raise TrackerError(
            f"issue tracker {self.client.declared.name}: more than {PAGE * MAX_PAGES:,} issues"
            f" since {since}, among which that of an alarm was not found; declare a project with"
            " fewer issues",
            temporary=False,
        )

    def read(self, number: int, mark: Mark) -> TrackedIssue | None:
        """Return an issue; None if it is not there, or does not have the mark."""
        document = self.get(number)
        if document is None or not mark.is_in(str(document.get(self.body_field) or "")):
            return None
        return self._issue(document, mark)

    def create(self, text: IssueText) -> TrackedIssue:
        """Open an issue."""
        return self._issue(self.post(text.title, markdown(text)), text.mark)

    def close(self, issue: TrackedIssue, mark: Mark, comment: str) -> None:
        """Comment on an issue, and close it as recovered."""
        if issue.is_open:
            self.comment(issue.number, comment)
        self._set_state(issue, mark, is_open=False)

    def reopen(self, issue: TrackedIssue, mark: Mark, comment: str) -> None:
        """Comment on an issue that was closed as recovered, and open it again."""
        self.comment(issue.number, comment)
        self._set_state(issue, mark, is_open=True)

    def _set_state(self, issue: TrackedIssue, mark: Mark, is_open: bool) -> None:
        # what people have changed in the description stays
        body = issue.body.replace(mark.comment(is_open), mark.comment(not is_open))
        self.change(issue.number, body, is_open)

    def _issue(self, document: JsonObject, mark: Mark) -> TrackedIssue:
        number = document.get(self.number_field)
        body = str(document.get(self.body_field) or "")
        if not isinstance(number, int) or not isinstance(document.get("state"), str):
            raise self.client.unexpected(f"no {self.number_field} and state of an issue")
        return TrackedIssue(
            number=number,
            url=self._url(document.get(self.url_field)),
            is_open=document["state"] == self.open_state,
            is_recovered=mark.comment(True) in body,
            body=body,
        )

    def _url(self, value: Json) -> str:
        # it is shown in pages
        if not isinstance(value, str) or not value.startswith(("https://", "http://")):
            raise self.client.unexpected("no URL of an issue")
        return value
