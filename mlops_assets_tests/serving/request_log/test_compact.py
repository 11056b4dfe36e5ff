"""Days of the request log as published files, whatever interrupts that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops_assets.errors import Forbidden, IntegrityError, NameRefused
from mlops_assets.models.verify import verify_all
from mlops_assets.paths import inference_owner, requests_key, segments_folder
from mlops_assets.principals import Principal, Role, Visibility
from mlops_assets.registry import Registry
from mlops_assets.reindex.reindex import reindex
from mlops_assets.serving.request_log.client import write_exchanges
from mlops_assets.serving.request_log.compact import compact_day
from mlops_assets.serving.request_log.day_file import logged_days
from mlops_assets.serving.request_log.read import read_day
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


class _Killed(BaseException):
    """The process is gone."""


def _log(store: Store, *requests: str, writer: str = "w", started: float = MORNING) -> None:
    version = served(store)
    exchanges = [
        exchange(version, request, patches(1), started + k) for k, request in enumerate(requests)
    ]
    write_exchanges(store, exchanges, writer)


def _requests(store: Store) -> list[str]:
    return [request for each in read_day(store, "crops", DAY) for request in each.requests]


@pytest.mark.parametrize("step", ["put", "record", "move", "remove"])
@pytest.mark.parametrize("is_first", [True, False])
def test_a_killed_compaction_loses_and_repeats_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch, step: str, is_first: bool
) -> None:
    publish(store)
    if not is_first:
        _log(store, "a")
        compact_day(store, "crops", DAY)
    _log(store, "b", "c", started=MORNING + 10)

    def killed(*_: Any, **__: Any) -> None:
        raise _Killed

    where: tuple[type, str] = {
        "put": (Workspace, "put"),
        "record": (Registry, "transaction"),
        "move": (Workspace, "move"),
        "remove": (Workspace, "remove"),
    }[step]
    with monkeypatch.context() as patched:
        patched.setattr(*where, killed)
        if step == "move" and is_first:
            compact_day(store, "crops", DAY)
        else:
            with pytest.raises(_Killed):
                compact_day(store, "crops", DAY)
    _log(store, "d", started=MORNING + 20)
    compact_day(store, "crops", DAY)
    assert _requests(store) == [*([] if is_first else ["a"]), "b", "c", "d"]
    assert list(store.workspace.list(segments_folder("crops", DAY))) == []
    assert verify_all(store).problems == []


def test_a_request_is_there_once_for_each_writer(store: Store) -> None:
    publish(store)
    _log(store, "a", "b")
    compact_day(store, "crops", DAY)
    # shipped again, sent again by its client, and sent to another server
    _log(store, "a", "b")
    _log(store, "a", started=MORNING + 5)
    _log(store, "a", writer="x", started=MORNING + 6)
    file = compact_day(store, "crops", DAY)
    assert _requests(store) == ["a", "b", "a"]
    (found,) = read_day(store, "crops", DAY)
    assert found.times[0] == np.datetime64("2026-11-02T10:00:00")
    _log(store, "b", started=MORNING + 1)
    # the same rows are the same file
    assert compact_day(store, "crops", DAY) == file


def test_versions_are_apart_and_hidden_with_their_version(store: Store) -> None:
    publish(store)
    publish(store, "v1-2", view="row", shape=[2])
    _log(store, "a", "b")
    X = np.ones((3, 2), np.float32)
    write_exchanges(store, [exchange(served(store, "v1-2"), "c", X)], "w")
    compact_day(store, "crops", DAY)
    found = read_day(store, "crops", DAY)
    assert [(each.version, len(each)) for each in found] == [("v1-2", 3), ("v1-1", 2)]
    assert found[0].statistics is None and found[1].statistics is not None
    np.testing.assert_array_equal(found[0].values, X)
    row = store.registry.model_version(_reference("v1-2"))
    store.registry.set_visibility(row, Visibility.PRIVATE)
    other = store.acting(Principal("eve", frozenset({Role.SCIENTIST})))
    assert [each.version for each in read_day(other, "crops", DAY)] == ["v1-1"]


def _reference(version: str) -> Any:
    from mlops_assets.names import Reference

    return Reference("crops", version)


def test_a_changed_file_is_not_read_and_verify_reports_it(store: Store) -> None:
    publish(store)
    _log(store, "a")
    compact_day(store, "crops", DAY)
    path = store.workspace.root / requests_key("crops", DAY)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(IntegrityError, match="restore it from a backup"):
        read_day(store, "crops", DAY)
    assert any("requests.parquet" in problem for problem in verify_all(store).problems)


@pytest.mark.parametrize("has_log", [True, False])
def test_a_registry_that_is_rebuilt_has_the_file(
    store: Store, tmp_path: Path, has_log: bool
) -> None:
    publish(store)
    _log(store, "a")
    file = compact_day(store, "crops", DAY)
    _log(store, "b")
    if not has_log:
        store.workspace.remove_folder("log")
    url = f"sqlite:///{tmp_path / 'again.db'}"
    reindex(store.workspace, url, store.registry.principal)
    again = Store(store.workspace, Registry(url).acting(store.registry.principal))
    assert again.registry.files(inference_owner("crops", DAY)) == [file]


def test_names_and_roles_are_checked(store: Store) -> None:
    publish(store)
    _log(store, "a")
    viewer = store.acting(Principal("eve", frozenset({Role.VIEWER})))
    with pytest.raises(Forbidden):
        compact_day(viewer, "crops", DAY)
    for day in ("2026-11-2", "20261102", "../x", "2026-02-30", ""):
        with pytest.raises(NameRefused, match="YYYY-MM-DD"):
            compact_day(store, "crops", day)
    with pytest.raises(NameRefused):
        read_day(store, "../crops", DAY)
    assert logged_days(store, "crops") == [DAY]


@st.composite
def _requests_of_a_day(draw: st.DrawFn) -> list[tuple[str, int, int, int]]:
    """Requests: id, samples, second, file."""
    ids = draw(st.lists(st.text(min_size=1, max_size=5), max_size=12, unique=True))
    return [
        (
            text,
            draw(st.integers(1, 4)),
            draw(st.integers(0, 20)),
            draw(st.integers(0, 2)),
        )
        for text in ids
    ]


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(requests=_requests_of_a_day(), seed=st.integers(0, 100))
def test_what_was_logged_is_read_in_the_order_of_time(
    store: Store, requests: list[tuple[str, int, int, int]], seed: int
) -> None:
    if not store.registry.model_versions("crops"):
        publish(store)
    version = served(store)
    day = f"2026-10-{1 + seed % 28:02}"
    start = np.datetime64(day).astype("datetime64[s]").astype(int)
    store.workspace.remove_folder(f"inference/crops/{day}")
    with store.registry.transaction("forget") as session:
        from mlops_assets.registry.session import drop_files

        drop_files(session, [requests_key("crops", day)])
    expected = []
    for file in range(3):
        exchanges = [
            exchange(version, text, patches(n, seed + k), float(start + second))
            for k, (text, n, second, where) in enumerate(requests)
            if where == file
        ]
        if exchanges:
            write_exchanges(store, exchanges, "w")
            expected += exchanges
        if file == 1:
            compact_day(store, "crops", day)
    compact_day(store, "crops", day)
    expected.sort(key=lambda each: (each.started, each.id.encode("utf-8", "replace")))
    found = read_day(store, "crops", day)
    if not expected:
        assert found == []
        return
    (samples,) = found
    assert samples.requests.tolist() == [
        each.id for each in expected for _ in range(len(each.inputs["input"]))
    ]
    assert samples.values is not None and samples.scores is not None
    np.testing.assert_array_equal(
        samples.values, np.concatenate([each.inputs["input"] for each in expected])
    )
    np.testing.assert_array_equal(
        samples.scores, np.concatenate([each.outputs["scores"] for each in expected])
    )


def test_row_groups_are_small_whatever_a_sample_is(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlops_assets.serving.request_log.merge._GROUP_BYTES", 4 << 10)
    monkeypatch.setattr("mlops_assets.serving.request_log.merge._SLICE_BYTES", 2 << 10)
    publish(store)
    for part in range(3):
        _log(store, *(f"{part}-{k}" for k in range(40)), started=MORNING + part / 10)
    compact_day(store, "crops", DAY)
    path = store.workspace.root / requests_key("crops", DAY)
    assert pq.ParquetFile(path).num_row_groups > 5
    found = _requests(store)
    assert found == [f"{part}-{k}" for k in range(40) for part in range(3)]
