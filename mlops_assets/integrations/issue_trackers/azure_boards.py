"""Work items of Azure Boards, by version 7.1 of its API.

https://learn.microsoft.com/rest/api/azure/devops/wit/work-items (changes are JSON Patch documents).
Its HTML editor drops comments, so that marks are tags.
"""

from __future__ import annotations

from datetime import datetime
from urllib.parse import quote

from mlops_assets.integrations.issue_trackers.text import html
from mlops_assets.integrations.issue_trackers.tracker import (
    IssueText,
    Mark,
    TrackedIssue,
    TrackerClient,
    TrackerError,
)
from mlops_assets.text.json_values import Json, JsonObject

VERSION = "api-version=7.1"
PATCH = {"Content-Type": "application/json-patch+json"}
RECOVERED = "mlops-recovered"
_TITLE, _DESCRIPTION = "System.Title", "System.Description"
_STATE, _TAGS, _HISTORY = "System.State", "System.Tags", "System.History"
# categories of the states of open and closed work items, whatever a process calls these
_PROPOSED, _COMPLETED = "Proposed", "Completed"


class AzureBoards:
    """The work items of a project of Azure Boards."""

    def __init__(self, client: TrackerClient) -> None:
        """Work on the work items of the project of a client."""
        self._client = client
        self._project = f"/{quote(client.declared.project)}"
        self._type = client.declared.work_item
        self._known: dict[str, str] | None = None

    def find(self, mark: Mark, since: datetime) -> TrackedIssue | None:
        """Return the work item with a mark; None if there is none."""
        # the mark has letters, digits and hyphens only
        query = (
            "SELECT [System.Id] FROM WorkItems"  # nosec B608
            f" WHERE [System.TeamProject] = @project AND [System.Tags] CONTAINS '{mark}'"
        )
        path = f"{self._project}/_apis/wit/wiql?{VERSION}&$top=200"
        answer = self._client.send("POST", path, {"query": query})
        found = (self._client.object_of(answer) or {}).get("workItems")
        if not isinstance(found, list):
            raise self._client.unexpected("no workItems")
        numbers = [each.get("id") for each in found if isinstance(each, dict)]
        for number in numbers:
            if isinstance(number, int) and (issue := self.read(number, mark)):
                return issue
        return None

    def read(self, number: int, mark: Mark) -> TrackedIssue | None:
        """Return a work item; None if it is not there, or does not have the mark."""
        path = f"{self._project}/_apis/wit/workitems/{number}?{VERSION}"
        document = self._client.object_of(self._client.send("GET", path, missing=True))
        if document is None:
            return None
        issue = self._issue(document)
        return issue if str(mark) in _tags(issue.body) else None

    def create(self, text: IssueText) -> TrackedIssue:
        """Open a work item."""
        tags = "; ".join((str(text.mark), *self._client.declared.labels))
        fields = {_TITLE: text.title, _DESCRIPTION: html(text), _TAGS: tags}
        kind = quote(self._type)
        path = f"{self._project}/_apis/wit/workitems/${kind}?{VERSION}"
        answer = self._client.send("POST", path, _patch(fields), PATCH)
        return self._issue(self._client.object_of(answer) or {})

    def close(self, issue: TrackedIssue, mark: Mark, comment: str) -> None:
        """Comment on a work item, and complete it as recovered."""
        tags = "; ".join((*_tags(issue.body), RECOVERED))
        changes = {_TAGS: tags}
        if issue.is_open:
            changes |= {_STATE: self._state(_COMPLETED), _HISTORY: comment}
        self._change(issue.number, changes)

    def reopen(self, issue: TrackedIssue, mark: Mark, comment: str) -> None:
        """Comment on a work item that was completed as recovered, and open it again."""
        tags = "; ".join(tag for tag in _tags(issue.body) if tag != RECOVERED)
        state = self._state(_PROPOSED)
        self._change(issue.number, {_TAGS: tags, _STATE: state, _HISTORY: comment})

    def _change(self, number: int, fields: dict[str, str]) -> None:
        path = f"{self._project}/_apis/wit/workitems/{number}?{VERSION}"
        self._client.send("PATCH", path, _patch(fields), PATCH)

    def _state(self, category: str) -> str:
        """Return the first state of a category."""
        states = [name for name, found in self._states().items() if found == category]
        if not states:
            raise TrackerError(
                f"issue tracker {self._client.declared.name}: work items {self._type!r} have no"
                f" state of the category {category}; declare another work_item",
                temporary=False,
            )
        return states[0]

    def _states(self) -> dict[str, str]:
        """Return the states of the type of work items, each with its category."""
        if self._known is None:
            path = f"{self._project}/_apis/wit/workitemtypes/{quote(self._type)}/states?{VERSION}"
            document = self._client.object_of(self._client.send("GET", path)) or {}
            found = document.get("value")
            if not isinstance(found, list):
                raise self._client.unexpected("no states")
            self._known = {
                str(each.get("name")): str(each.get("category"))
                for each in found
                if isinstance(each, dict)
            }
        return self._known

    def _issue(self, document: JsonObject) -> TrackedIssue:
        number, fields = document.get("id"), document.get("fields")
        if not isinstance(number, int) or not isinstance(fields, dict):
            raise self._client.unexpected("no id and fields of a work item")
        tags = str(fields.get(_TAGS) or "")
        closed = (_COMPLETED, "Removed", "Resolved")
        category = self._states().get(str(fields.get(_STATE)))
        return TrackedIssue(
            number=number,
            url=f"{self._client.declared.base_url}{self._project}/_workitems/edit/{number}",
            is_open=category not in closed,
            is_recovered=RECOVERED in _tags(tags),
            body=tags,
        )


def _tags(text: str) -> list[str]:
    return [tag.strip() for tag in text.split(";") if tag.strip()]


def _patch(fields: dict[str, str]) -> Json:
    """Return a JSON Patch document (RFC 6902) that sets fields; `add` replaces, too."""
    return [
        {"op": "add", "path": f"/fields/{name}", "value": value} for name, value in fields.items()
    ]
