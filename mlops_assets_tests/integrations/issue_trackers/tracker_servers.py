"""Servers on loopback that behave as the APIs of GitLab, GitHub and Azure Boards are documented.

They check method, path, headers and body of each request as strictly, and answer the status codes
and fields that are documented:

* https://docs.gitlab.com/api/issues/ and /api/notes/
* https://docs.github.com/en/rest/issues/issues and /comments
* https://learn.microsoft.com/rest/api/azure/devops/wit/ (work items, wiql, work item type states)
"""

from __future__ import annotations

import base64
import json
import re
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

TOKEN = "glpat-Geheim-123"


@dataclass
class Issue:
    """An issue on a server."""

    number: int
    title: str
    body: str
    tags: list[str]
    is_open: bool = True
    comments: list[str] = field(default_factory=list)
    created: str = field(default_factory=lambda: datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))


@dataclass
class Request:
    """A request that a server has received."""

    method: str
    path: str
    query: dict[str, str]
    headers: Any
    body: Any


class Refused(Exception):
    """A refusal of a server: status, message and headers."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or {}


class TrackerServer(ABC):
    """A server of one project.

    Attributes:
        issues: by number − 1.
        requests: so far, as "METHOD path".
        faults: what is answered to the next requests instead: a status, with headers.
        lost: whether the answer to the next new issue is lost after it was made.
    """

    platform: str
    project: str
    token_header: str

    def __init__(self) -> None:
        self.issues: list[Issue] = []
        self.requests: list[str] = []
        self.faults: list[tuple[int, dict[str, str]]] = []
        self.lost = False
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def add(self, title: str, body: str, tags: list[str]) -> Issue:
        self.issues.append(Issue(len(self.issues) + 1, title, body, tags))
        return self.issues[-1]

    def issue(self, number: str) -> Issue:
        if not 1 <= int(number) <= len(self.issues):
            raise Refused(404, "404 Not found")
        return self.issues[int(number) - 1]

    @abstractmethod
    def answer(self, request: Request) -> tuple[int, Any]:
        """Return status and document."""


class GitLabServer(TrackerServer):
    """GitLab."""

    platform = "gitlab"
    project = "earth/crop-maps"
    token_header = f"Bearer {TOKEN}"

    def answer(self, request: Request) -> tuple[int, Any]:
        found = re.fullmatch(
            r"/api/v4/projects/earth%2Fcrop-maps/issues(?:/(\d+)(/notes)?)?", request.path
        )
        if not found:
            raise Refused(404, "404 Project Not Found")
        number, notes = found.groups()
        body = request.body
        match request.method, bool(number), bool(notes):
            case "GET", False, _:
                assert set(request.query) <= {
                    *("created_after", "scope", "state", "order_by", "sort", "per_page", "page")
                }
                datetime.fromisoformat(request.query["created_after"])
                after = request.query["created_after"]
                listed = [each for each in self.issues[::-1] if each.created >= after]
                size, page = int(request.query["per_page"]), int(request.query["page"])
                assert size <= 100
                assert (request.query["state"], request.query["scope"]) == ("all", "all")
                return 200, [self.shown(each) for each in listed[(page - 1) * size : page * size]]
            case "POST", False, _:
                if not body.get("title"):
                    raise Refused(400, "title is missing")
                # GitLab executes these
                assert not re.search("^/", body["description"], re.MULTILINE)
                labels = body["labels"].split(",") if "labels" in body else []
                return 201, self.shown(self.add(body["title"], body["description"], labels))
            case "GET", True, False:
                return 200, self.shown(self.issue(number))
            case "PUT", True, False:
                issue = self.issue(number)
                assert body.keys() <= {"description", "state_event"}
                issue.body = body.get("description", issue.body)
                issue.is_open = {"close": False, "reopen": True}[body["state_event"]]
                return 200, self.shown(issue)
            case "POST", True, True:
                self.issue(number).comments.append(body["body"])
                return 201, {"id": 1, "body": body["body"]}
        raise Refused(405, "405 Method Not Allowed")

    def shown(self, issue: Issue) -> dict[str, Any]:
        return {
            "id": 1000 + issue.number,
            "iid": issue.number,
            "title": issue.title,
            "description": issue.body,
            "state": "opened" if issue.is_open else "closed",
            "created_at": issue.created,
            "labels": issue.tags,
            "web_url": f"{self.url}/earth/crop-maps/-/issues/{issue.number}",
        }


class GitHubServer(TrackerServer):
    """GitHub."""

    platform = "github"
    project = "earth/crop-maps"
    token_header = f"Bearer {TOKEN}"

    def answer(self, request: Request) -> tuple[int, Any]:
        if not request.headers["User-Agent"]:
            raise Refused(403, "Request forbidden by administrative rules")
        assert request.headers["Accept"] == "application/vnd.github+json"
        assert request.headers["X-GitHub-Api-Version"] == "2022-11-28"
        found = re.fullmatch(r"/repos/earth/crop-maps/issues(?:/(\d+)(/comments)?)?", request.path)
        if not found:
            raise Refused(404, "Not Found")
        number, comments = found.groups()
        body = request.body
        match request.method, bool(number), bool(comments):
            case "GET", False, _:
                after = request.query["since"]
                datetime.fromisoformat(after)
                size, page = int(request.query["per_page"]), int(request.query["page"])
                assert size <= 100
                assert request.query["state"] == "all"
                listed = [each for each in self.issues[::-1] if each.created >= after]
                return 200, [self.shown(each) for each in listed[(page - 1) * size : page * size]]
            case "POST", False, _:
                if not body.get("title"):
                    raise Refused(422, "Validation Failed")
                return 201, self.shown(
                    self.add(body["title"], body["body"], body.get("labels", []))
                )
            case "GET", True, False:
                return 200, self.shown(self.issue(number))
            case "PATCH", True, False:
                issue = self.issue(number)
                assert body["state_reason"] in ("completed", "not_planned", "reopened")
                issue.body = body.get("body", issue.body)
                issue.is_open = {"closed": False, "open": True}[body["state"]]
                return 200, self.shown(issue)
            case "POST", True, True:
                self.issue(number).comments.append(body["body"])
                return 201, {"id": 1, "body": body["body"]}
        raise Refused(404, "Not Found")

    def shown(self, issue: Issue) -> dict[str, Any]:
        return {
            "id": 1000 + issue.number,
            "number": issue.number,
            "title": issue.title,
            "body": issue.body,
            "state": "open" if issue.is_open else "closed",
            "labels": [{"name": tag} for tag in issue.tags],
            "html_url": f"{self.url}/earth/crop-maps/issues/{issue.number}",
        }


class AzureServer(TrackerServer):
    """Azure Boards, of a project with the process Basic."""

    platform = "azure"
    project = "earth/Crop Maps"
    token_header = f"Basic {base64.b64encode(f':{TOKEN}'.encode()).decode()}"
    states: ClassVar = {"To Do": "Proposed", "Doing": "InProgress", "Done": "Completed"}

    def answer(self, request: Request) -> tuple[int, Any]:
        if request.query.get("api-version") != "7.1":
            raise Refused(400, "No api-version was supplied")
        found = re.fullmatch(r"/earth/Crop%20Maps/_apis/wit/(.+)", request.path)
        if not found:
            raise Refused(404, "TF200016: The following project does not exist")
        match request.method, found[1].split("/"):
            case "GET", ["workitemtypes", "Issue", "states"]:
                states = [
                    {"name": k, "category": v, "color": "b2b2b2"} for k, v in self.states.items()
                ]
                return 200, {"count": len(states), "value": states}
            case "POST", ["wiql"]:
                assert "@project" in request.body["query"]
                tag = re.findall(r"\[System.Tags\] CONTAINS '([\w-]+)'", request.body["query"])[0]
                # whether a tag is meant whole is not documented
                listed = [
                    each.number for each in self.issues if any(tag in own for own in each.tags)
                ]
                return 200, {"queryType": "flat", "workItems": [{"id": n} for n in listed]}
            case "POST", ["workitems", "$Issue"]:
                fields = self.patch(request)
                tags = fields.pop("System.Tags").split("; ")
                added = self.add(fields.pop("System.Title"), fields.pop("System.Description"), tags)
                assert not fields
                return 200, self.shown(added)
            case "GET", ["workitems", number]:
                return 200, self.shown(self.issue(number))
            case "PATCH", ["workitems", number]:
                fields = self.patch(request)
                issue = self.issue(number)
                if "System.Tags" in fields:
                    issue.tags = fields.pop("System.Tags").split("; ")
                if "System.State" in fields:
                    issue.is_open = self.states[fields.pop("System.State")] != "Completed"
                if "System.History" in fields:
                    issue.comments.append(fields.pop("System.History"))
                assert not fields
                return 200, self.shown(issue)
        raise Refused(404, "Page not found")

    def patch(self, request: Request) -> dict[str, str]:
        if request.headers["Content-Type"] != "application/json-patch+json":
            raise Refused(415, "The request contains an entity body but no supported Content-Type")
        assert all(each["op"] == "add" for each in request.body)
        return {each["path"].removeprefix("/fields/"): each["value"] for each in request.body}

    def shown(self, issue: Issue) -> dict[str, Any]:
        fields = {
            "System.Title": issue.title,
            "System.State": "To Do" if issue.is_open else "Done",
            "System.Tags": "; ".join(issue.tags),
            # HTML comments are dropped
            "System.Description": re.sub("<!--.*?-->", "", issue.body),
        }
        url = f"{self.url}/earth/_apis/wit/workItems/{issue.number}"
        return {"id": issue.number, "rev": 1, "fields": fields, "url": url}


SERVERS = (GitLabServer, GitHubServer, AzureServer)


@contextmanager
def serving(server: TrackerServer) -> Iterator[TrackerServer]:
    """Run a server on a port of its own."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_request(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            raw = self.rfile.read(size)
            parts = urlsplit(self.path)
            server.requests.append(f"{self.command} {parts.path}")
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            headers: dict[str, str] = {}
            try:
                if server.faults:
                    status, headers = server.faults.pop(0)
                    raise Refused(status, f"refused, {self.headers['Authorization']}", headers)
                if self.headers["Authorization"] != server.token_header:
                    raise Refused(401, "401 Unauthorized")
                body = json.loads(raw) if raw else None
                request = Request(self.command, parts.path, query, self.headers, body)
                before = len(server.issues)
                status, document = server.answer(request)
                if server.lost and len(server.issues) > before:
                    server.lost = False
                    self.close_connection = True
                    return
            except Refused as refused:
                status, document, headers = (
                    refused.status,
                    {"message": str(refused)},
                    refused.headers,
                )
            content = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def do_GET(self) -> None:
            self.handle_request()

        def do_POST(self) -> None:
            self.handle_request()

        def do_PUT(self) -> None:
            self.handle_request()

        def do_PATCH(self) -> None:
            self.handle_request()

        def log_message(self, *_: object) -> None:
            pass

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.daemon_threads = True
    server.port = running.server_address[1]
    threading.Thread(target=running.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        running.shutdown()
        running.server_close()
