"""Issues follow alarms: opened once, closed when the rule passes, opened again when it fails again.

Each step is found again by the mark of the issue, so that a process that was killed between two
steps, or whose answer was lost, opens no second issue.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

from mlops_assets.errors import Hidden, NotFound
from mlops_assets.integrations.issue_trackers.azure_boards import AzureBoards
from mlops_assets.integrations.issue_trackers.declaration import DeclaredTracker, DeclaredTrackers
from mlops_assets.integrations.issue_trackers.github import GitHub
from mlops_assets.integrations.issue_trackers.gitlab import GitLab
from mlops_assets.integrations.issue_trackers.text import (
    failed_again_text,
    issue_text,
    recovered_text,
)
from mlops_assets.integrations.issue_trackers.tracker import (
    IssueText,
    IssueTracker,
    Mark,
    TrackedIssue,
    TrackerError,
    number_of,
    opened_client,
)
from mlops_assets.monitoring.documents import read_documents
from mlops_assets.names import Reference
from mlops_assets.paths import monitoring_key
from mlops_assets.principals import Visibility
from mlops_assets.registry import Alarm, ModelVersion, Run
from mlops_assets.registry.log.chain import sha256_of_entry
from mlops_assets.registry.session import now
from mlops_assets.store import Store

# no request begins later in one synchronisation, which is less than the 60 s of a sensor's tick
SYNC_SECONDS = 30.0
# an alarm without issue that is over is looked up for so long: a process may have been killed
# between opening its issue and recording it
LOOKED_UP = timedelta(days=7)
OPEN = "open"
Change = Literal["opened", "found", "closed", "reopened"]


@dataclass(frozen=True)
class IssueChange:
    """What has become of the issue of an alarm.

    Attributes:
        alarm: number of the alarm.
        tracker: name of the tracker.
        change: of the issue; None if it failed.
        url: of the issue; None if there is none.
        error: why it failed.
    """

    alarm: int
    tracker: str
    change: Change | None = None
    url: str | None = None
    error: str | None = None


@dataclass
class Synchronised:
    """The outcome of a synchronisation.

    Attributes:
        settled: number of an alarm → the state that its issue follows: `open`, or the day on which
            the rule has passed. For the next synchronisation, which leaves these alone.
        waits: name of a tracker → seconds that it asks to wait.
        changes: and failures.
    """

    settled: dict[int, str] = field(default_factory=dict)
    waits: dict[str, float] = field(default_factory=dict)
    changes: list[IssueChange] = field(default_factory=list)


def synchronise(
    store: Store,
    declared: DeclaredTrackers,
    settled: Mapping[int, str] | None = None,
    paused: Sequence[str] = (),
) -> Synchronised:
    """Have issues follow the alarms.

    There are none for alarms of private versions, as trackers are outside of the workspace. An
    issue that somebody has closed, moved or removed while its alarm is open stays so.

    Args:
        store: workspace and registry.
        declared: the issue trackers.
        settled: of the last synchronisation; None to check the issue of every alarm.
        paused: names of trackers that have asked to wait.

    Raises:
        Conflict: another process is synchronising.
        Forbidden: the principal is not a scientist.
        SettingsError: a token cannot be read.
    """
    outcome = Synchronised()
    with store.registry.lock("issues", timeout=0):
        workspace = workspace_id(store)
        until = time.monotonic() + SYNC_SECONDS
        by_tracker: dict[str, list[Alarm]] = {}
        for alarm in reversed(store.registry.alarms()):
            tracker = declared.of_model(alarm.model)
            if (settled or {}).get(alarm.id) == _state(alarm) or tracker is None:
                outcome.settled[alarm.id] = _state(alarm)
            else:
                by_tracker.setdefault(tracker.name, []).append(alarm)
        for tracker in declared.trackers:
            if tracker.name in by_tracker and tracker.name not in paused:
                _Synchroniser(store, tracker, workspace, outcome).run(
                    by_tracker[tracker.name], until
                )
    return outcome


def workspace_id(store: Store) -> str:
    """Return what marks of issues name a workspace by: the beginning of its registry's log."""
    first = store.registry.log_texts(1, 1)
    return sha256_of_entry(first[0])[:16] if first else "0" * 16


def open_tracker(declared: DeclaredTracker, opened: ExitStack) -> IssueTracker:
    """Open a tracker.

    Args:
        declared: the tracker.
        opened: closes its connections.

    Raises:
        SettingsError: its token cannot be read.
    """
    client = opened.enter_context(opened_client(declared))
    if declared.platform == "gitlab":
        return GitLab(client)
    return GitHub(client) if declared.platform == "github" else AzureBoards(client)


def _state(alarm: Alarm) -> str:
    return alarm.recovered_day or OPEN


@dataclass
class _Synchroniser:
    """Issues of one tracker.

    Attributes:
        store: workspace and registry.
        declared: the tracker.
        workspace: id of the workspace.
        outcome: that changes are added to.
    """

    store: Store
    declared: DeclaredTracker
    workspace: str
    outcome: Synchronised

    def run(self, alarms: Sequence[Alarm], until: float) -> None:
        """Have the issues of alarms follow them, until a moment of the monotonic clock."""
        with ExitStack() as opened:
            tracker = open_tracker(self.declared, opened)
            for alarm in alarms:
                if time.monotonic() > until:
                    return
                try:
                    change = self._follow(tracker, alarm)
                except TrackerError as error:
                    self._add(alarm, None, None, str(error))
                    if error.after is not None:
                        self.outcome.waits[self.declared.name] = error.after
                    if error.temporary:
                        return
                    continue
                self.outcome.settled[alarm.id] = _state(alarm)
                if change is not None:
                    self._add(alarm, *change)

    def _add(
        self, alarm: Alarm, change: Change | None, url: str | None, error: str | None = None
    ) -> None:
        self.outcome.changes.append(IssueChange(alarm.id, self.declared.name, change, url, error))

    def _follow(self, tracker: IssueTracker, alarm: Alarm) -> tuple[Change, str] | None:
        """Have an issue follow its alarm; return what has changed."""
        row = self._version(alarm)
        if row is None:
            return None
        mark = Mark(self.workspace, alarm.id)
        change: Change | None = None
        if alarm.issue is not None:
            number = number_of(alarm.issue)
            issue = None if number is None else tracker.read(number, mark)
        else:
            change, issue = self._first(tracker, alarm, row, mark)
        if issue is None:
            return None
        if alarm.recovered_day is not None and not issue.is_recovered:
            tracker.close(issue, mark, recovered_text(alarm))
            change = "closed"
        elif alarm.recovered_day is None and issue.is_recovered:
            tracker.reopen(issue, mark, failed_again_text(alarm))
            change = "reopened"
        return None if change is None else (change, issue.url)

    def _first(
        self, tracker: IssueTracker, alarm: Alarm, row: ModelVersion, mark: Mark
    ) -> tuple[Change | None, TrackedIssue | None]:
        """Return the issue of an alarm of which none is recorded, opened if there is none."""
        if alarm.recovered_day is not None and now() - alarm.opened > LOOKED_UP:
            return None, None
        change: Change = "found"
        issue = tracker.find(mark, alarm.opened)
        if issue is None:
            if alarm.recovered_day is not None:
                return None, None
            change, issue = "opened", tracker.create(self._text(alarm, row, mark))
        self.store.registry.note_issue(alarm, issue.url)
        return change, issue

    def _version(self, alarm: Alarm) -> ModelVersion | None:
        """Return the model version of an alarm; None if it is private."""
        try:
            row = self.store.registry.model_version(Reference(alarm.model, alarm.version))
        except NotFound:
            return None
        return None if row.visibility == Visibility.PRIVATE else row

    def _text(self, alarm: Alarm, row: ModelVersion, mark: Mark) -> IssueText:
        registry = self.store.registry
        documents = read_documents(self.store, alarm.model, [alarm.last_day])
        files = registry.files_at(monitoring_key(alarm.model, alarm.last_day))
        rule = None
        for document in documents.values():
            for version in document.versions:
                if version.version == alarm.version:
                    rule = version.rule(alarm.rule)
        return issue_text(
            alarm,
            mark,
            row.dataset,
            _run_of(self.store, row),
            rule,
            files[0].sha256 if files else None,
        )


def _run_of(store: Store, row: ModelVersion) -> Run | None:
    try:
        return store.registry.run_of(row)
    except (Hidden, NotFound):
        return None
