"""Models of a server: loaded, verified, swapped, kept where a successor cannot be loaded."""

from __future__ import annotations

import numpy as np
import pytest

from mlops_assets.errors import NotFound
from mlops_assets.names import Reference
from mlops_assets.serving.sessions.interface import Repository, TensorSpec
from mlops_assets.serving.sessions.repository import ModelRepository
from mlops_assets.store import Store
from mlops_assets_tests.serving.published import production, published

X = {"input": np.array([[1, 2]], dtype=np.float32)}


def opened(store: Store, *references: str) -> ModelRepository:
    return ModelRepository(store, [Reference.parse(text) for text in references or ["crops"]])


def answer(repository: Repository, version: str | None = None) -> tuple[str, float]:
    """The version that answers, and the number that it adds."""
    with repository.lease("crops", version) as session:
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
    with repository.lease("crops") as session:
        served = session.served
    assert served.inputs == (TensorSpec("input", "FP32", (-1, 2)),)
    assert served.outputs == (TensorSpec("value", "FP32", (-1, 1)),)
    assert served.properties["features"] == ["red", "nir"]
    assert served.properties["data_version"] == "fields@v1"
    assert (served.row.run_id, served.alias) == (first.run_id, "production")
    for name, version in (("corps", None), ("crops", "v1-c"), ("crops", "v1")):
        with pytest.raises(NotFound), repository.lease(name, version):
            pass
    with pytest.raises(NotFound):
        opened(store, "corps")


def test_equal_files_are_loaded_once(store: Store) -> None:
    production(store, "v1-a", 1)
    store.registry.promote(published(store, "v1-b", 1), [], alias="candidate")
    repository = opened(store, "crops", "crops@candidate")
    with repository.lease("crops") as one, repository.lease("crops", "candidate") as other:
        assert one.served.version != other.served.version
        assert one.runner is other.runner  # type: ignore[attr-defined]
