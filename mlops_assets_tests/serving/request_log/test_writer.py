"""The request log of a server: written, shipped, compacted and read."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from mlops_assets.errors import StorageUnreachable
from mlops_assets.models.reference.bands import band_statistics
from mlops_assets.serving.request_log.compact import compact_day
from mlops_assets.serving.request_log.day_file import dropped_on, logged_days
from mlops_assets.serving.request_log.read import read_day
from mlops_assets.serving.request_log.rows import MAX_INPUT_BYTES
from mlops_assets.serving.request_log.spool import ship_left_overs, spool_root
from mlops_assets.serving.request_log.writer import RequestLogWriter, WriterLimits
from mlops_assets.serving.specification import RequestLog
from mlops_assets.storage import Workspace
from mlops_assets.store import Store
from mlops_assets_tests.serving.request_log.served import (
    DAY,
    MORNING,
    exchange,
    patches,
    publish,
    served,
)

# nothing is written before it is asked for
SLOW = WriterLimits(flush_seconds=3600)
ALL = {"crops": RequestLog()}


@pytest.fixture
def start(store: Store) -> Iterator[Callable[..., RequestLogWriter]]:
    """Start a writer, which is closed at the end."""
    publish(store)
    started = []

    def start(declared: RequestLog = ALL["crops"], limits: WriterLimits = SLOW) -> RequestLogWriter:
        started.append(RequestLogWriter(store.workspace, {"crops": declared}, limits))
        return started[-1]

    yield start
    for writer in started:
        writer.close()


def test_what_was_recorded_is_read_again(
    store: Store, start: Callable[..., RequestLogWriter]
) -> None:
    version = served(store)
    writer = start()
    second = exchange(version, "b", patches(3, seed=1), MORNING + 1)
    writer.record(second)
    first = exchange(version, "a", patches(1))
    writer.record(first)
    writer.close()
    assert compact_day(store, "crops", DAY) == compact_day(store, "crops", DAY)
    (found,) = read_day(store, "crops", DAY)
    assert found.requests.tolist() == ["a", "b", "b", "b"]
    assert found.rows.tolist() == [0, 0, 1, 2]
    values = np.concatenate([patches(1), patches(3, seed=1)])
    assert found.values is not None and found.statistics is not None and found.scores is not None
    np.testing.assert_array_equal(found.values, values)
    np.testing.assert_array_equal(found.statistics, band_statistics(values.reshape(4, 2, 9)))
    np.testing.assert_array_equal(
        found.scores, np.concatenate([first.outputs["scores"], second.outputs["scores"]])
    )
    assert found.labels is not None
    assert found.labels.tolist() == found.scores.argmax(axis=1).tolist()
    assert found.times[0] == np.datetime64("2026-11-02T10:00:00")
    assert found.latency_ms.tolist() == [4.0] * 4


def test_windows_have_mean_scores_and_the_statistics_of_their_bands(store: Store) -> None:
    size = 128
    assert 2 * size * size * 4 > MAX_INPUT_BYTES
    publish(store, view="window", shape=[2, size, size])
    X = np.random.default_rng(0).integers(0, 9, (2, 2, size, size)).astype(np.uint16)
    scores = np.random.default_rng(1).dirichlet([1, 1], (2, size, size)).astype(np.float32)
    scores = np.moveaxis(scores, -1, 1)
    labels = scores.argmax(axis=1)
    writer = RequestLogWriter(store.workspace, ALL, SLOW)
    writer.record(exchange(served(store), "a", X, label=labels, scores=scores))
    writer.close()
    compact_day(store, "crops", DAY)
    (found,) = read_day(store, "crops", DAY)
    assert found.values is None
    assert found.kept.tolist() == [False, False]
    assert found.statistics is not None and found.scores is not None
    np.testing.assert_array_equal(found.statistics, band_statistics(X.astype(np.float32)))
    np.testing.assert_allclose(found.scores, scores.mean(axis=(2, 3), dtype=float), rtol=1e-6)
    assert found.labels is not None and found.labels.tolist() == [-1, -1]


def test_rows_of_regression_without_inputs_have_numbers_only(store: Store) -> None:
    publish(store, view="row", shape=[2], classes=None)
    writer = RequestLogWriter(store.workspace, {"crops": RequestLog(inputs=False)}, SLOW)
    X = np.zeros((2, 2), np.float32)
    writer.record(exchange(served(store), "a", X, value=np.array([1.5, 2.5], np.float32)))
    writer.close()
    compact_day(store, "crops", DAY)
    (found,) = read_day(store, "crops", DAY)
    assert (found.values, found.statistics, found.labels) == (None, None, None)
    assert found.numbers is not None and found.numbers.tolist() == [1.5, 2.5]


def test_a_request_is_sampled_by_its_id(
    store: Store, start: Callable[..., RequestLogWriter]
) -> None:
    version = served(store)
    logged = []
    for _ in range(2):
        writer = start(RequestLog(sample=0.3))
        for k in range(200):
            writer.record(exchange(version, f"r{k}", patches(1)))
        writer.close()
        compact_day(store, "crops", DAY)
        (found,) = read_day(store, "crops", DAY)
        logged.append(set(found.requests))
    assert logged[0] == logged[1]
    assert 30 < len(logged[0]) < 90


def test_two_servers_log_side_by_side(store: Store, start: Callable[..., RequestLogWriter]) -> None:
    version = served(store)
    first, second = start(), start()
    for k in range(3):
        first.record(exchange(version, f"a{k}", patches(1), MORNING + 2 * k))
        second.record(exchange(version, f"b{k}", patches(1), MORNING + 2 * k + 1))
        first.flush()
    second.close()
    compact_day(store, "crops", DAY)
    (found,) = read_day(store, "crops", DAY)
    assert found.requests.tolist() == ["a0", "b0", "a1", "b1", "a2", "b2"]


def test_a_full_queue_drops_and_counts(
    store: Store, start: Callable[..., RequestLogWriter]
) -> None:
    version = served(store)
    writer = start(limits=WriterLimits(flush_seconds=3600, queue_bytes=3000))
    with writer._writing:  # as a slow disk
        for k in range(10):
            writer.record(exchange(version, f"r{k}", patches(1)))
    writer.flush()
    logged = 10 - writer.dropped()["crops"]
    assert 0 < logged < 10
    writer.record(exchange(version, "later", patches(1)))
    writer.flush()
    assert dropped_on(store, "crops", DAY) == 10 - logged
    compact_day(store, "crops", DAY)
    assert dropped_on(store, "crops", DAY) == 10 - logged
    (found,) = read_day(store, "crops", DAY)
    assert set(found.requests) == {*(f"r{k}" for k in range(logged)), "later"}


def test_a_request_of_more_samples_than_the_queue_takes_is_dropped(
    store: Store, start: Callable[..., RequestLogWriter]
) -> None:
    """Each sample is a row with an id, however small it is."""
    version = served(store)
    writer = start(limits=WriterLimits(flush_seconds=3600, queue_bytes=100_000))
    writer.record(exchange(version, "many", np.zeros((201, 1), np.float32)))
    writer.record(exchange(version, "few", patches(1)))
    writer.flush()
    assert writer.dropped() == {"crops": 1}
    compact_day(store, "crops", DAY)
    (found,) = read_day(store, "crops", DAY)
    assert found.requests.tolist() == ["few"]


def test_a_day_has_a_limit(store: Store, start: Callable[..., RequestLogWriter]) -> None:
    version = served(store)
    writer = start(RequestLog(max_bytes="20Ki"))
    for k in range(200):
        writer.record(exchange(version, f"r{k}", patches(1)))
        writer._write()
    assert writer.dropped()["crops"] > 100
    writer.record(exchange(version, "next day", patches(1), MORNING + 86_400))
    writer.close()
    assert dropped_on(store, "crops", DAY) == writer.dropped()["crops"]
    assert logged_days(store, "crops") == [DAY, "2026-11-03"]
    # what is in the workspace counts for a server that starts later, too
    again = start(RequestLog(max_bytes="20Ki"))
    again.record(exchange(version, "first", patches(1)))
    again.flush()
    again.record(exchange(version, "second", patches(1)))
    assert again.dropped() == {"crops": 1}


def test_a_full_disk_drops_whole_batches_and_recovers(
    store: Store, start: Callable[..., RequestLogWriter], monkeypatch: pytest.MonkeyPatch
) -> None:
    version = served(store)
    writer = start()
    writer.record(exchange(version, "before", patches(1)))
    writer._write()
    write = os.write

    def write_half(descriptor: int, content: memoryview) -> int:
        if len(content) > 100:
            return write(descriptor, content[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", write_half)
    writer.record(exchange(version, "during", patches(1)))
    writer._write()
    monkeypatch.undo()
    writer.record(exchange(version, "after", patches(1), MORNING + 1))
    writer.close()
    assert writer.dropped() == {"crops": 1}
    compact_day(store, "crops", DAY)
    (found,) = read_day(store, "crops", DAY)
    assert found.requests.tolist() == ["before", "after"]


def test_an_unreachable_workspace_is_tried_again_and_the_spool_is_bounded(
    store: Store, start: Callable[..., RequestLogWriter], monkeypatch: pytest.MonkeyPatch
) -> None:
    version = served(store)
    writer = start(limits=WriterLimits(flush_seconds=3600, spool_bytes=4000))

    def unreachable(*_: object) -> None:
        raise StorageUnreachable("the bucket does not answer")

    monkeypatch.setattr(Workspace, "is_local", False)
    monkeypatch.setattr(Workspace, "put", unreachable)
    for k in range(9):
        writer.record(exchange(version, f"r{k}", patches(1)))
        writer._write()
    with pytest.raises(StorageUnreachable):
        writer.flush()
    dropped = writer.dropped()["crops"]
    assert 0 < dropped < 9
    monkeypatch.undo()
    writer.close()
    compact_day(store, "crops", DAY)
    (found,) = read_day(store, "crops", DAY)
    assert len(found) == 9 - dropped
    assert not list(spool_root(store.workspace).glob("*/*/*/*"))


def test_tensors_of_no_model_are_dropped_and_others_logged(
    store: Store, start: Callable[..., RequestLogWriter]
) -> None:
    version = served(store)
    writer = start()
    writer.record(exchange(version, "a", patches(1)))
    writer.record(exchange(version, "b", patches(2), label=np.array(0), scores=np.zeros(2)))
    writer.record(exchange(version, "c\ud800", patches(1)))
    writer.close()
    assert writer.dropped() == {"crops": 1}
    compact_day(store, "crops", DAY)
    (found,) = read_day(store, "crops", DAY)
    assert found.requests.tolist() == ["a", "c?"]


def test_the_log_survives_that_its_cache_is_deleted(
    store: Store, start: Callable[..., RequestLogWriter], caplog: pytest.LogCaptureFixture
) -> None:
    version = served(store)
    writer = start()
    writer.record(exchange(version, "before", patches(1)))
    writer._write()
    shutil.rmtree(store.workspace.cache)
    writer.flush()
    caplog.clear()
    for day in range(50):
        writer.record(exchange(version, f"r{day}", patches(1), MORNING + 86_400 * day))
        if day % 20 == 0:
            writer._write()
            ship_left_overs(store.workspace)  # by another server that starts
    writer.close()
    assert "is lost" not in caplog.text
    assert len(logged_days(store, "crops")) == 50


KILLED = """
import sys, time
from mlops_assets.serving.request_log.writer import RequestLogWriter
from mlops_assets.serving.specification import RequestLog
from mlops_assets.settings import Settings
from mlops_assets.store import open_store
from mlops_assets_tests.serving.request_log.served import exchange, patches, served

store = open_store(Settings.from_environment())
version = served(store)
writer = RequestLogWriter(store.workspace, {"crops": RequestLog()})
k = 0
while True:
    started = time.time()
    writer.record(exchange(version, f"r{k}", patches(1), started))
    print(k, started, flush=True)
    k += 1
    time.sleep(0.005)
"""


def test_a_killed_server_loses_at_most_one_second(store: Store, tmp_path: Path) -> None:
    publish(store)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    command = [sys.executable, "-c", KILLED]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=tmp_path, env=environment
    ) as process:
        assert process.stdout is not None
        answered = [next(process.stdout) for _ in range(400)]
        process.send_signal(signal.SIGKILL)
        answered += list(process.stdout)
    lines = [line.split() for line in answered]
    end = float(lines[-1][1])
    certain = {f"r{k}" for k, started in lines if end - float(started) > 1}
    # two, where midnight was between
    days = {path.parent.name for path in spool_root(store.workspace).glob("*/crops/*/*.open")}
    found: set[str] = set()
    for day in days:
        compact_day(store, "crops", day)
        found.update(*(each.requests for each in read_day(store, "crops", day)))
    assert len(certain) > 100
    assert certain <= found
    assert not list(spool_root(store.workspace).glob("*/"))


def test_a_batch_that_is_cut_short_is_left_out(
    store: Store, start: Callable[..., RequestLogWriter]
) -> None:
    version = served(store)
    writer = start()
    for k in range(2):
        writer.record(exchange(version, f"r{k}", patches(1)))
        writer._write()
    writer.close()
    (segment,) = store.workspace.root.glob("inference/crops/*/segments/*")
    with segment.open("r+b") as file:
        file.truncate(segment.stat().st_size - 1)
    segment.with_name("empty.arrows").touch()
    segment.with_name("other.arrows").write_bytes(b"x" * 100_000)
    segment.with_name("cut.json").write_text('{"dropped"')
    compact_day(store, "crops", DAY)
    (found,) = read_day(store, "crops", DAY)
    assert found.requests.tolist() == ["r0"]
