"""`mlops inference`: days of logged requests, and their removal."""

from __future__ import annotations

from mlops_assets.paths import segments_folder
from mlops_assets.serving.request_log.client import write_exchanges
from mlops_assets.serving.request_log.spool import spool_root
from mlops_assets.store import Store
from mlops_assets_tests.cli.conftest import Mlops
from mlops_assets_tests.serving.request_log.served import (
    DAY,
    MORNING,
    exchange,
    patches,
    publish,
    served,
)


def test_what_a_killed_server_has_left_is_compacted_and_shown(store: Store, mlops: Mlops) -> None:
    publish(store)
    assert "no logged requests" in mlops("inference", "list", "crops").out
    assert "no new requests" in mlops("inference", "compact", "crops").out
    exchanges = [exchange(served(store), f"r{k}", patches(2), MORNING + k) for k in range(3)]
    write_exchanges(store, exchanges, "w")
    (segment,) = (store.workspace.root / segments_folder("crops", DAY)).iterdir()
    left = spool_root(store.workspace) / "gone" / "crops" / DAY / "00000001.open"
    left.parent.mkdir(parents=True)
    segment.rename(left)
    assert f"{DAY}: inference/crops" in mlops("inference", "compact", "crops").out
    assert not left.exists()
    shown = mlops("inference", "show", "crops", "--json").json
    assert (shown["day"], shown["dropped"], shown["segments"]) == (DAY, 0, 0)
    (version,) = shown["versions"]
    assert (version["version"], version["requests"], version["samples"]) == ("v1-1", 3, 6)
    assert version["latency_ms"]["p50"] == 4.0
    (day,) = mlops("inference", "list", "crops", "--json").json
    assert (day["day"], day["compacted"], day["segments"]) == (DAY, True, 0)


def test_requests_are_deleted_and_old_days_pruned(store: Store, mlops: Mlops) -> None:
    publish(store)
    write_exchanges(store, [exchange(served(store), "r", patches(2))], "w")
    assert mlops("inference", "delete", "crops", "r").code != 0
    done = mlops("inference", "delete", "crops", "r", "--reason", "asked for")
    assert done.out == "deleted 2 sample(s), and the labels of 0\n"
    again = mlops("inference", "delete", "crops", "r", "--reason", "asked for")
    assert again.code == 1 and "no logged request" in again.err
    assert DAY in mlops("inference", "prune", "crops", "--days", "1").out
    assert mlops("inference", "show", "crops").code == 1
