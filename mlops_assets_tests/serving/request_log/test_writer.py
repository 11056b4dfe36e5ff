"""The request log of a server: written, shipped, compacted and read."""

from __future__ import annotations

import numpy as np

from mlops_assets.models.reference.bands import band_statistics
from mlops_assets.serving.request_log.compact import compact_day
from mlops_assets.serving.request_log.read import read_day
from mlops_assets.serving.request_log.writer import RequestLogWriter
from mlops_assets.serving.specification import RequestLog
from mlops_assets.store import Store
from mlops_assets_tests.serving.request_log.served import (
    DAY,
    MORNING,
    exchange,
    patches,
    publish,
    served,
)


def test_what_was_recorded_is_read_again(store: Store) -> None:
    publish(store)
    version = served(store)
    writer = RequestLogWriter(store.workspace, {"crops": RequestLog()})
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
