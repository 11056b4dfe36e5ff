"""Bucket notifications read from a queue, for landings too large to be listed at every tick.

A message is deleted only when a version exists that was committed after it was sent; until then the
queue keeps it, hidden for `hidden_seconds` at a time. No file is listed, opened or committed here.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import dagster as dg

from mlops_assets.components.landing_source import LAST_CHANGE, LandingState, observation
from mlops_assets.components.sensors.bucket_events import (
    MalformedMessage,
    changed_objects,
    concerns,
)
from mlops_assets.datasets.specification.dataset import DatasetSpecification
from mlops_assets.errors import SpecificationError

if TYPE_CHECKING:
    from resources.queue import Message, NotificationQueue

# tag of the run that a batch of messages has requested
ASKED = "mlops/notified"
# receipts in the cursor, which Dagster stores with every tick; the others are known by their time
MAX_HELD = 200
# of a tick's 60
RECEIVING_SECONDS = 20.0
# beyond settling: time for the run, and until messages of a failed run are received again
HIDDEN_SECONDS = 900
# a standard queue may have some although it returned none
FEW_WAITING = 100
# between the queue and Dagster, at most: a larger difference loses a change
CLOCKS_DIFFER_SECONDS = 60.0
# a run that is unknown after this time was never created
LOST_SECONDS = 600.0


@dataclass(frozen=True)
class Pending:
    """The content of the cursor.

    Attributes:
        watched: queue and landing; with others, everything starts over.
        since: when the first message of this batch was received; None if nothing has changed.
        newest: when the newest message of this batch was sent.
        not_before: when a run may be requested at the earliest, for a batch that no message began.
        held: message id → receipt, of as many messages of the batch as the cursor has room for.
        asked: tag of the run for this batch, once it is requested; `asked_at` is the time of that.
    """

    watched: str
    since: float | None = None
    newest: float = 0.0
    not_before: float = 0.0
    held: dict[str, str] = field(default_factory=dict)
    asked: str | None = None
    asked_at: float = 0.0

    @classmethod
    def read(cls, cursor: str | None, watched: str, settle_seconds: float) -> Pending:
        """Return the content of a cursor.

        At the first scan, files that are already there count as a change.
        """
        kept = json.loads(cursor) if cursor else {}
        if kept.get("watched") == watched:
            return cls(**kept)
        return cls(watched, since=time.time(), not_before=time.time() + settle_seconds)

    def write(self, context: dg.SensorEvaluationContext) -> Pending:
        """Keep this in the cursor."""
        context.update_cursor(json.dumps(asdict(self)))
        return self


def queue_key(dataset: str) -> str:
    """Return the resource key of the queue of a dataset."""
    return f"{dataset}_queue"


def queue_resources(specification: DatasetSpecification) -> dict[str, NotificationQueue]:
    """Return the queue of a dataset by its resource key; none if it declares no notifications.

    Raises:
        SpecificationError: boto3 or dagster-aws is not installed.
    """
    declared = specification.source.notifications
    if declared is None:
        return {}
    try:
        from resources.queue import NotificationQueue
    except ImportError as error:
        raise SpecificationError(
            f"source.notifications of {specification.name} need {error.name}; install the extra"
            " 'cluster': pip install 'mlops-assets[cluster]'"
        ) from error
    return {
        queue_key(specification.name): NotificationQueue(
            queue=declared.queue, region_name=declared.region
        )
    }


def read_notifications(
    context: dg.SensorEvaluationContext, specification: DatasetSpecification
) -> dg.SensorResult:
    """Evaluate the sensor `new_data` of a dataset with notifications.

    A failed commit is requested again by its messages, which the queue delivers again.

    Raises:
        StorageError: the queue or the bucket cannot be read.
    """
    from mlops_assets.datasets.sources.object_store import BucketLanding

    queue: NotificationQueue = getattr(context.resources, queue_key(specification.name))
    url = specification.source.url
    settle_seconds = specification.sensor.settle_seconds
    pending = Pending.read(context.cursor, f"{queue.queue} {url}", settle_seconds)
    notes: list[str] = []
    if pending.asked is not None:
        run = _run(context.instance, pending.asked)
        if not (run.is_finished if run else time.time() > pending.asked_at + LOST_SECONDS):
            return dg.SensorResult(
                skip_reason=f"waiting for the run {pending.asked} that was requested"
            )
        if run is not None and run.is_success:
            queue.delete(list(pending.held.values()))
            pending = Pending(pending.watched).write(context)
        else:
            notes.append(
                f"run {pending.asked} did not succeed; its messages will be delivered again"
            )
            pending = _failed(pending).write(context)
    messages, drained = queue.receive(HIDDEN_SECONDS + settle_seconds, RECEIVING_SECONDS)
    news, done, malformed = _sorted(
        messages, url, _committed_until(context.instance, specification.name)
    )
    before = pending
    pending = _with(pending, news).write(context)
    queue.delete([message.handle for message in done])
    events = []
    if pending.newest > before.newest:
        events.append(observation(specification.name, _state(url, pending.newest, len(news))))
    if malformed:
        notes.append(f"left {len(malformed)} message(s) in the queue; the first {malformed[0]}")
        context.log.warning(notes[-1])
    waits = _waits(pending, settle_seconds)
    if waits is None and (not drained or queue.waiting() > FEW_WAITING):
        waits = "more messages are waiting"
    if waits is None and BucketLanding(url).is_empty():
        waits = f"landing {url} is empty; put training data into it"
    if waits is not None:
        return dg.SensorResult(skip_reason="; ".join([waits, *notes]), asset_events=events)
    asked = f"{specification.name}-{pending.since:.6f}-{pending.newest:.3f}"
    replace(pending, asked=asked, asked_at=time.time()).write(context)
    request = dg.RunRequest(run_key=asked, tags={ASKED: asked})
    return dg.SensorResult(run_requests=[request], asset_events=events)


def _sorted(
    messages: Sequence[Message], url: str, committed_until: float
) -> tuple[list[Message], list[Message], list[MalformedMessage]]:
    """Divide messages into those that report data to commit, the done ones, and the others."""
    news: list[Message] = []
    done: list[Message] = []
    malformed: list[MalformedMessage] = []
    for message in messages:
        try:
            concerned = any(concerns(changed, url) for changed in changed_objects(message.body))
        except MalformedMessage as error:
            malformed.append(error)
        else:
            (news if concerned and message.sent >= committed_until else done).append(message)
    return news, done, malformed


def _with(pending: Pending, news: Sequence[Message]) -> Pending:
    """Return the batch with further messages.

    Of one that was delivered again, the newest receipt counts.
    """
    if not news:
        return pending
    held = dict(pending.held)
    for message in news:
        if message.id in held or len(held) < MAX_HELD:
            held[message.id] = message.handle
    newest = max(pending.newest, *(message.sent for message in news))
    return replace(pending, since=pending.since or time.time(), newest=newest, held=held)


def _failed(pending: Pending) -> Pending:
    """Return the batch after a failed run.

    It is empty, as its messages start a new one, unless no message started it.
    """
    if pending.newest:
        return Pending(pending.watched)
    return Pending(pending.watched, since=time.time(), not_before=time.time() + HIDDEN_SECONDS)


def _waits(pending: Pending, settle_seconds: float) -> str | None:
    """Return the reason to wait, or None if a run may be requested."""
    if pending.since is None:
        return "no message reports a change"
    left = max(pending.newest + settle_seconds, pending.not_before) - time.time()
    return f"new data, settling for {left:.0f} s more" if left > 0 else None


def _state(url: str, newest: float, messages: int) -> LandingState:
    """Return the state of a landing that messages report, without listing it."""
    changed = dg.MetadataValue.timestamp(datetime.fromtimestamp(newest, UTC))
    return LandingState(
        f"notified-{newest:.3f}", {"url": url, "messages": messages, LAST_CHANGE: changed}
    )


def _run(instance: dg.DagsterInstance, asked: str) -> dg.DagsterRun | None:
    """Return the run that was requested, or the newest that Dagster has started in its place."""
    runs = instance.get_runs(dg.RunsFilter(tags={ASKED: asked}), limit=1)
    return runs[0] if runs else None


def _committed_until(instance: dg.DagsterInstance, dataset: str) -> float:
    """Return the time before which sent messages are in a version.

    It is the start of the run that committed the landing last.
    """
    event = instance.get_latest_materialization_event(dg.AssetKey([dataset, "landing"]))
    record = instance.get_run_record_by_id(event.run_id) if event else None
    return (record.start_time or 0.0) - CLOCKS_DIFFER_SECONDS if record else 0.0
