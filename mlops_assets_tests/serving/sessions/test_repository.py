"""Models of a server: loaded, verified, swapped, kept where a successor cannot be loaded."""

from __future__ import annotations

import threading
import weakref
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

from mlops_assets.errors import ModelUnavailable, NotFound, StorageUnreachable
from mlops_assets.models.signing.sign import sign_version
from mlops_assets.names import Reference
from mlops_assets.registry import Alias, Registry
from mlops_assets.registry.files.verified_read import published_path
from mlops_assets.serving.sessions.interface import Repository, TensorSpec
from mlops_assets.serving.sessions.repository import ModelRepository
from mlops_assets.storage import Workspace
from mlops_assets.store import Store
from mlops_assets_tests.models.signing.keys import make_key, trust
from mlops_assets_tests.serving.published import network, production, published

X = {"input": np.array([[1, 2]], dtype=np.float32)}


def opened(store: Store, *references: str) -> ModelRepository:
    return ModelRepository(store, [Reference.parse(text) for text in references or ["crops"]])


def answer(repository: Repository, version: str | None = None) -> tuple[str, float]:
    """The version that answers, and the number that it adds."""
    session = repository.session("crops", version)
    found = session.run(X, ["value"])["value"]
    return session.served.version, float(found[0, 0]) - 3


def test_each_alias_and_version_is_served(store: Store) -> None:
    first, second = production(store, "v1-a", 1), published(store, "v1-b", 2)
    store.registry.promote(second, [], alias="candidate")
    repository = opened(store, "crops", "crops@candidate", "crops@v1-a")
    assert answer(repository) == answer(repository, "v1-a") == ("v1-a", 1)
    assert answer(repository, "candidate") == answer(repository, "v1-b") == ("v1-b", 2)
    assert repository.names() == ["crops"]
    assert repository.versions("crops") == ["v1-a", "v1-b"]
    assert [status.ready for status in repository.status("crops")] == [True] * 3
    served = repository.session("crops").served
    assert served.inputs == (TensorSpec("input", "FP32", (-1, 2)),)
    assert served.outputs == (TensorSpec("value", "FP32", (-1, 1)),)
    assert served.properties["features"] == ["red", "nir"]
    assert served.properties["data_version"] == "fields@v1"
    assert served.properties["units"] == {"nir": "1"}
    assert (served.row.run_id, served.alias) == (first.run_id, "production")
    for name, version in (("corps", None), ("crops", "v1-c"), ("crops", "v1")):
        with pytest.raises(NotFound):
            repository.session(name, version)
    with pytest.raises(NotFound):
        opened(store, "corps")


def test_equal_files_are_loaded_once(store: Store) -> None:
    production(store, "v1-a", 1)
    store.registry.promote(published(store, "v1-b", 1), [], alias="candidate")
    repository = opened(store, "crops", "crops@candidate")
    one, other = repository.session("crops"), repository.session("crops", "candidate")
    assert one.served.version != other.served.version
    assert one.runner is other.runner  # type: ignore[attr-defined]


def test_no_request_fails_while_the_alias_moves(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [production(store, "v1-0", 0)]
    rows += [published(store, f"v1-{number}", number) for number in range(1, 5)]
    repository = opened(store)
    answers: list[tuple[str, float]] = []
    failures: list[Exception] = []
    stopped = threading.Event()

    def ask() -> None:
        while not stopped.is_set():
            try:
                answers.append(answer(repository))
            except Exception as error:  # noqa: BLE001 — any would be a failed request
                failures.append(error)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    repository.watch(0.01)
    with closing(repository):
        for number in range(1, 21):
            row = rows[number % 5]
            store.registry.promote(row, [])
            while repository.versions("crops") != [row.version]:
                stopped.wait(0.005)
            known = len(answers)
            while len(answers) < known + 8:  # each thread has answered by it
                stopped.wait(0.005)
    stopped.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert all(number == float(version[3:]) for version, number in answers)
    assert {version for version, _ in answers} == {row.version for row in rows}


def test_a_request_keeps_its_session_until_it_ends(store: Store) -> None:
    production(store, "v1-a", 1)
    repository = opened(store)
    session = repository.session("crops")
    production(store, "v1-b", 2)
    repository.poll()
    assert answer(repository) == ("v1-b", 2)
    assert float(session.run(X, ["value"])["value"][0, 0]) == 4
    loaded = weakref.ref(session.runner)  # type: ignore[attr-defined]
    del session
    assert loaded() is None


def test_what_is_served_stays_where_its_successor_is_corrupt(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    production(store, "v1-a", 1)
    repository = opened(store)
    row = published(store, "v1-b", 2)
    path = store.workspace.root / "models/crops/v1-b/model.onnx"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + b"!")
    store.registry.promote(row, [])
    reads = counted_reads(monkeypatch)
    repository.poll()
    repository.poll()
    assert answer(repository) == ("v1-a", 1) and len(reads) == 1
    (status,) = repository.status("crops")
    assert status.ready and status.version == "v1-a"
    # whoever names the new version is not answered by the old one
    with pytest.raises(ModelUnavailable, match="v1-b is not loaded"):
        repository.session("crops", "v1-b")
    assert "v1-b is not loaded: models/crops/v1-b/model.onnx is not as it was" in str(status.reason)
    with pytest.raises(ModelUnavailable, match="is not as it was published"):
        repository.load("crops")
    assert answer(repository) == ("v1-a", 1) and len(reads) == 2
    # it is read again after a while, and reported once
    monkeypatch.setattr("time.monotonic", lambda: float("inf"))
    repository.poll()
    assert len(reads) == 3
    assert [record.message for record in caplog.records].count(str(status.reason)) == 1
    path.write_bytes(content)
    repository.poll()
    assert answer(repository) == ("v1-b", 2) and repository.status("crops")[0].reason is None


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"not a model", "cannot be loaded by onnxruntime"),
        (network(1, features=3), "does not run on these inputs"),
        (b"", "cannot be loaded by onnxruntime"),
    ],
    ids=["no model", "another shape", "empty"],
)
def test_a_version_that_does_not_run_is_not_served(
    content: bytes, reason: str, store: Store
) -> None:
    production(store, "v1-a", 1)
    repository = opened(store)
    store.registry.promote(published(store, "v1-b", 2, content), [])
    repository.poll()
    assert answer(repository) == ("v1-a", 1)
    assert reason in str(repository.status("crops")[0].reason)
    # back to what is served
    store.registry.promote(store.registry.model_version(Reference("crops", "v1-a")), [])
    repository.poll()
    assert repository.status("crops")[0].reason is None


def test_an_alias_of_no_version_names_the_next_command(store: Store) -> None:
    published(store, "v1-a", 1)
    repository = ModelRepository(
        store, [Reference("crops", "production"), Reference("crops", "v9")]
    )
    reasons = [str(status.reason) for status in repository.status("crops")]
    assert reasons == [
        "crops@production names no model version; run 'mlops model promote crops'",
        "crops@v9 names no model version; see 'mlops model list crops'",
    ]


def test_bytes_that_change_between_check_and_load_are_refused(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    production(store, "v1-a", 1)

    def replaced(*arguments: Any) -> Path:
        path = published_path(*arguments)
        path.write_bytes(network(7))
        return path

    monkeypatch.setattr("mlops_assets.serving.sessions.load.published_path", replaced)
    (status,) = opened(store).status("crops")
    assert not status.ready and "has changed while it was read" in str(status.reason)


def test_a_signature_is_demanded_before_a_version_is_read(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = production(store, "v1-a", 1)
    key = make_key(tmp_path, "a")
    trust(monkeypatch, tmp_path, {"name": "ann", "file": "a.pub"})
    reads = counted_reads(monkeypatch)
    repository = opened(store)
    assert not reads and "has no signature" in str(repository.status("crops")[0].reason)
    with pytest.raises(ModelUnavailable, match="has no signature"):
        repository.session("crops")
    sign_version(store, row, key)
    repository.load("crops")
    assert answer(repository) == ("v1-a", 1)


def test_an_unloaded_model_stays_so_until_it_is_loaded(store: Store) -> None:
    production(store, "v1-a", 1)
    repository = opened(store)
    for _ in range(2):
        repository.unload("crops")
    production(store, "v1-b", 2)
    repository.poll()
    assert repository.versions("crops") == [] and not repository.status("crops")[0].ready
    for version in (None, "production", "v1-a"):
        with pytest.raises(ModelUnavailable, match="unloaded"):
            repository.session("crops", version)
    for _ in range(2):
        repository.load("crops")
    assert answer(repository) == ("v1-b", 2)
    for change in (repository.load, repository.unload):
        with pytest.raises(NotFound):
            change("corps")


def test_an_alias_may_come_and_go(store: Store) -> None:
    row = published(store, "v1-a", 1)
    repository = opened(store)
    with pytest.raises(ModelUnavailable, match="crops@production"):
        repository.session("crops")
    store.registry.promote(row, [])
    repository.poll()
    assert answer(repository) == ("v1-a", 1)
    with store.registry.transaction("remove an alias") as session:
        session.delete(session.get_one(Alias, ("crops", "production")))
    repository.poll()
    assert not repository.status("crops")[0].ready


def test_models_are_served_while_the_registry_is_unreachable(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    production(store, "v1-a", 1)
    repository = opened(store)
    with monkeypatch.context() as context:
        context.setattr(
            "mlops_assets.serving.sessions.repository.targets_of",
            Mock(side_effect=StorageUnreachable("the registry does not answer")),
        )
        repository.poll()
        repository.poll()
        assert answer(repository) == ("v1-a", 1)
        with pytest.raises(ModelUnavailable, match="does not answer"):
            repository.load("crops")
    assert len(caplog.records) == 1
    production(store, "v1-b", 2)
    repository.poll()
    assert answer(repository) == ("v1-b", 2)


def counted_reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let ONNX files be read as before, and return the list of those that are from now on."""
    reads: list[str] = []

    def counted(workspace: Workspace, registry: Registry, key: str) -> Path:
        reads.append(key)
        return published_path(workspace, registry, key)

    monkeypatch.setattr("mlops_assets.serving.sessions.load.published_path", counted)
    return reads
