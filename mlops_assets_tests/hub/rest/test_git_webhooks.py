"""Pushes of git servers, over HTTP: who is let in, and what comes of it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import yaml
from sqlalchemy.exc import OperationalError

from mlops_assets.errors import OrchestratorUnavailable
from mlops_assets.hub.app import HubSettings, create_app
from mlops_assets.hub.orchestration.launcher import Launched, TrainingRequest
from mlops_assets.integrations.git_webhooks.declaration import read_git_webhooks
from mlops_assets.names import Reference
from mlops_assets.store import Store
from mlops_assets_tests.hub.rest.runs.test_launches import Noting
from mlops_assets_tests.hub.serving import TOKEN
from mlops_assets_tests.servers.asgi import served

SECRET = "a-secret-of-the-git-server"
FORMER = "the-secret-that-was-before"
COMMIT = "1f" * 20
HOOK: dict[str, Any] = {
    "secret": {"variable": "GIT_SECRET"},
    "repositories": ["team/fieldwork"],
    "refs": ["main", "release/*"],
    "events": ["push", "tag"],
    "train": [{"model": "declared_crops"}],
}
HOOKS = [
    {**HOOK, "name": "github", "provider": "github", "former_secret": {"variable": "GIT_FORMER"}},
    {**HOOK, "name": "gitea", "provider": "gitea"},
    {**HOOK, "name": "gitlab", "provider": "gitlab", "events": ["push"]},
    {**HOOK, "name": "token", "provider": "gitlab_token"},
    {**HOOK, "name": "azure", "provider": "azure", "user": "hook"},
    {**HOOK, "name": "unset", "provider": "github", "secret": {"variable": "GIT_UNSET"}},
    {**HOOK, "name": "weak", "provider": "github", "secret": {"variable": "GIT_WEAK"}},
    {**HOOK, "name": "both", "provider": "github", "commit": ["fields"], "acts_for": "bot"},
    {**HOOK, "name": "wrong", "provider": "github", "train": [{"model": "no_such_model"}]},
]


@dataclass
class Dagster(Noting):
    """A launcher that notes what it is asked for, and fails if it is to."""

    broken: Exception | None = None
    committed: list[str] = field(default_factory=list)

    def train(self, store: Store, request: TrainingRequest) -> Launched:
        if self.broken:
            raise self.broken
        return super().train(store, request)

    def commit(self, store: Store, dataset: str) -> Launched:
        if self.broken:
            raise self.broken
        self.committed.append(f"{dataset} for {store.user}")
        return Launched("5678")


@dataclass(frozen=True)
class Server:
    """A git server that calls the hub."""

    url: str

    def send(self, name: str, body: bytes, **headers: str) -> httpx.Response:
        own = {name.replace("_", "-"): value for name, value in headers.items()}
        return httpx.post(
            f"{self.url}/api/v1/git-webhooks/{name}",
            content=body,
            headers={"content-type": "application/json", **own},
        )

    def github(self, name: str = "github", secret: str = SECRET, **changes: Any) -> httpx.Response:
        body = push(**changes)
        return self.send(
            name, body, x_github_event="push", x_hub_signature_256=signature(body, secret)
        )


@pytest.fixture
def launcher() -> Dagster:
    return Dagster()


@pytest.fixture
def server(
    store: Store, launcher: Dagster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Server]:
    for name, value in (("SECRET", SECRET), ("FORMER", FORMER), ("WEAK", "short")):
        monkeypatch.setenv(f"GIT_{name}", value)
    (tmp_path / "git-webhooks.yaml").write_text(yaml.safe_dump({"git_webhooks": HOOKS}))
    settings = HubSettings(
        store.workspace.root / "dagster",
        TOKEN,
        git_webhooks=read_git_webhooks(tmp_path / "git-webhooks.yaml"),
    )
    with served(create_app(store, settings, launcher=launcher)) as url:
        yield Server(url)


def push(**changes: Any) -> bytes:
    """The body of a push as GitHub and Gitea have it."""
    document = {
        "ref": "refs/heads/main",
        "after": COMMIT,
        "repository": {"full_name": "team/fieldwork"},
    }
    return json.dumps(document | changes).encode()


def gitlab_push(kind: str = "push", **changes: Any) -> bytes:
    document = {
        "object_kind": kind,
        "ref": "refs/heads/main",
        "after": COMMIT,
        "project": {"path_with_namespace": "team/fieldwork"},
    }
    return json.dumps(document | changes).encode()


def signature(body: bytes, secret: str = SECRET) -> str:
    return f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"


def standard(body: bytes, age: int = 0, key: bytes = SECRET.encode()) -> dict[str, str]:
    moment = str(int(time.time()) - age)
    signed = f"msg_1.{moment}.".encode() + body
    digest = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return {
        "webhook_id": "msg_1",
        "webhook_timestamp": moment,
        "webhook_signature": f"v1,{'A' * 43}= v1,{digest}",
    }


def test_a_push_trains_for_the_principal_of_the_webhook_once(
    store: Store, server: Server, launcher: Dagster
) -> None:
    answer = server.github("both")
    assert answer.status_code == 202, answer.text
    assert answer.json()["outcome"] == "launched"
    assert [run["orchestration_run"] for run in answer.json()["runs"]] == ["5678", "1234"]
    tags = {
        "git.commit": COMMIT,
        "git.ref": "refs/heads/main",
        "git.repository": "team/fieldwork",
        "git.webhook": "both",
    }
    request = TrainingRequest("declared_crops", Reference("fields"), tags=tags)
    assert launcher.asked == [("train", "bot", request)]
    assert launcher.committed == ["fields for bot"]
    again = server.github("both")
    assert (again.status_code, again.json()["outcome"]) == (200, "known")
    assert len(launcher.asked) == len(launcher.committed) == 1
    (row,) = store.registry.git_deliveries()
    assert (row.webhook, row.ref, row.commit) == ("both", "refs/heads/main", COMMIT)
    newest = store.registry.newest_number()
    entry = json.loads(store.registry.log_texts(newest, newest)[0])
    assert (entry["principal"], entry["action"]) == ("bot", "receive git push")
    assert COMMIT in json.dumps(entry)


def test_the_same_push_at_the_same_time_counts_once(server: Server, launcher: Dagster) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: server.github().json()["outcome"], range(8)))
    assert sorted(answers) == ["known"] * 7 + ["launched"]
    assert len(launcher.asked) == 1


@pytest.mark.parametrize(
    ("name", "body", "proof"),
    [
        ("github", push(), {"x_github_event": "push", "x_hub_signature_256": signature(push())}),
        (
            "github",
            push(),
            {"x_github_event": "push", "x_hub_signature_256": signature(push(), FORMER)},
        ),
        (
            "gitea",
            push(),
            {
                "x_gitea_event": "push",
                "x_gitea_signature": signature(push()).removeprefix("sha256="),
            },
        ),
        ("gitlab", gitlab_push(), None),  # proves its time, too
        ("token", gitlab_push(), {"x_gitlab_token": SECRET}),
        ("token", gitlab_push("tag_push", ref="refs/tags/release/1"), {"x_gitlab_token": SECRET}),
        (
            "azure",
            json.dumps(
                {
                    "eventType": "git.push",
                    "resource": {
                        "refUpdates": [
                            {"name": "refs/heads/other", "newObjectId": COMMIT},
                            {"name": "refs/heads/release/x", "newObjectId": COMMIT},
                        ],
                        "repository": {"name": "fieldwork", "project": {"name": "team"}},
                    },
                }
            ).encode(),
            {"authorization": f"Basic {base64.b64encode(f'hook:{SECRET}'.encode()).decode()}"},
        ),
    ],
)
def test_each_server_is_known_by_its_proof(
    server: Server, launcher: Dagster, name: str, body: bytes, proof: dict[str, str] | None
) -> None:
    headers = standard(body) if proof is None else proof
    assert server.send(name, body, **headers).status_code == 202
    assert len(launcher.asked) == 1
    if name != "token" and name != "azure":  # these prove who sends, not what
        changed = body.replace(COMMIT.encode(), b"2e" * 20)
        assert server.send(name, changed, **headers).status_code == 401
    for header in headers:
        if header.endswith("event"):
            continue
        without = {other: value for other, value in headers.items() if other != header}
        assert server.send(name, body, **without).status_code == 401
        assert server.send(name, body, **{**headers, header: ""}).status_code == 401
        wrong = f"{headers[header][:-2]}x="
        assert server.send(name, body, **{**headers, header: wrong}).status_code == 401
    assert len(launcher.asked) == 1


@pytest.mark.parametrize("age", [301, -301, 10**9])
def test_an_old_standard_message_is_refused(server: Server, launcher: Dagster, age: int) -> None:
    body = gitlab_push()
    assert server.send("gitlab", body, **standard(body, age)).status_code == 401
    assert launcher.asked == []


def test_a_secret_of_standard_webhooks_is_base64(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = b"k" * 32
    monkeypatch.setenv("GIT_SECRET", f"whsec_{base64.b64encode(key).decode()}")
    body = gitlab_push()
    assert server.send("gitlab", body, **standard(body, key=key)).status_code == 202
    monkeypatch.setenv("GIT_SECRET", "whsec_not base64 at all")
    assert server.send("gitlab", body, **standard(body, key=key)).status_code == 503


@pytest.mark.parametrize(
    "header", ["X-Hub-Signature-256", "x-hub-signature-256", "X-HUB-SIGNATURE-256"]
)
def test_a_header_that_is_there_twice_proves_nothing(
    server: Server, launcher: Dagster, header: str
) -> None:
    body = push()
    headers = [
        ("content-type", "application/json"),
        ("x-github-event", "push"),
        (header, signature(body)),
        ("x-hub-signature-256", signature(body)),
    ]
    url = f"{server.url}/api/v1/git-webhooks/github"
    assert httpx.post(url, content=body, headers=headers).status_code == 401
    assert launcher.asked == []


def test_what_does_not_count_starts_nothing(server: Server, launcher: Dagster) -> None:
    body = push()
    for event in ("ping", "pull_request", "PUSH"):
        answer = server.send(
            "github", body, x_github_event=event, x_hub_signature_256=signature(body)
        )
        assert (answer.status_code, answer.json()["outcome"]) == (200, "ignored")
    for changes in (
        {"ref": "refs/heads/mainline"},
        {"ref": "refs/heads/Main"},
        {"ref": "refs/heads/main; touch /tmp/x; $(id) `id`"},
        {"ref": "refs/heads/" + "x" * 100_000},
        {"ref": "refs/pull/1/head"},
        {"ref": "main"},
        {"repository": {"full_name": "evil/fieldwork"}},
        {"after": "0" * 40},
    ):
        answer = server.github(**changes)
        assert (answer.status_code, answer.json()["outcome"]) == (200, "ignored"), changes
    tag = gitlab_push("tag_push", ref="refs/tags/main")
    answer = server.send("gitlab", tag, **standard(tag))
    assert answer.json()["reason"] == "the event tag does not count"
    assert launcher.asked == []


def test_a_branch_of_any_name_is_recorded_as_it_is(server: Server, launcher: Dagster) -> None:
    name = "release/`id`;$(x)|'\"\\ \u202e@all" + "é" * 400
    assert server.github(ref=f"refs/heads/{name}").status_code == 202
    ((_, _, request),) = launcher.asked
    assert isinstance(request, TrainingRequest)
    recorded = request.tags["git.ref"]
    assert recorded.startswith("refs/heads/release/`id`;$(x)|'\"\\ \\u202e@all")
    assert len(recorded) == 255


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b'{"ref": 1, "ref": 2}', 400),
        (b"[" * 100_000, 400),
        (b"[]", 422),
        (b"{}", 422),
        (push(after="HEAD"), 422),
        (push(ref=["refs/heads/main"]), 422),
        (push(repository="team/fieldwork"), 422),
    ],
)
def test_a_signed_body_that_is_no_push_is_refused(
    server: Server, launcher: Dagster, body: bytes, status: int
) -> None:
    answer = server.send("github", body, x_github_event="push", x_hub_signature_256=signature(body))
    assert answer.status_code == status
    assert launcher.asked == []


def test_a_huge_body_is_not_read(server: Server) -> None:
    parts = urlsplit(server.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=10) as connection:
        connection.sendall(
            b"POST /api/v1/git-webhooks/github HTTP/1.1\r\nHost: x\r\n"
            b"X-Hub-Signature-256: sha256=00\r\nContent-Length: 999999999\r\n\r\n"
        )
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")
    body = b" " * (4 << 20) + push()
    answer = server.send("github", body, x_github_event="push", x_hub_signature_256=signature(body))
    assert answer.status_code == 413
    # nor one without a proof, of whatever size
    with socket.create_connection((parts.hostname, parts.port), timeout=10) as connection:
        connection.sendall(
            b"POST /api/v1/git-webhooks/github HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n"
        )
        assert connection.recv(100).startswith(b"HTTP/1.1 401 ")


def test_who_is_not_known_learns_nothing(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    unknown = server.github("no_such_webhook")
    unsigned = server.github(secret="another-secret-altogether")
    assert unknown.status_code == unsigned.status_code == 401
    assert unknown.json() == unsigned.json()
    for name, reason in (("unset", "GIT_UNSET"), ("weak", "can be guessed")):
        answer = server.github(name)
        assert answer.status_code == 503
        assert "GIT_" not in answer.text
        assert any(reason in record.getMessage() for record in caplog.records)
    assert httpx.get(f"{server.url}/api/v1/git-webhooks/github").status_code == 401
    assert SECRET not in caplog.text


def test_other_forms_than_json_are_refused(server: Server) -> None:
    body = b"payload=%7B%7D"
    url = f"{server.url}/api/v1/git-webhooks/github"
    headers = {"x-github-event": "push", "x-hub-signature-256": signature(body)}
    form = {**headers, "content-type": "application/x-www-form-urlencoded"}
    assert httpx.post(url, content=body, headers=form).status_code == 415
    packed = {**headers, "content-type": "application/json", "content-encoding": "gzip"}
    assert httpx.post(url, content=body, headers=packed).status_code == 415


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (OrchestratorUnavailable("Dagster is out of reach"), 503),
        (OperationalError("SELECT 1", None, OSError("Dagster's database restarts")), 500),
    ],
)
def test_what_could_not_be_started_may_be_sent_again(
    store: Store, server: Server, launcher: Dagster, error: Exception, status: int
) -> None:
    launcher.broken = error
    assert server.github("both").status_code == status
    assert store.registry.git_deliveries() == []
    launcher.broken = None
    assert server.github("both").status_code == 202
    assert len(launcher.asked) == 1
    wrong = server.github("wrong")
    assert (wrong.status_code, "no_such_model" in wrong.text) == (404, True)
