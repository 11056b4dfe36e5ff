"""Issues in GitHub, by version 2022-11-28 of its API (https://docs.github.com/en/rest/issues)."""

from __future__ import annotations

from urllib.parse import quote

from mlops_assets.integrations.issue_trackers.marked_issues import MarkedIssues
from mlops_assets.integrations.issue_trackers.tracker import PAGE, TrackerClient
from mlops_assets.text.json_values import JsonObject

HEADERS = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}


class GitHub(MarkedIssues):
    """The issues of a GitHub repository."""

    body_field = "body"
    number_field = "number"
    url_field = "html_url"
    open_state = "open"

    def __init__(self, client: TrackerClient) -> None:
        """Work on the issues of the repository of a client."""
        super().__init__(client)
        self._path = f"/repos/{quote(client.declared.project)}/issues"

    def page(self, since: str, number: int) -> list[JsonObject]:
        """Return a page of the issues that were changed since a moment, newest first."""
        query = f"?since={quote(since)}&state=all&sort=created&direction=desc"
        path = f"{self._path}{query}&per_page={PAGE}&page={number}"
        return self.client.listed(self.client.send("GET", path, headers=HEADERS))

    def change(self, number: int, body: str, is_open: bool) -> None:
        """Set the description of an issue, and whether it is open."""
        changes: JsonObject = {
            "body": body,
            "state": "open" if is_open else "closed",
            "state_reason": "reopened" if is_open else "completed",
        }
        self.client.send("PATCH", f"{self._path}/{number}", changes, HEADERS)

    def comment(self, number: int, text: str) -> None:
        """Comment on an issue, in Markdown."""
        self.client.send("POST", f"{self._path}/{number}/comments", {"body": text}, HEADERS)

    def post(self, title: str, body: str) -> JsonObject:
        """Open an issue; return it."""
        document: JsonObject = {"title": title, "body": body}
        if self.client.declared.labels:
            document["labels"] = list(self.client.declared.labels)
        answer = self.client.send("POST", self._path, document, HEADERS)
        return self.client.object_of(answer) or {}

    def get(self, number: int) -> JsonObject | None:
        """Return an issue; None if there is none."""
        path = f"{self._path}/{number}"
        return self.client.object_of(self.client.send("GET", path, None, HEADERS, missing=True))
