"""Messages about buckets, in the forms that AWS documents."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mlops_assets.components.sensors.bucket_events import (
    ChangedObject,
    MalformedMessage,
    changed_objects,
    concerns,
)
from mlops_assets.text.json_values import JsonObject


def record(name: str, key: str, bucket: str = "survey") -> JsonObject:
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "eventName": name,
        "s3": {"bucket": {"name": bucket}, "object": {"key": key, "size": 1}},
    }


def s3_message(*records: dict[str, Any]) -> str:
    return json.dumps({"Records": list(records)})


def sns_message(body: str) -> str:
    return json.dumps(
        {"Type": "Notification", "MessageId": "1", "TopicArn": "arn:aws:sns:x", "Message": body}
    )


def bridge_message(detail_type: str, key: str, bucket: str = "survey") -> str:
    detail = {
        "version": "0",
        "bucket": {"name": bucket},
        "object": {"key": key, "size": 1},
        "reason": "PutObject",
    }
    return json.dumps(
        {"version": "0", "source": "aws.s3", "detail-type": detail_type, "detail": detail}
    )


CREATED = record("ObjectCreated:Put", "fields/2024/a.csv")


def tells_of(body: str, landing: str = "s3://survey/fields") -> bool:
    return any(concerns(changed, landing) for changed in changed_objects(body))


@pytest.mark.parametrize(
    "body",
    [
        s3_message(CREATED),
        s3_message(record("ObjectCreated:CompleteMultipartUpload", "fields%2Fa.csv")),
        s3_message(record("ObjectRemoved:DeleteMarkerCreated", "fields/a+b%C3%BC.csv")),
        s3_message(record("LifecycleExpiration:Delete", "fields/a.csv")),
        s3_message(record("s3:ObjectCreated:Put", "fields/a.csv")),
        s3_message(record("ObjectCreated:Put", "elsewhere/a.csv"), CREATED),
        sns_message(s3_message(CREATED)),
        bridge_message("Object Created", "fields/a.csv"),
        bridge_message("Object Deleted", "fields/a.csv"),
        sns_message(bridge_message("Object Created", "fields/a.csv")),
    ],
)
def test_a_change_below_the_landing_is_seen_in_every_form(body: str) -> None:
    assert tells_of(body)


@pytest.mark.parametrize(
    "body",
    [
        json.dumps({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "survey"}),
        sns_message(
            json.dumps({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "survey"})
        ),
        s3_message(),
        s3_message(record("ObjectTagging:Put", "fields/a.csv")),
        s3_message(record("ObjectCreated:Put", "fields_2/a.csv")),
        s3_message(record("ObjectCreated:Put", "fields")),
        s3_message(record("ObjectCreated:Put", "fields/")),
        s3_message(record("ObjectCreated:Put", "fields/a.csv", bucket="other")),
        s3_message(record("ObjectCreated:Put", "fields/.part")),
        s3_message(record("ObjectCreated:Put", "fields/.hidden/a.csv")),
        bridge_message("Object Tags Added", "fields/a.csv"),
    ],
)
def test_what_does_not_change_the_landing_is_none_of_its_business(body: str) -> None:
    assert not tells_of(body)


def test_a_key_is_decoded_as_its_sender_encodes_it() -> None:
    landing = "s3://survey/my%20fields+1"
    assert tells_of(s3_message(record("ObjectCreated:Put", "my+fields%2B1/a.csv")), landing)
    assert tells_of(bridge_message("Object Created", "my fields+1/a.csv"), landing)


def test_names_that_a_sender_writes_as_numbers_are_texts() -> None:
    place = {"bucket": {"name": 7}, "object": {"key": 2024}}
    body = json.dumps({"Records": [{"eventName": "ObjectCreated:Put", "s3": place}]})
    assert changed_objects(body) == [ChangedObject("7", frozenset({"2024"}))]


def test_a_landing_may_be_a_whole_bucket() -> None:
    assert tells_of(s3_message(record("ObjectCreated:Put", "a.csv")), "s3://survey")


@pytest.mark.parametrize(
    "body",
    [
        "",
        "hello",
        "null",
        "[]",
        "{}",
        '{"Records": 1}',
        '{"Records": [{}]}',
        '{"Records": [{"eventName": "ObjectCreated:Put"}]}',
        '{"Type": "Notification"}',
        '{"Type": "Notification", "Message": "hello"}',
        '{"source": "aws.s3"}',
        '{"source": "aws.s3", "detail-type": "Object Created", "detail": {}}',
        "[" * 100_000,
    ],
)
def test_what_is_no_notification_is_called_so(body: str) -> None:
    with pytest.raises(MalformedMessage, match="is not a bucket notification"):
        changed_objects(body)
