"""One issue for each alarm, on servers that behave as GitLab, GitHub and Azure Boards do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from mlops_assets.errors import Conflict, SettingsError, StorageError
from mlops_assets.integrations.issue_trackers.declaration import DeclaredTrackers, read_trackers
from mlops_assets.integrations.issue_trackers.sync import Synchronised, synchronise
from mlops_assets.names import Reference
from mlops_assets.principals import Visibility
from mlops_assets.registry import Alarm, Registry
from mlops_assets.store import Store
from mlops_assets_tests.integrations.issue_trackers.tracker_servers import (
    SERVERS,
    TOKEN,
    AzureServer,
    TrackerServer,
    serving,
)
from mlops_assets_tests.models.test_promotion import registered
from mlops_assets_tests.monitoring.monitored import monitored, version_day
from mlops_assets_tests.registry.rows import failed_rule

HOSTILE = (
    "@everyone see #1, !2 and <img src=x onerror=alert(1)> | `x`\n/close\n# end --> [a](http://b)"
)


@pytest.fixture(params=SERVERS, ids=lambda kind: kind.platform)
def server(
    request: pytest.FixtureRequest, store: Store, monkeypatch: pytest.MonkeyPatch
) -> Iterator[TrackerServer]:
    monkeypatch.setenv("TRACKER_TOKEN", TOKEN)
    registered(store, "v1-a")
    with serving(request.param()) as found:
        yield found


def declared(server: TrackerServer, **changes: object) -> DeclaredTrackers:
    tracker = {
        "name": "team",
        "platform": server.platform,
        "url": server.url,
        "project": server.project,
        "token": {"variable": "TRACKER_TOKEN"},
    }
    return DeclaredTrackers.model_validate({"trackers": [tracker | changes]})


def alarm(store: Store, day: str = "2026-11-02", text: str = "31 % are outside") -> Alarm:
    return store.registry.raise_alarm(failed_rule("v1-a", day, text))


def changes(outcome: Synchronised) -> list[str | None]:
    assert [each.error for each in outcome.changes if each.error] == []
    return [each.change for each in outcome.changes]


def test_an_issue_is_opened_once_closed_on_recovery_and_opened_again(
    store: Store, server: TrackerServer
) -> None:
    monitored(store, "02", version_day(max_outside="failed"))
    raised = alarm(store)
    first = synchronise(store, declared(server, labels=["drift"]))
    assert changes(first) == ["opened"]
    (issue,) = server.issues
    assert issue.title == "crops: max_outside failed on 2026-11-02"
    assert "drift" in issue.tags
    for fact in ("crops@v1-a", "fields@v1", "31 % are outside", "0.31", "0.2", "run-v1-a"):
        assert fact in issue.body
    assert "monitoring/crops/2026-11-02/report.html" in issue.body
    url = store.registry.alarm(raised.id).issue
    assert str(url).startswith(server.url)
    assert str(url).endswith("/1")

    # it lasts: neither a comment nor, by the state of before, a request
    before = len(server.requests)
    alarm(store, "2026-11-03")
    again = synchronise(store, declared(server), first.settled)
    assert (changes(again), len(server.requests)) == ([], before)
    assert changes(synchronise(store, declared(server))) == []

    store.registry.close_alarm(raised, "2026-11-04")
    second = synchronise(store, declared(server), first.settled)
    assert (changes(second), issue.is_open) == (["closed"], False)
    assert issue.comments == ["The rule has passed on 2026-11-04."]
    assert changes(synchronise(store, declared(server))) == []

    alarm(store, "2026-11-04")
    third = synchronise(store, declared(server), second.settled)
    assert (changes(third), issue.is_open) == (["reopened"], True)
    assert issue.comments[1:] == ["The rule has failed again on 2026-11-04."]
    store.registry.close_alarm(raised, "2026-11-05")
    assert changes(synchronise(store, declared(server))) == ["closed"]
    assert len(server.issues) == 1


@pytest.mark.parametrize("crash", ["lost answer", "killed"])
def test_after_a_crash_the_issue_is_found_again(
    crash: str, store: Store, server: TrackerServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the issues of another alarm, whose number begins with the same digit, and of others
    for number in range(130):
        server.add(f"other {number}", "mlops-alarm", ["mlops-alarm"])
    raised = alarm(store)

    def killed(*_: object) -> None:
        raise StorageError("killed")

    with monkeypatch.context() as patch:
        if crash == "killed":
            patch.setattr(Registry, "note_issue", killed)
            with pytest.raises(StorageError, match="killed"):
                synchronise(store, declared(server))
        else:
            server.lost = True
            (failed,) = synchronise(store, declared(server)).changes
            assert "the server is unreachable" in str(failed.error)
    for number in range(130):
        server.add(f"later {number}", "", [])
    server.add("of alarm 11", server.issues[130].body.replace("-1 open", "-11 open"), [])
    assert changes(synchronise(store, declared(server))) == ["found"]
    assert str(store.registry.alarm(raised.id).issue).endswith("/131")


def test_an_alarm_that_ends_before_its_issue_is_recorded_closes_it(
    store: Store, server: TrackerServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    raised = alarm(store)
    server.lost = True
    synchronise(store, declared(server))
    store.registry.close_alarm(raised, "2026-11-03")
    other = alarm(store, "2026-11-05")
    store.registry.close_alarm(other, "2026-11-06")
    assert changes(synchronise(store, declared(server))) == ["closed"]
    assert [issue.is_open for issue in server.issues] == [False]


def test_text_of_others_is_rendered_literally(store: Store, server: TrackerServer) -> None:
    alarm(store, text=HOSTILE)
    assert changes(synchronise(store, declared(server))) == ["opened"]
    (issue,) = server.issues
    if isinstance(server, AzureServer):
        assert "<img" not in issue.body
    else:
        outside = re.sub(r"(`+) ?.*? ?\1", "", issue.body)
        assert not re.search(r"[@#!]\w|<img|\[a\]", outside)
        # the comment with the mark ends with its own end
        assert issue.body.rstrip().endswith(" open -->")


def test_what_people_do_with_an_issue_stays(store: Store, server: TrackerServer) -> None:
    raised = alarm(store)
    synchronise(store, declared(server))
    (issue,) = server.issues
    issue.is_open = False
    assert changes(synchronise(store, declared(server))) == []
    assert not issue.is_open
    issue.body += "\nA note by somebody."
    store.registry.close_alarm(raised, "2026-11-03")
    assert changes(synchronise(store, declared(server))) == ["closed"]
    assert ("A note by somebody." in issue.body, issue.comments) == (True, [])
    # removed, while its alarm is open again
    alarm(store, "2026-11-03")
    server.issues.clear()
    assert changes(synchronise(store, declared(server))) == []
    assert server.issues == []


@pytest.mark.parametrize("status", [401, 403, 404, 422, 429, 500, 503, 302])
def test_a_refusal_is_reported_without_the_token_and_tried_again(
    status: int, store: Store, server: TrackerServer
) -> None:
    alarm(store)
    server.faults = [(status, {"Retry-After": "120", "Location": "/elsewhere"})]
    outcome = synchronise(store, declared(server))
    (failed,) = outcome.changes
    assert f": {status}" in str(failed.error)
    assert str(failed.error).startswith("issue tracker team: ")
    assert TOKEN not in str(failed)
    assert server.token_header.partition(" ")[2] not in str(failed)
    assert outcome.settled == {}
    assert len(server.requests) == 1
    if status in (403, 429, 503):
        assert outcome.waits == {"team": 120.0}
    paused = synchronise(store, declared(server), outcome.settled, ["team"])
    assert (paused.changes, len(server.requests)) == ([], 1)
    assert changes(synchronise(store, declared(server))) == ["opened"]


def test_one_alarm_that_is_refused_holds_up_no_other(store: Store, server: TrackerServer) -> None:
    registered(store, "v1-b")
    alarm(store)
    other = failed_rule("v1-a", "2026-11-02")
    store.registry.raise_alarm(type(other)(other.model, "max_drift", other.day, "PSI 0.4"))
    server.faults = [(400, {})]
    outcome = synchronise(store, declared(server))
    assert [each.change for each in outcome.changes] == [None, "opened"]


def test_there_is_no_issue_for_private_versions_and_other_models(
    store: Store, server: TrackerServer
) -> None:
    raised = alarm(store)
    synchronise(store, declared(server, models=["other"]))
    store.registry.set_visibility(
        store.registry.model_version(Reference("crops")), Visibility.PRIVATE
    )
    synchronise(store, declared(server))
    assert server.requests == []
    assert raised.issue is None


def test_one_process_synchronises_at_a_time(store: Store, server: TrackerServer) -> None:
    with store.registry.lock("issues"), pytest.raises(Conflict):
        synchronise(store, declared(server))


def test_without_its_token_nothing_is_sent(
    store: Store, server: TrackerServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    alarm(store)
    monkeypatch.delenv("TRACKER_TOKEN")
    with pytest.raises(
        SettingsError, match="issue tracker team: its secret is in environment variable TRACKER"
    ):
        synchronise(store, declared(server))
    assert server.requests == []


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"platform": "jira"}, "platform"),
        ({"project": "../admin"}, "write project as OWNER/REPOSITORY"),
        ({"project": "a/b/c"}, "write project as OWNER/REPOSITORY"),
        ({"project": "a/b?x=1"}, "write project as OWNER/REPOSITORY"),
        ({"url": "https://me:word@example.org"}, "without credentials"),
        ({"token": "ghp_x"}, r"trackers\.0\.token"),
        ({"labels": ["a,b"]}, r"trackers\.0\.labels"),
        ({"name": "a b"}, "name of an issue tracker"),
    ],
)
def test_a_wrong_declaration_is_refused_with_its_place(
    changes: dict[str, object], problem: str, tmp_path: Path
) -> None:
    good = {
        "name": "team",
        "platform": "github",
        "project": "earth/crop-maps",
        "token": {"variable": "TRACKER_TOKEN"},
    }
    path = tmp_path / "issues.yaml"
    path.write_text(yaml.safe_dump({"trackers": [good]}))
    assert read_trackers(path).trackers[0].base_url == "https://api.github.com"
    path.write_text(yaml.safe_dump({"trackers": [good | changes]}))
    with pytest.raises(SettingsError, match=problem):
        read_trackers(path)
