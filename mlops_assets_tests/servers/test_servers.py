"""Each server does what its tests take for granted, seen through the product's clients."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import obstore
import pystac
import pytest
from obstore.exceptions import BaseError, NotFoundError, PermissionDeniedError
from obstore.store import from_url
from pystac_client import Client

from mlops_assets_tests.servers.aws import Queues
from mlops_assets_tests.servers.buckets import Bucket, FaultyBucket
from mlops_assets_tests.servers.web import WebFolder

QUICKLY: Any = {
    "max_retries": 3,
    "retry_timeout": timedelta(seconds=10),
    "backoff": {
        "init_backoff": timedelta(milliseconds=5),
        "max_backoff": timedelta(milliseconds=20),
        "base": 2,
    },
}
LONG = bytes(range(256)) * 40_000  # longer than a part of an upload


def test_a_bucket_gives_back_what_was_put_by_its_url_and_the_environment_alone(
    bucket: Bucket,
) -> None:
    store = from_url(bucket.url)
    for key, content in {"a/b c é.bin": b"abc", "ab": b"", "long": LONG}.items():
        obstore.put(store, key, content)
        assert bytes(obstore.get(store, key).bytes()) == content
        assert obstore.head(store, key)["size"] == len(content)
    assert bucket.paths() == ["a/b c é.bin", "ab", "long"]
    assert bucket.paths("a") == ["a/b c é.bin"]
    before = obstore.head(store, "ab")["e_tag"]
    obstore.put(store, "ab", b"changed")
    assert obstore.head(store, "ab")["e_tag"] != before
    obstore.delete(store, "ab")
    with pytest.raises((NotFoundError, FileNotFoundError)):
        obstore.get(store, "ab")


def test_each_bucket_is_empty(bucket: Bucket) -> None:
    assert bucket.paths() == []


@pytest.mark.services
@pytest.mark.parametrize(
    ("service", "secret"), [("s3", "AWS_SECRET_ACCESS_KEY"), ("az", "AZURE_STORAGE_ACCOUNT_KEY")]
)
def test_a_wrong_secret_is_refused(
    service: str, secret: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket: Bucket = request.getfixturevalue(service)
    bucket.put("a", b"abc")
    monkeypatch.setenv(secret, "d3Jvbmc=")
    with pytest.raises(PermissionDeniedError):
        obstore.get(from_url(bucket.url), "a")


@pytest.mark.parametrize(
    ("status", "error"), [(403, PermissionDeniedError), (404, NotFoundError), (500, BaseError)]
)
def test_a_status_reaches_the_client_for_the_paths_it_was_asked_for(
    faulty_s3: FaultyBucket, status: int, error: type[Exception]
) -> None:
    faulty_s3.put("a.tif", b"a")
    faulty_s3.put("b.tif", b"b")
    faulty_s3.faults.add("*/a.tif", status=status)
    store = from_url(faulty_s3.url, retry_config=QUICKLY)
    with pytest.raises((error, FileNotFoundError) if status == 404 else error):
        obstore.get(store, "a.tif")
    assert bytes(obstore.get(store, "b.tif").bytes()) == b"b"
    faulty_s3.faults.clear()
    assert bytes(obstore.get(store, "a.tif").bytes()) == b"a"


def test_a_temporary_fault_occurs_as_often_as_declared(faulty_s3: FaultyBucket) -> None:
    faulty_s3.put("a", b"abc")
    faulty_s3.faults.add("*/a", status=500, times=2, method="GET")
    assert bytes(obstore.get(from_url(faulty_s3.url, retry_config=QUICKLY), "a").bytes()) == b"abc"
    assert len(faulty_s3.faults.asked("GET */a")) == 3


def test_half_an_answer_is_an_error_for_a_client_that_does_not_try_again(
    faulty_s3: FaultyBucket,
) -> None:
    faulty_s3.put("long", LONG)
    faulty_s3.faults.add("*/long", cut=True)
    with pytest.raises(BaseError):
        obstore.get(from_url(faulty_s3.url, retry_config={"max_retries": 0}), "long").bytes()


def test_half_an_upload_leaves_nothing(faulty_s3: FaultyBucket) -> None:
    faulty_s3.faults.add("*/a", cut=True, method="PUT")
    with pytest.raises(BaseError):
        obstore.put(from_url(faulty_s3.url, retry_config={"max_retries": 0}), "a", b"abc" * 1000)
    assert faulty_s3.paths() == []


def test_slow_answers_arrive(faulty_s3: FaultyBucket) -> None:
    faulty_s3.faults.add("*list-type=2*", delay=0.3)
    faulty_s3.put("a", b"abc")
    assert [entry["path"] for page in obstore.list(from_url(faulty_s3.url)) for entry in page] == [
        "a"
    ]
    assert faulty_s3.faults.asked("GET *list-type=2*")


def test_a_web_folder_is_read_file_by_file_with_etag_time_and_ranges(
    https_folder: WebFolder,
) -> None:
    (https_folder.folder / "a b").mkdir()
    (https_folder.folder / "a b" / "c.txt").write_bytes(b"hello")
    store = from_url(https_folder.url, client_options={"allow_http": True})
    head = obstore.head(store, "a b/c.txt")
    assert head["size"] == 5 and head["e_tag"] and head["last_modified"].year > 2000
    assert bytes(obstore.get(store, "a b/c.txt").bytes()) == b"hello"
    assert bytes(obstore.get_range(store, "a b/c.txt", start=1, end=3)) == b"el"
    (https_folder.folder / "a b" / "c.txt").write_bytes(b"world")
    assert obstore.head(store, "a b/c.txt")["e_tag"] != head["e_tag"]
    with pytest.raises((NotFoundError, FileNotFoundError)):
        obstore.get(store, "none")


def test_a_stac_api_pages_and_filters(stac_api: Callable[[Sequence[pystac.Item]], str]) -> None:
    items = []
    for number in range(25):
        box = [float(number), 0.0, number + 1.0, 1.0]
        shape = {
            "type": "Polygon",
            "coordinates": [[box[:2], [box[2], 0], box[2:], [box[0], 1], box[:2]]],
        }
        items.append(
            pystac.Item(f"s{number:02}", shape, box, datetime(2024, 1, 1 + number, tzinfo=UTC), {})
        )
        items[-1].add_asset("image", pystac.Asset("https://example.com/a.tif"))
        items[-1].collection_id = "even" if number % 2 == 0 else "odd"
    client = Client.open(stac_api(items))
    assert {found.id for found in client.get_collections()} == {"even", "odd"}
    assert [len(page) for page in client.search(limit=10).pages()] == [10, 10, 5]
    assert {item.id for item in client.search(limit=10).items()} == {item.id for item in items}
    odd = [item.id for item in client.search(collections=["odd"], limit=10).items()]
    assert sorted(odd) == [f"s{number:02}" for number in range(1, 25, 2)]
    assert {item.id for item in client.search(bbox=[2.1, 0, 2.9, 1]).items()} == {"s02"}
    days = client.search(datetime="2024-01-03T00:00:00Z/2024-01-04T00:00:00Z")
    assert {item.id for item in days.items()} == {"s02", "s03"}


def test_sqs_keeps_a_message_until_it_is_deleted(sqs: Queues) -> None:
    queue = sqs.new(VisibilityTimeout="0")
    sqs.client.send_message(QueueUrl=queue, MessageBody=json.dumps({"Records": []}))
    for _ in range(2):
        [message] = sqs.client.receive_message(QueueUrl=queue)["Messages"]
        assert json.loads(message["Body"]) == {"Records": []}
    sqs.client.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    assert "Messages" not in sqs.client.receive_message(QueueUrl=queue)


def test_sqs_starts_without_queues_and_beside_s3(sqs: Queues, s3: Bucket) -> None:
    assert "QueueUrls" not in sqs.client.list_queues()
    assert "QueueUrls" not in boto3.client("sqs").list_queues()  # found by the environment alone
    s3.put("a", b"abc")
    assert s3.paths() == ["a"]
    with urllib.request.urlopen(f"{sqs.endpoint}/moto-api/", timeout=60) as answer:
        assert answer.status == 200


def test_raw_s3_takes_any_key(raw_s3: tuple[Bucket, Callable[[str, bytes], None]]) -> None:
    bucket, put = raw_s3
    put("folder/", b"")
    put("folder/a", b"abc")
    assert bucket.paths() == ["folder", "folder/a"]
    assert bucket.get("folder/a") == b"abc"
