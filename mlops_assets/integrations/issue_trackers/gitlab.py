"""Issues in GitLab, by version 4 of its API (https://docs.gitlab.com/api/issues/)."""

from __future__ import annotations

from urllib.parse import quote

from mlops_assets.integrations.issue_trackers.marked_issues import MarkedIssues
from mlops_assets.integrations.issue_trackers.tracker import PAGE, TrackerClient
from mlops_assets.text.json_values import JsonObject


class GitLab(MarkedIssues):
    """The issues of a GitLab project."""

    body_field = "description"
    number_field = "iid"
    url_field = "web_url"
    open_state = "opened"

    def __init__(self, client: TrackerClient) -> None:
        """Work on the issues of the project of a client."""
        super().__init__(client)
        self._path = f"/api/v4/projects/{quote(client.declared.project, safe='')}/issues"

    def page(self, since: str, number: int) -> list[JsonObject]:
        """Return a page of the issues that were made since a moment, newest first."""
        query = (
            f"?created_after={quote(since)}&scope=all&state=all&order_by=created_at&sort=desc"
            f"&per_page={PAGE}&page={number}"
        )
        return self.client.listed(self.client.send("GET", f"{self._path}{query}"))

    def change(self, number: int, body: str, is_open: bool) -> None:
        """Set the description of an issue, and whether it is open."""
        event = "reopen" if is_open else "close"
        changes: JsonObject = {"description": body, "state_event": event}
        self.client.send("PUT", f"{self._path}/{number}", changes)

    def comment(self, number: int, text: str) -> None:
        """Comment on an issue, in Markdown."""
        self.client.send("POST", f"{self._path}/{number}/notes", {"body": text})

    def post(self, title: str, body: str) -> JsonObject:
        """Open an issue; return it."""
        document: JsonObject = {"title": title, "description": body}
        if self.client.declared.labels:
            document["labels"] = ",".join(self.client.declared.labels)
        return self.client.object_of(self.client.send("POST", self._path, document)) or {}

    def get(self, number: int) -> JsonObject | None:
        """Return an issue; None if there is none."""
        return self.client.object_of(
            self.client.send("GET", f"{self._path}/{number}", missing=True)
        )
