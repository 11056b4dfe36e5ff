"""Committing while servers fail.

File and remedy are named, nothing is published, and a later commit succeeds.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops_assets.datasets.commit.commit import Commit, commit
from mlops_assets.datasets.specification.dataset import DatasetSpecification
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.errors import StorageError
from mlops_assets.names import Reference
from mlops_assets.principals import local
from mlops_assets.registry import Registry
from mlops_assets.storage import Workspace
from mlops_assets.store import Store
from mlops_assets_tests.conftest import crops_table, table_specification
from mlops_assets_tests.datasets.places import Place, place_on
from mlops_assets_tests.servers.buckets import FaultyBucket
from mlops_assets_tests.servers.faults import FaultyProxy
from mlops_assets_tests.servers.web import WebFolder

FILES = ("a.csv", "b.csv", "c.csv")
LIST = "*list-type=2*"

pytestmark = pytest.mark.faults("a server refuses, fails, is slow or cuts off")


@pytest.fixture(
    params=[
        pytest.param(name, marks=pytest.mark.services) for name in ("faulty_s3", "https_folder")
    ]
)
def place(request: pytest.FixtureRequest) -> Place:
    """Three tables on a server that can be made to fail."""
    place = place_on(request.getfixturevalue(request.param))
    _land(place)
    return place


@pytest.fixture
def faults(place: Place) -> FaultyProxy:
    assert isinstance(place.server, FaultyBucket | WebFolder)
    return place.server.faults


@pytest.fixture
def workspace(faulty_s3: FaultyBucket, tmp_path: Path) -> Store:
    """A workspace in the failing bucket, with tables landed in it."""
    _land(place_on(faulty_s3))
    workspace = Workspace(faulty_s3.url, tmp_path / "cache")
    return Store(
        workspace, Registry(f"sqlite:///{tmp_path / 'registry.db'}").acting(local("tester"))
    )


@pytest.mark.parametrize(("status", "remedy"), [(403, "credentials"), (404, ""), (500, "")])
def test_a_landing_that_cannot_be_listed(
    faulty_s3: FaultyBucket, store: Store, status: int, remedy: str
) -> None:
    place = place_on(faulty_s3)
    _land(place)
    faulty_s3.faults.add(LIST, status=status)
    with pytest.raises(StorageError, match=rf"{place.url}.*; .*{remedy}"):
        _commit(store, place)
    _nothing_published(store)
    faulty_s3.faults.clear()
    assert _commit(store, place).created


@pytest.mark.parametrize(("status", "remedy"), [(403, "credentials"), (404, ""), (500, "")])
def test_a_file_that_cannot_be_read_is_named_with_what_to_do(
    place: Place, faults: FaultyProxy, store: Store, status: int, remedy: str
) -> None:
    faults.add("*/b.csv", status=status, method="GET")  # after it was listed
    with pytest.raises(StorageError, match=rf"b\.csv.*; .*{remedy}") as raised:
        _commit(store, place)
    assert "Debug source" not in str(raised.value)
    _nothing_published(store)
    faults.clear()
    assert _commit(store, place).created


def test_all_files_that_cannot_be_read_are_named_at_once(
    place: Place, faults: FaultyProxy, store: Store
) -> None:
    faults.add("*/a.csv", status=403)
    faults.add("*/c.csv", status=404)
    with pytest.raises(Exception, match=r"(?s)a\.csv.*c\.csv"):
        _commit(store, place)
    _nothing_published(store)


@pytest.mark.parametrize("pattern", [LIST, "*.csv"], ids=["listing", "files"])
def test_a_server_that_fails_twice_is_asked_again(
    place: Place, faults: FaultyProxy, store: Store, pattern: str
) -> None:
    faults.add(pattern, status=500, times=2)
    assert _commit(store, place).created


@pytest.mark.parametrize("pattern", [LIST, "*/b.csv"], ids=["listing", "file"])
def test_a_slow_server_is_waited_for(
    place: Place, faults: FaultyProxy, store: Store, pattern: str
) -> None:
    faults.add(pattern, delay=0.5, times=2)
    assert _commit(store, place).created


def test_half_a_file_once_is_read_again_or_refused_but_never_published(
    place: Place, faults: FaultyProxy, store: Store
) -> None:
    faults.add("*/b.csv", cut=True, method="GET", times=1)
    try:
        _commit(store, place)
    except StorageError as error:
        assert "b.csv" in str(error)
        _nothing_published(store)
        _commit(store, place)
    _committed_as_landed(store)


def test_half_a_file_always_is_refused_and_a_later_commit_succeeds(
    place: Place, faults: FaultyProxy, store: Store
) -> None:
    faults.add("*/b.csv", cut=True, method="GET")
    with pytest.raises(StorageError, match=r"b\.csv.*; "):
        _commit(store, place)
    _nothing_published(store)
    faults.clear()
    assert _commit(store, place).created
    _committed_as_landed(store)


def test_half_a_listing_is_never_taken_for_the_whole(faulty_s3: FaultyBucket, store: Store) -> None:
    place = place_on(faulty_s3)
    _land(place)
    faulty_s3.faults.add(LIST, cut=True)
    with pytest.raises(StorageError, match=place.url):
        _commit(store, place)
    _nothing_published(store)
    faulty_s3.faults.clear()
    assert _commit(store, place).created
    _committed_as_landed(store)


@pytest.mark.parametrize(
    ("where", "status"),
    [
        ("*/objects/*", 403),
        ("*/objects/*", 404),
        ("*/objects/*", 500),
        ("*/manifest.parquet", 500),
        ("*/*.json", 403),
    ],
)
def test_a_workspace_that_cannot_be_written_publishes_nothing(
    workspace: Store, faulty_s3: FaultyBucket, where: str, status: int
) -> None:
    faulty_s3.faults.add(where, status=status, method="PUT")
    with pytest.raises(StorageError, match=r"s3://.*; "):
        _commit(workspace)
    _nothing_published(workspace)
    faulty_s3.faults.clear()
    assert _commit(workspace).version.version == "v1"
    _committed_as_landed(workspace)


@pytest.mark.parametrize("where", ["*/objects/*", "*/manifest.parquet"])
@pytest.mark.parametrize(
    "fault", [{"status": 500}, {"cut": True}, {"delay": 0.3}], ids=["500", "half", "slow"]
)
def test_a_workspace_that_fails_for_a_while(
    workspace: Store, faulty_s3: FaultyBucket, where: str, fault: dict[str, object]
) -> None:
    faulty_s3.faults.add(where, method="PUT", times=2, **fault)
    try:
        _commit(workspace)
    except StorageError:
        # a server that answers is asked again; a broken upload may be given up
        assert "cut" in fault
        _nothing_published(workspace)
        _commit(workspace)
    _committed_as_landed(workspace)


def test_an_object_that_was_cut_on_its_way_is_not_read(
    workspace: Store, faulty_s3: FaultyBucket, tmp_path: Path
) -> None:
    _commit(workspace)
    elsewhere = Workspace(faulty_s3.url, tmp_path / "cache of another machine")
    committed = CommittedDataset.open(elsewhere, workspace.registry, Reference("fields", "v1"))
    faulty_s3.faults.add("*/objects/*", cut=True, method="GET")
    with pytest.raises(StorageError, match="objects/sha256"):
        committed.local_path("b.csv")
    faulty_s3.faults.clear()
    assert committed.local_path("b.csv").read_bytes() == _table(1)


def _table(seed: int) -> bytes:
    return crops_table(400, seed).to_csv(index=False).encode()


def _land(place: Place) -> None:
    for seed, path in enumerate(FILES):
        place.put(path, _table(seed))


def _commit(store: Store, place: Place | None = None) -> Commit:
    specification: DatasetSpecification = table_specification(
        **({"source": place.source()} if place else {})
    )
    return commit(store.workspace, store.registry, specification)


def _nothing_published(store: Store) -> None:
    assert store.registry.data_versions() == []
    assert store.registry.files() == []


def _committed_as_landed(store: Store) -> None:
    committed = CommittedDataset.open(store.workspace, store.registry, Reference("fields", "v1"))
    assert list(committed.manifest["path"]) == list(FILES)
    for seed, path in enumerate(FILES):
        assert committed.local_path(path).read_bytes() == _table(seed)
