"""The registry's promises: published once, never lost, never half, always found by name."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from mlops_assets.errors import (
    Conflict,
    MlopsError,
    NameRefused,
    NotFound,
    SettingsError,
    StorageError,
)
from mlops_assets.names import Reference
from mlops_assets.paths import Owner
from mlops_assets.principals import local
from mlops_assets.registry import DataVersion, ModelVersion, Registry, open_registry
from mlops_assets.registry.runs import RunFacts
from mlops_assets.registry.schema import SCHEMA_REVISION
from mlops_assets.registry.store import now
from mlops_assets.storage import FileStat
from mlops_assets_tests.registry.rows import data_version, model_version, new_run

FILE = FileStat("datasets/fields/v1/version.json", "a" * 64, 3)
OPEN_AND_LOG = """
import sys
from mlops_assets.registry import Registry
from mlops_assets.registry.store import now
registry = Registry(sys.argv[1])
for step in range(25):
    points = [(2 * step, "loss", step, 0.5, 0.0), (2 * step + 1, "accuracy", step, 0.5, 0.0)]
    registry.log(sys.argv[2], points)
"""


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'registry.db'}"


@pytest.fixture
def registry(url: str) -> Registry:
    return Registry(url)


@pytest.fixture
def publish(registry: Registry) -> Callable[..., ModelVersion]:
    def published(version: str, age: int = 0) -> ModelVersion:
        registry.start_run(new_run(f"run-of-{version}"))
        row = model_version(version, f"run-of-{version}", age)
        registry.publish_model_version(
            row,
            [FileStat(f"models/crops/{version}/m", "a" * 64, 3)],
            facts=RunFacts({"loss": 0.5}),
        )
        return row

    return published


# data versions


def test_a_published_data_version_is_found_with_its_files_after_reopening(
    registry: Registry, url: str
) -> None:
    registry.publish_data_version(data_version(), [FILE])
    again = Registry(url)
    found = again.data_version(Reference.parse("fields@v1"))
    assert (found.digest, found.samples, found.counts) == (f"{1:064d}", 10, {"train": 10})
    assert found.created.utcoffset() == timedelta(0)
    assert again.files(Owner("data:fields@v1")) == again.files() == [FILE]
    assert again.files(Owner("data:fields@v2")) == []
    assert again.data_version_with("fields", f"{1:064d}") is not None
    assert again.data_version_with("other", f"{1:064d}") is None


@pytest.mark.parametrize(
    "again",
    [
        data_version(1, digest="9" * 64),
        data_version(2, digest=f"{1:064d}"),
        data_version(1, version="v9"),
    ],
    ids=["same version", "same digest", "same number"],
)
def test_publishing_a_data_version_twice_is_a_conflict_and_records_nothing(
    registry: Registry, again: DataVersion
) -> None:
    registry.publish_data_version(data_version(), [FILE])
    with pytest.raises(Conflict, match="published by another process"):
        registry.publish_data_version(again, [FileStat("other", "b" * 64, 1)])
    assert [row.version for row in registry.data_versions()] == ["v1"]
    assert registry.files() == [FILE]


def test_a_dataset_alone_means_its_newest_version_by_number(registry: Registry) -> None:
    for number in (2, 10, 9):
        registry.publish_data_version(data_version(number), [])
    assert registry.data_version(Reference("fields")).version == "v10"
    assert [row.number for row in registry.data_versions("fields")] == [2, 9, 10]


@pytest.mark.parametrize("reference", ["other", "other@v1", "fields@v2", "fields@latest"])
def test_an_unknown_data_version_is_not_found(registry: Registry, reference: str) -> None:
    registry.publish_data_version(data_version(), [])
    with pytest.raises(NotFound, match=reference.partition("@")[0]):
        registry.data_version(Reference.parse(reference))


def test_a_tag_names_its_version_and_does_not_move(registry: Registry) -> None:
    for number in (1, 2):
        registry.publish_data_version(data_version(number), [])
    registry.tag("fields", "v1", "paper")
    registry.tag("fields", "v1", "paper")
    with pytest.raises(Conflict, match="tags do not move"):
        registry.tag("fields", "v2", "paper")
    assert registry.tags("fields") == {"paper": "v1"}
    assert registry.data_version(Reference("fields", "paper")).version == "v1"


@pytest.mark.parametrize(
    ("tag", "message"),
    [
        ("a|b", "cannot be used"),
        ("v1", "looks like a version"),
        ("v2", "looks like a version"),
        ("v3-1f0c9a2b", "looks like a version"),
    ],
)
def test_a_tag_that_cannot_be_a_tag_is_refused(registry: Registry, tag: str, message: str) -> None:
    registry.publish_data_version(data_version(), [])
    with pytest.raises(NameRefused, match=message):
        registry.tag("fields", "v1", tag)
    assert registry.tags("fields") == {}


def test_a_version_is_found_by_its_own_name_whatever_was_tagged_before(registry: Registry) -> None:
    for number in (1, 2):
        registry.publish_data_version(data_version(number), [])
    # tag() refuses such a tag; older registries may have it
    with registry._engine.begin() as connection:
        connection.execute(
            text("INSERT INTO tags (dataset, tag, version) VALUES ('fields', 'v2', 'v1')")
        )
    assert registry.data_version(Reference("fields", "v2")).version == "v2"


def test_a_label_is_resolved_by_one_connection_of_few(
    registry: Registry, publish: Callable[..., ModelVersion]
) -> None:
    registry.publish_data_version(data_version(), [])
    registry.tag("fields", "v1", "harvest")
    registry.promote(publish("v1-0c9f2a3b"), [])
    with ExitStack() as others:
        for _ in range(14):  # of the 15 that a pool has; others would wait for each other
            others.enter_context(registry.reading()).connection()
        assert registry.data_version(Reference("fields", "harvest")).version == "v1"
        assert registry.model_version(Reference("crops", "production")).version == "v1-0c9f2a3b"


def test_a_version_that_does_not_exist_cannot_be_tagged(registry: Registry) -> None:
    registry.publish_data_version(data_version(1), [])
    with pytest.raises(NotFound):
        registry.tag("fields", "v9", "paper")
    assert registry.tags("fields") == {}


# runs


def test_a_failed_run_keeps_its_error_and_metrics(registry: Registry) -> None:
    registry.start_run(new_run(metrics={"epochs": 1}))
    registry.finish_run("run-1", "failed", "out of memory", facts=RunFacts({"loss": 2.0}))
    found = registry.run("run-1")
    assert (found.status, found.error, found.metrics) == (
        "failed",
        "out of memory",
        {"epochs": 1, "loss": 2.0},
    )
    assert found.finished is not None


def test_publishing_a_model_version_is_the_success_of_its_run(
    registry: Registry, publish: Callable[..., ModelVersion]
) -> None:
    publish("m1")
    found = registry.run("run-of-m1")
    assert (found.status, found.model_version, found.metrics) == ("succeeded", "m1", {"loss": 0.5})
    assert [file.path for file in registry.files(Owner("model:crops@m1"))] == ["models/crops/m1/m"]


def test_a_succeeded_run_cannot_start_again(
    registry: Registry, publish: Callable[..., ModelVersion]
) -> None:
    publish("m1")
    with pytest.raises(Conflict, match="has succeeded already"):
        registry.start_run(new_run("run-of-m1"))
    assert registry.run("run-of-m1").status == "succeeded"


def test_an_unfinished_run_starts_again_from_nothing(registry: Registry) -> None:
    registry.start_run(new_run(seed=1))
    registry.log("run-1", [(0, "loss", 0, 1.0, 0.0)])
    registry.start_run(new_run(seed=2))
    assert (registry.run("run-1").seed, registry.series("run-1"), len(registry.runs())) == (
        2,
        {},
        1,
    )


def test_series_come_back_by_name_in_the_order_logged_each_once(registry: Registry) -> None:
    registry.log(
        "run-1", [(0, "loss", 0, 3.0, 0.0), (1, "accuracy", 0, 0.1, 0.0), (2, "loss", 5, 2.0, 1.0)]
    )
    registry.log("run-1", [(3, "loss", 2, 1.0, 0.5), (2, "loss", 5, 7.0, 1.0)])
    registry.log("run-2", [(0, "loss", 0, 9.0, 0.0)])
    registry.log("run-2", [])
    assert registry.series("run-1") == {
        "loss": [(0, 3.0), (5, 2.0), (2, 1.0)],
        "accuracy": [(0, 0.1)],
    }
    assert [seq for seq, *_ in registry.newest_points("run-1", 2)] == [2, 3]


def test_a_resumed_run_forgets_what_it_logged_from_the_checkpoint_on(registry: Registry) -> None:
    registry.start_run(new_run())
    registry.log("run-1", [(seq, "loss", seq, 1.0 - seq / 10, 0.0) for seq in range(4)])
    registry.resume_run("run-1", 2)
    assert registry.series("run-1") == {"loss": [(0, 1.0), (1, 0.9)]}


def test_runs_are_listed_oldest_first_and_filtered_by_columns(registry: Registry) -> None:
    registry.start_run(new_run("young"))
    registry.start_run(new_run("old", started=now() - timedelta(days=1), status="failed"))
    registry.start_run(new_run("other", model="soil"))
    assert [run.run_id for run in registry.runs("crops")] == ["old", "young"]
    assert [run.run_id for run in registry.runs(status="failed")] == ["old"]


@pytest.mark.parametrize("beginning", ["run-", "nothing"])
def test_a_run_that_is_ambiguous_or_unknown_is_not_found(
    registry: Registry, beginning: str
) -> None:
    for run_id in ("run-1", "run-2"):
        registry.start_run(new_run(run_id))
    with pytest.raises(NotFound, match=beginning):
        registry.run(beginning)
    assert registry.run("run-2").run_id == "run-2"


@pytest.mark.parametrize(
    "change",
    [
        lambda r: r.finish_run("gone", "failed"),
        lambda r: r.publish_model_version(model_version("m", "gone"), []),
        lambda r: r.advance(model_version("m", "gone"), "exported", []),
    ],
)
def test_changing_what_is_not_there_is_not_found(
    registry: Registry, change: Callable[[Registry], None]
) -> None:
    with pytest.raises(NotFound, match="is not in the registry"):
        change(registry)


# model versions


def test_a_model_version_published_twice_is_a_conflict_and_leaves_the_run_running(
    registry: Registry, publish: Callable[..., ModelVersion]
) -> None:
    publish("m1")
    registry.start_run(new_run("run-2"))
    with pytest.raises(Conflict, match="immutable"):
        registry.publish_model_version(model_version("m1", "run-2"), [FileStat("x", "b" * 64, 1)])
    assert registry.run("run-2").status == "running"
    assert [file.path for file in registry.files()] == ["models/crops/m1/m"]


def test_a_model_is_resolved_by_version_by_alias_and_as_its_newest(
    registry: Registry, publish: Callable[..., ModelVersion]
) -> None:
    publish("newest")
    registry.promote(publish("old", age=2), [])
    publish("middle", age=1)
    resolved = {
        text: registry.model_version(Reference.parse(text)).version
        for text in ("crops", "crops@middle", "crops@production")
    }
    assert resolved == {"crops": "newest", "crops@middle": "middle", "crops@production": "old"}


@pytest.mark.parametrize("reference", ["other", "crops@gone", "crops@production"])
def test_an_unknown_model_version_is_not_found(
    registry: Registry, publish: Callable[..., ModelVersion], reference: str
) -> None:
    publish("m1")
    with pytest.raises(NotFound):
        registry.model_version(Reference.parse(reference))


def test_promoting_moves_the_former_production_to_previous(
    registry: Registry, publish: Callable[..., ModelVersion]
) -> None:
    first, second = publish("m1"), publish("m2")
    ann, ben = registry.acting(local("ann")), registry.acting(local("ben"))
    assert ann.promote(first, []).previous is None
    assert registry.aliases("crops") == {"production": "m1"}
    assert ben.promote(second, [{"gate": "g"}]).previous == "m1"
    assert registry.aliases("crops") == {"production": "m2", "previous": "m1"}
    ben.promote(second, [])
    registry.promote(first, [], alias="candidate")
    assert registry.aliases("crops") == {"production": "m2", "previous": "m1", "candidate": "m1"}
    for version in (publish("m3"), second):
        registry.promote(version, [], alias="candidate")
    assert registry.aliases("crops") == {"production": "m2", "previous": "m1", "candidate": "m2"}
    history = [(p.alias, p.version, p.moved_by, p.gates) for p in registry.promotions("crops")]
    assert history[:2] == [
        ("production", "m1", "ann", []),
        ("production", "m2", "ben", [{"gate": "g"}]),
    ]
    assert len(history) == 6


def test_a_stage_only_moves_forward(
    registry: Registry, publish: Callable[..., ModelVersion]
) -> None:
    row = publish("m1")
    assert registry.advance(row, "evaluated", [], {"f1": 0.5}).stage == "evaluated"
    again = registry.advance(row, "exported", [FileStat("models/crops/m1/m", "b" * 64, 4)])
    assert (again.stage, again.metrics) == ("evaluated", {"f1": 0.5})
    assert registry.run("run-of-m1").metrics == {"loss": 0.5, "f1": 0.5}
    assert registry.files(Owner("model:crops@m1")) == [FileStat("models/crops/m1/m", "b" * 64, 4)]
    assert [row.stage for row in registry.model_versions("crops", stage="evaluated")] == [
        "evaluated"
    ]


# several writers


def test_threads_that_log_at_once_lose_nothing(registry: Registry) -> None:
    failures: list[Exception] = []

    def log(name: str) -> None:
        try:
            for step in range(50):
                registry.log(
                    name,
                    [
                        (2 * step, "loss", step, 0.5, 0.0),
                        (2 * step + 1, "accuracy", step, 0.5, 0.0),
                    ],
                )
        except MlopsError as error:
            failures.append(error)

    threads = [threading.Thread(target=log, args=(f"run-{i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    expected = [(step, 0.5) for step in range(50)]
    assert [registry.series(f"run-{i}") for i in range(4)] == [
        {"loss": expected, "accuracy": expected}
    ] * 4


def test_processes_that_make_and_write_one_registry_at_once_lose_nothing(url: str) -> None:
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", OPEN_AND_LOG, url, f"run-{i}"], stderr=subprocess.PIPE, text=True
        )
        for i in range(3)
    ]
    assert [writer.communicate()[1] for writer in writers] == [""] * 3
    registry = Registry(url)
    assert [len(registry.series(f"run-{i}")["loss"]) for i in range(3)] == [25] * 3


def test_threads_that_make_one_registry_at_once_all_open_it(tmp_path: Path) -> None:
    opened: list[int] = []

    def open_it(attempt: int, barrier: threading.Barrier) -> None:
        barrier.wait(60)
        Registry(f"sqlite:///{tmp_path / f'{attempt}.db'}")
        opened.append(attempt)

    for attempt in range(10):
        barrier = threading.Barrier(4)
        threads = [threading.Thread(target=open_it, args=(attempt, barrier)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert opened == [attempt for attempt in range(10) for _ in range(4)]


def test_of_two_writers_of_one_data_version_exactly_one_wins(url: str) -> None:
    outcomes: list[str] = []
    barrier = threading.Barrier(2)

    def publish(digest: str) -> None:
        registry = Registry(url)
        barrier.wait(60)
        try:
            registry.publish_data_version(
                data_version(1, digest=digest * 64), [FileStat("f", digest * 64, 1)]
            )
            outcomes.append("published")
        except Conflict:
            outcomes.append("conflict")

    threads = [threading.Thread(target=publish, args=(digest,)) for digest in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["conflict", "published"]
    (row,), (file,) = Registry(url).data_versions(), Registry(url).files()
    assert row.digest == file.sha256


# opening


def test_a_registry_of_a_newer_release_is_refused(registry: Registry, url: str) -> None:
    with registry._engine.begin() as connection:
        connection.execute(text("UPDATE registry_version SET version_num = '99'"))
    with pytest.raises(StorageError, match=f"has schema 99, this release reads {SCHEMA_REVISION}"):
        Registry(url)


def test_a_registry_in_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="check MLOPS_REGISTRY"):
        Registry(f"sqlite:///{tmp_path / 'gone' / 'registry.db'}")


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "registry.db").write_bytes(b"x" * 5000)
    with pytest.raises(StorageError, match="check MLOPS_REGISTRY"):
        Registry(f"sqlite:///{tmp_path / 'registry.db'}")


def test_a_url_that_is_none_is_refused() -> None:
    with pytest.raises(SettingsError, match="MLOPS_REGISTRY"):
        Registry("nonsense")


def test_one_process_opens_one_url_once(url: str) -> None:
    assert open_registry(url) is open_registry(url)
