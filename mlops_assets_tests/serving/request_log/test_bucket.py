"""The request log of a workspace in a bucket."""

from __future__ import annotations

from pathlib import Path

from mlops_assets.registry import Registry
from mlops_assets.serving.request_log.compact import compact_day
from mlops_assets.serving.request_log.day_file import dropped_on
from mlops_assets.serving.request_log.read import read_day
from mlops_assets.serving.request_log.retention import delete_request
from mlops_assets.serving.request_log.spool import spool_root
from mlops_assets.serving.request_log.writer import RequestLogWriter, WriterLimits
from mlops_assets.serving.specification import RequestLog
from mlops_assets.storage import Workspace
from mlops_assets.store import Store
from mlops_assets_tests.servers.buckets import FaultyBucket
from mlops_assets_tests.serving.request_log.served import (
    DAY,
    MORNING,
    exchange,
    patches,
    publish,
    served,
)


def test_requests_wait_for_a_bucket_and_leave_no_copies(
    faulty_s3: FaultyBucket, tmp_path: Path
) -> None:
    workspace = Workspace(faulty_s3.url, tmp_path / "cache")
    store = Store(workspace, Registry(f"sqlite:///{tmp_path / 'registry.db'}"))
    publish(store)
    version = served(store)
    declared = {"crops": RequestLog()}
    limits = WriterLimits(flush_seconds=3600)
    first = RequestLogWriter(workspace, declared, limits)
    faulty_s3.faults.add("*", status=403)
    first.record(exchange(version, "a", patches(1)))
    first.close()
    assert len(list(spool_root(workspace).glob("*/crops/*/*.arrows"))) == 1
    faulty_s3.faults.clear()
    second = RequestLogWriter(workspace, declared, limits)
    second.record(exchange(version, "b", patches(1), MORNING + 1))
    second.close()
    compact_day(store, "crops", DAY)
    (found,) = read_day(store, "crops", DAY)
    assert found.requests.tolist() == ["a", "b"]
    assert dropped_on(store, "crops", DAY) == 0
    assert delete_request(store, "crops", "a", "asked for") == 1
    (found,) = read_day(store, "crops", DAY)
    assert found.requests.tolist() == ["b"]
    copies = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert [path for path in copies if path.stat().st_size] == []
