"""The sensor `new_data` of a landing on S3 whose changes a queue reports, on moto's S3 and SQS."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import dagster as dg
import pytest
from botocore.exceptions import ClientError

from mlops_assets.components.project.declarations import check_declarations
from mlops_assets.components.sensors import notifications
from mlops_assets.components.sensors.notifications import queue_resources
from mlops_assets.errors import SpecificationError
from mlops_assets.store import Store
from mlops_assets_tests.components.daemon import LandingDaemon
from mlops_assets_tests.conftest import crops_table, table_specification
from mlops_assets_tests.servers.aws import Queues
from resources.queue import Message, NotificationQueue

TABLE = crops_table(60).to_csv(index=False).encode()


RECEIPTS: dict[str, str] = {}


class RecordingQueue(NotificationQueue):
    """A queue that remembers the newest receipt of every message."""

    def receive(self, hidden_seconds: int, seconds: float) -> tuple[list[Message], bool]:
        messages, drained = super().receive(hidden_seconds, seconds)
        RECEIPTS.update({message.id: message.handle for message in messages})
        return messages, drained


class Survey(LandingDaemon):
    """The daemon, the bucket that the survey lands in, and its queue."""

    def __init__(
        self, queues: Queues, instance: dg.DagsterInstance, settle_seconds: int = 0
    ) -> None:
        RECEIPTS.clear()
        self.sqs, self.queue = queues.client, queues.new()
        self.s3 = boto3.client("s3", endpoint_url=queues.endpoint, region_name="us-east-1")
        self.s3.create_bucket(Bucket="survey")
        specification = table_specification(
            source={
                "url": "s3://survey/my fields",
                "layout": "table",
                "table": {"label": "crop"},
                "notifications": {"queue": self.queue, "region": "us-east-1"},
            },
            sensor={"settle_seconds": settle_seconds},
        )
        super().__init__(specification, instance)
        self.resources["fields_queue"] = RecordingQueue(queue=self.queue, wait_seconds=0)

    def notify(self) -> None:
        """Let the bucket notify the queue; S3 sends a test event at once."""
        arn = self.sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=["QueueArn"])[
            "Attributes"
        ]["QueueArn"]
        events = ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]
        self.s3.put_bucket_notification_configuration(
            Bucket="survey",
            NotificationConfiguration={
                "QueueConfigurations": [{"QueueArn": arn, "Events": events}]
            },
        )

    def put(self, name: str = "a b+c.csv", content: bytes = TABLE) -> None:
        self.s3.put_object(Bucket="survey", Key=f"my fields/{name}", Body=content)

    def send(self, body: str) -> None:
        self.sqs.send_message(QueueUrl=self.queue, MessageBody=body)

    def messages(self) -> tuple[int, int]:
        """The numbers of waiting and of hidden messages."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=names)[
            "Attributes"
        ]
        return int(found[names[0]]), int(found[names[1]])

    def deliver_again(self) -> None:
        """Let the visibility time-outs run out now."""
        for handle in RECEIPTS.values():
            with contextlib.suppress(ClientError):  # deleted
                self.sqs.change_message_visibility(
                    QueueUrl=self.queue, ReceiptHandle=handle, VisibilityTimeout=0
                )

    def kept(self) -> dict[str, Any]:
        kept: dict[str, Any] = json.loads(self.cursor or "{}")
        return kept


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """An instance in memory, as these tests make many small runs in this one process."""
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@pytest.fixture
def survey(
    sqs: Queues, store: Store, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Survey]:
    """A bucket that has sent its queue only the test event, which was read."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", sqs.endpoint)
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    made = Survey(sqs, instance)
    made.notify()
    assert made.messages() == (1, 0)
    assert made.tick() == []
    assert made.reason == "landing s3://survey/my fields is empty; put training data into it"
    assert made.messages() == (0, 0), "the test event is acknowledged"
    yield made
    made.s3.close()


@pytest.mark.services
def test_a_message_is_acknowledged_only_when_its_version_exists(survey: Survey) -> None:
    survey.put()
    (request,) = survey.tick()
    assert survey.messages() == (0, 1)
    assert survey.tick() == []
    assert survey.reason is not None and survey.reason.startswith("waiting for the run fields-")
    assert survey.messages() == (0, 1), "there is no version yet"
    assert survey.run(request)
    assert survey.versions() == ["v1"]
    assert survey.messages() == (0, 1)
    assert survey.tick() == []
    assert survey.reason == "no message reports a change"
    assert survey.messages() == (0, 0)
    assert survey.tick() == []


@pytest.mark.services
def test_a_run_that_is_at_work_is_waited_for(survey: Survey) -> None:
    survey.put()
    (request,) = survey.tick()
    job = survey.definitions.resolve_job_def("fields_landing")
    run = survey.instance.create_run_for_job(
        job, tags=dict(request.tags), status=dg.DagsterRunStatus.STARTED
    )
    survey.put("late.csv", crops_table(60, seed=1).to_csv(index=False).encode())
    assert survey.tick() == []
    assert survey.reason is not None and survey.reason.startswith("waiting for the run")
    assert survey.messages() == (1, 1)
    survey.instance.report_run_canceled(run)
    (again,) = survey.tick()
    assert again.run_key != request.run_key
    assert survey.run(again)
    assert survey.versions() == ["v1"]


@pytest.mark.services
def test_messages_of_a_failed_run_are_delivered_again_and_asked_for_again(survey: Survey) -> None:
    survey.put("bad.csv", b"x,y\n1,2\n")
    (request,) = survey.tick()
    assert not survey.run(request)
    assert survey.tick() == []
    assert (
        survey.reason is not None
        and "did not succeed; its messages will be delivered again" in survey.reason
    )
    assert survey.messages() == (0, 1)
    assert survey.tick() == []
    (run,) = survey.instance.get_runs()
    assert f"no message reports a change; run /runs/{run.run_id} failed: " in survey.reason
    survey.deliver_again()
    (again,) = survey.tick()
    assert again.run_key != request.run_key, "Dagster makes no second run for a run key"
    survey.s3.delete_object(Bucket="survey", Key="my fields/bad.csv")
    survey.put()
    assert survey.run(again)
    survey.tick()
    assert survey.messages()[1] <= 2, "what came after the run was requested is received by now"
    assert survey.versions() == ["v1"]


@pytest.mark.services
def test_a_run_that_was_never_made_is_asked_for_again(
    survey: Survey, monkeypatch: pytest.MonkeyPatch
) -> None:
    survey.put()
    (request,) = survey.tick()
    assert survey.tick() == []
    survey.deliver_again()
    monkeypatch.setattr(notifications, "LOST_SECONDS", -1.0)
    (again,) = survey.tick()
    assert again.run_key != request.run_key


@pytest.mark.services
def test_messages_delivered_twice_and_twice_the_same_message_make_one_run(
    survey: Survey, monkeypatch: pytest.MonkeyPatch
) -> None:
    survey.put()
    survey.put()
    with monkeypatch.context() as patched:
        patched.setattr(notifications, "FEW_WAITING", -1)  # as if more were waiting
        assert survey.tick() == []
        assert survey.reason == "more messages are waiting"
        first = survey.kept()["held"]
        survey.deliver_again()
        assert survey.tick() == []
    second = survey.kept()["held"]
    assert len(first) == 2
    assert first.keys() == second.keys()
    assert not set(first.values()) & set(second.values()), "the newest receipt counts"
    assert survey.run(*survey.tick())
    assert survey.tick() == []
    assert survey.messages() == (0, 0)


@pytest.mark.services
def test_a_large_batch_is_read_whole_kept_small_and_committed_once(
    survey: Survey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifications, "MAX_HELD", 10)
    monkeypatch.setattr(notifications, "CLOCKS_DIFFER_SECONDS", 0.0)
    for number in range(25):
        survey.put(f"{number}.csv", crops_table(20, seed=number).to_csv(index=False).encode())
    (request,) = survey.tick()
    assert survey.messages() == (0, 25)
    assert len(survey.kept()["held"]) == 10
    assert survey.run(request)
    assert survey.tick() == []
    assert survey.messages() == (0, 15), "those that the cursor held are acknowledged"
    survey.deliver_again()
    assert survey.messages() == (15, 0)
    assert survey.tick() == [], "the others were sent before the run that committed"
    assert survey.messages() == (0, 0)
    assert survey.versions() == ["v1"]


@pytest.mark.services
def test_what_is_received_in_one_tick_is_bounded(
    survey: Survey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifications, "FEW_WAITING", 5)
    for number in range(30):
        survey.put(f"{number}.csv")
    with monkeypatch.context() as patched:
        # there is always time for one batch
        patched.setattr(notifications, "RECEIVING_SECONDS", 0.0)
        assert survey.tick() == []
    assert survey.messages() == (20, 10)
    assert survey.reason == "more messages are waiting"
    assert len(survey.tick()) == 1
    assert survey.messages() == (0, 30)


@pytest.mark.services
def test_a_change_after_the_run_was_requested_is_committed_by_the_next(survey: Survey) -> None:
    survey.put()
    (request,) = survey.tick()
    survey.put("late.csv", crops_table(60, seed=1).to_csv(index=False).encode())
    assert survey.run(request)
    (again,) = survey.tick()
    assert survey.messages() == (0, 1)
    assert survey.run(again)
    survey.tick()
    assert survey.messages() == (0, 0)
    assert survey.versions() == ["v1"], "the first run saw it already; the second finds nothing new"


@pytest.mark.services
def test_a_landing_settles_first_and_a_removed_file_counts(
    sqs: Queues, store: Store, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [time.time()]
    monkeypatch.setattr(notifications, "time", SimpleNamespace(time=lambda: now[0]))
    monkeypatch.setenv("AWS_ENDPOINT_URL", sqs.endpoint)
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    survey = Survey(sqs, instance, settle_seconds=3600)
    survey.put()
    survey.put("b.csv", crops_table(60, seed=1).to_csv(index=False).encode())
    survey.notify()
    assert survey.tick() == [], "what lay there before the queue did settles too"
    assert survey.reason is not None and survey.reason.startswith("new data, settling for")
    now[0] += 3600
    assert survey.run(*survey.tick())
    survey.s3.delete_object(Bucket="survey", Key="my fields/b.csv")
    now[0] = time.time()
    assert survey.tick() == []
    assert survey.reason is not None and survey.reason.startswith("new data, settling for")
    assert survey.messages() == (0, 1)
    now[0] += 3601
    assert survey.run(*survey.tick())
    assert survey.versions() == ["v1", "v2"]
    assert survey.tick() == []
    assert survey.messages() == (0, 0)


@pytest.mark.services
def test_a_first_run_that_fails_is_asked_for_again_though_no_message_began_it(
    sqs: Queues, store: Store, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", sqs.endpoint)
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    now = [time.time()]
    monkeypatch.setattr(notifications, "time", SimpleNamespace(time=lambda: now[0]))
    survey = Survey(sqs, instance)
    survey.put("bad.csv", b"x,y\n1,2\n")
    assert not survey.run(*survey.tick())
    assert survey.tick() == []
    assert survey.reason is not None and survey.reason.startswith(
        "new data, settling for 900 s more; run fields-"
    )
    now[0] += 900
    assert len(survey.tick()) == 1


@pytest.mark.services
def test_messages_about_something_else_are_acknowledged_and_malformed_ones_are_left(
    survey: Survey,
) -> None:
    survey.s3.put_object(Bucket="survey", Key="elsewhere/a.csv", Body=TABLE)
    survey.s3.put_object(Bucket="survey", Key="my fields/.part", Body=TABLE)
    survey.cursor = json.dumps({"watched": survey.kept()["watched"]})  # as after the first commit
    assert survey.tick() == []
    assert survey.reason == "no message reports a change"
    assert survey.events == []
    assert survey.messages() == (0, 0)
    survey.send("hello")
    assert survey.tick() == []
    assert survey.reason is not None
    assert (
        "left 1 message(s) in the queue; the first is not a bucket notification: 'hello'"
        in survey.reason
    )
    assert survey.messages() == (0, 1)


@pytest.mark.services
def test_a_notified_landing_shows_that_it_is_out_of_date(survey: Survey) -> None:
    survey.put()
    assert survey.run(*survey.tick())
    assert not survey.landing_is_stale()
    survey.tick()
    survey.put("b.csv")
    survey.tick()
    (event,) = survey.events
    assert event.asset_key == dg.AssetKey(["fields", "source"])
    assert event.metadata["messages"].value == 1
    assert survey.landing_is_stale()
    assert survey.run()
    assert not survey.landing_is_stale()


@pytest.mark.services
def test_a_missing_queue_is_reported(survey: Survey, monkeypatch: pytest.MonkeyPatch) -> None:
    survey.sqs.delete_queue(QueueUrl=survey.queue)
    assert survey.tick() == []
    assert survey.reason is not None
    assert survey.reason.startswith(f"queue {survey.queue} could not be read: ")
    assert "NonExistentQueue" in survey.reason
    monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", "http://127.0.0.1:9")
    assert survey.tick() == []
    assert survey.reason is not None and "Could not connect" in survey.reason


def test_the_region_may_be_that_of_the_queue(no_cloud: pytest.MonkeyPatch) -> None:
    # or boto3 asks the cloud's own service for some
    for name in (
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
    ):
        no_cloud.setenv(name, "of-nobody")
    queue = NotificationQueue(queue="https://sqs.eu-central-1.amazonaws.com/123456789012/landing")
    client: Any = queue.get_client()
    assert client.meta.region_name == "eu-central-1"


def test_two_datasets_with_one_queue_are_refused_before_one_deletes_messages_of_the_other(
    tmp_path: Path,
) -> None:
    queue = "https://sqs.eu-central-1.amazonaws.com/123456789012/landing"
    documents = [
        f"type: mlops_assets.components.TrainingDataset\nattributes:\n  name: {name}\n"
        f"  source: {{url: 's3://survey/{name}', layout: table, table: {{label: crop}}, "
        f"notifications: {{queue: '{queue}'}}}}\n"
        for name in ("fields", "forests")
    ]
    (tmp_path / "defs.yaml").write_text("---\n".join(documents))
    with pytest.raises(SpecificationError, match=r"1 problem\(s\)") as raised:
        check_declarations(tmp_path)
    file = tmp_path / "defs.yaml"
    assert (
        f"{file}:9: attributes.source.notifications.queue: {queue} is read at {file}:4 too"
        in str(raised.value)
    )


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3.session", None)
    monkeypatch.delitem(sys.modules, "resources.queue")
    source = {
        "url": "s3://survey",
        "layout": "table",
        "table": {"label": "crop"},
        "notifications": {"queue": "q"},
    }
    with pytest.raises(SpecificationError, match=r"install the extra 'cluster'"):
        queue_resources(table_specification(source=source))
    assert queue_resources(table_specification()) == {}
