"""An SQS queue of bucket notifications as a Dagster resource, with dagster-aws's session settings.

Loaded only where a dataset declares notifications: boto3 and dagster-aws come with the extra
`cluster`. The meaning of the messages is in `mlops_assets.components.sensors.bucket_events`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, TypedDict

import boto3.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from dagster_aws.utils import ResourceWithBoto3Configuration, construct_boto_client_retry_config
from pydantic import Field, PrivateAttr

from mlops_assets.errors import StorageError

# messages that SQS gives or deletes at once, at most
BATCH = 10
# seconds; a sensor's tick has 60
_TIMEOUTS = Config(connect_timeout=5, read_timeout=15)
_REGION_IN_URL = re.compile(r"^https://sqs\.([a-z0-9-]+)\.amazonaws\.com")


@dataclass(frozen=True)
class Message:
    """One message, hidden from other readers until it is deleted or its time is up.

    Attributes:
        id: the same each time the message is delivered.
        handle: of this delivery; what deletes it.
        body: as sent.
        sent: when it was sent, by the queue's clock; seconds since the epoch.
    """

    id: str
    handle: str
    body: str
    sent: float


class _ReceivedMessage(TypedDict):
    MessageId: str
    ReceiptHandle: str
    Body: str
    Attributes: dict[str, str]


class _ReceivedMessages(TypedDict, total=False):
    Messages: list[_ReceivedMessage]


class _QueueAttributes(TypedDict):
    Attributes: dict[str, str]


class SqsClient(Protocol):
    """The requests of boto3's client of SQS that are used here."""

    def receive_message(
        self,
        *,
        QueueUrl: str,
        MaxNumberOfMessages: int,
        WaitTimeSeconds: int,
        VisibilityTimeout: int,
        MessageSystemAttributeNames: Sequence[str],
    ) -> _ReceivedMessages:
        """Receive up to ten messages."""
        ...

    def get_queue_attributes(
        self, *, QueueUrl: str, AttributeNames: Sequence[str]
    ) -> _QueueAttributes:
        """Return attributes of the queue as texts."""
        ...

    def delete_message_batch(
        self, *, QueueUrl: str, Entries: Sequence[Mapping[str, str]]
    ) -> object:
        """Delete up to ten messages."""
        ...


class NotificationQueue(ResourceWithBoto3Configuration):
    """One SQS queue; credentials come from the standard chain of AWS if they are not given here."""

    queue: str = Field(description="URL of the queue.")
    max_attempts: int = Field(
        default=2, description="Attempts of a request; the next tick tries again anyway."
    )
    wait_seconds: int = Field(
        default=1, ge=0, le=20, description="Time that an empty queue is waited for, in seconds."
    )

    _client: SqsClient | None = PrivateAttr(default=None)

    def get_client(self) -> SqsClient:
        """Return a boto3 client of SQS."""
        region = _REGION_IN_URL.match(self.queue)
        client: SqsClient = boto3.session.Session(profile_name=self.profile_name).client(
            "sqs",
            region_name=self.region_name or (region.group(1) if region else None),
            endpoint_url=self.endpoint_url,
            use_ssl=self.use_ssl,
            verify=self.verify,
            aws_access_key_id=self.aws_access_key_id,
            aws_secret_access_key=self.aws_secret_access_key,
            aws_session_token=self.aws_session_token,
            config=construct_boto_client_retry_config(  # type: ignore[no-untyped-call]
                self.max_attempts
            ).merge(_TIMEOUTS),
        )
        return client

    def receive(self, hidden_seconds: int, seconds: float) -> tuple[list[Message], bool]:
        """Return what waits in the queue, and whether that was all.

        Args:
            hidden_seconds: a message is delivered again after this time, unless it is deleted
                before.
            seconds: no further batch is asked for after this time.

        Raises:
            StorageError: the queue cannot be read.
        """
        end = time.monotonic() + seconds
        messages: list[Message] = []
        while True:
            with self._explained("read"):
                answer = self._opened().receive_message(
                    QueueUrl=self.queue,
                    MaxNumberOfMessages=BATCH,
                    WaitTimeSeconds=self.wait_seconds,
                    VisibilityTimeout=hidden_seconds,
                    MessageSystemAttributeNames=["SentTimestamp"],
                )
            found = answer.get("Messages", [])
            if not found:
                return messages, True
            messages += map(_message, found)
            if time.monotonic() >= end:
                return messages, False

    def waiting(self) -> int:
        """Return about how many messages wait to be received.

        Raises:
            StorageError: the queue cannot be read.
        """
        name = "ApproximateNumberOfMessages"
        with self._explained("read"):
            answer = self._opened().get_queue_attributes(QueueUrl=self.queue, AttributeNames=[name])
        return int(answer["Attributes"][name])

    def delete(self, handles: Sequence[str]) -> None:
        """Delete messages for good; one that SQS does not delete is delivered again.

        Raises:
            StorageError: the queue cannot be written.
        """
        for start in range(0, len(handles), BATCH):
            entries = [
                {"Id": str(number), "ReceiptHandle": handle}
                for number, handle in enumerate(handles[start : start + BATCH])
            ]
            with self._explained("written"):
                self._opened().delete_message_batch(QueueUrl=self.queue, Entries=entries)

    def _opened(self) -> SqsClient:
        if self._client is None:
            self._client = self.get_client()
        return self._client

    @contextmanager
    def _explained(self, verb: str) -> Iterator[None]:
        try:
            yield
        except (BotoCoreError, ClientError) as error:
            raise StorageError(
                f"queue {self.queue} could not be {verb}: {error}; check its URL, its region"
                " (notifications: {queue: …, region: …}), the credentials and their right to"
                " receive and delete messages"
            ) from error


def _message(found: _ReceivedMessage) -> Message:
    sent = int(found["Attributes"]["SentTimestamp"]) / 1000
    return Message(found["MessageId"], found["ReceiptHandle"], found["Body"], sent)
