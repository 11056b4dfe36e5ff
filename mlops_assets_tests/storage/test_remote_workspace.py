"""A workspace on a server that fails.

Named errors with place and remedy, no half files, and work afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mlops_assets.errors import StorageError
from mlops_assets.storage import Workspace, sha256_of
from mlops_assets.storage.workspace import AT_ONCE
from mlops_assets_tests.servers.buckets import Bucket, FaultyBucket

FAULT = pytest.mark.faults("a server refuses, fails, is slow or cuts off")
LONG = bytes(range(256)) * (AT_ONCE // 256 + 1)
READS: dict[str, Callable[[Workspace], object]] = {
    "get": lambda workspace: workspace.get("folder/a.bin"),
    "stat": lambda workspace: workspace.stat("folder/a.bin"),
    "local_path": lambda workspace: workspace.local_path("folder/a.bin"),
    "exists": lambda workspace: workspace.exists("folder/a.bin"),
    "list": lambda workspace: list(workspace.list("folder")),
}
WRITES: dict[str, Callable[[Workspace], object]] = {
    "put": lambda workspace: workspace.put("folder/a.bin", b"abc"),
    "put_object": lambda workspace: workspace.put_object(b"abc"),
    "put_long": lambda workspace: workspace.put("folder/a.bin", LONG),
}


@pytest.fixture
def workspace(faulty_s3: FaultyBucket, tmp_path: Path) -> Workspace:
    return Workspace(faulty_s3.url, tmp_path / "cache")


def test_a_remote_workspace_needs_a_local_folder_for_caches(s3: Bucket) -> None:
    with pytest.raises(StorageError, match="MLOPS_CACHE"):
        Workspace(s3.url)


@FAULT
@pytest.mark.parametrize("status", [403, 500])
@pytest.mark.parametrize("read", READS)
def test_a_refused_read_names_the_key_the_place_and_what_to_do(
    workspace: Workspace, faulty_s3: FaultyBucket, read: str, status: int
) -> None:
    faulty_s3.put("folder/a.bin", b"abc")
    faulty_s3.faults.add("*", status=status)
    with pytest.raises(StorageError, match=r"folder") as raised:
        READS[read](workspace)
    assert faulty_s3.url in str(raised.value)
    _says_what_to_do(str(raised.value), status)
    assert "Debug source" not in str(raised.value)
    faulty_s3.faults.clear()
    READS[read](workspace)


@FAULT
@pytest.mark.parametrize("status", [403, 404, 500])
@pytest.mark.parametrize("write", WRITES)
def test_a_refused_write_names_the_key_the_place_and_what_to_do_and_leaves_nothing(
    workspace: Workspace, faulty_s3: FaultyBucket, write: str, status: int
) -> None:
    faulty_s3.faults.add("*", status=status)
    with pytest.raises(StorageError) as raised:
        WRITES[write](workspace)
    assert faulty_s3.url in str(raised.value)
    assert ("objects/sha256" if write == "put_object" else "folder/a.bin") in str(raised.value)
    _says_what_to_do(str(raised.value), status)
    assert faulty_s3.paths() == []
    faulty_s3.faults.clear()
    WRITES[write](workspace)
    assert len(faulty_s3.paths()) == 1


@FAULT
def test_a_missing_bucket_is_distinguished_from_a_missing_key(
    workspace: Workspace, faulty_s3: FaultyBucket, tmp_path: Path
) -> None:
    other = Workspace("s3://no-such-bucket", tmp_path / "cache")
    with pytest.raises(StorageError, match="no-such-bucket"):
        other.put("a", b"abc")
    with pytest.raises(StorageError, match="no-such-bucket"):
        list(other.list(""))


@FAULT
@pytest.mark.parametrize("work", [*READS, *WRITES])
def test_a_server_that_fails_twice_is_asked_again(
    workspace: Workspace, faulty_s3: FaultyBucket, work: str
) -> None:
    faulty_s3.put("folder/a.bin", b"abc")
    fault = faulty_s3.faults.add("*", status=500, times=2)
    (READS | WRITES)[work](workspace)
    assert fault.times == 0


@FAULT
@pytest.mark.parametrize("work", ["get", "put", "list"])
def test_a_slow_server_is_waited_for(
    workspace: Workspace, faulty_s3: FaultyBucket, work: str
) -> None:
    faulty_s3.put("folder/a.bin", b"abc")
    faulty_s3.faults.add("*", delay=0.5, times=1)
    (READS | WRITES)[work](workspace)
    assert workspace.get("folder/a.bin") == b"abc"


@FAULT
@pytest.mark.parametrize("read", ["get", "stat", "local_path"])
def test_half_an_answer_once_is_read_again_or_refused_but_never_taken_for_the_whole(
    workspace: Workspace, faulty_s3: FaultyBucket, read: str
) -> None:
    faulty_s3.put("folder/a.bin", LONG)
    faulty_s3.faults.add("*/a.bin", cut=True, method="GET", times=1)
    try:
        found = READS[read](workspace)
    except StorageError as error:
        assert "folder/a.bin" in str(error)
        assert not list(workspace.cache.rglob("*.bin"))
    else:
        digest = sha256_of(LONG)
        assert digest in (
            getattr(found, "sha256", None),
            sha256_of(found) if isinstance(found, bytes | Path) else None,
        )


@FAULT
@pytest.mark.parametrize("read", ["get", "stat", "local_path"])
def test_half_an_answer_always_is_an_error_and_nothing_is_kept(
    workspace: Workspace, faulty_s3: FaultyBucket, read: str
) -> None:
    faulty_s3.put("folder/a.bin", LONG)
    faulty_s3.faults.add("*/a.bin", cut=True, method="GET")
    with pytest.raises(StorageError, match=r"folder/a\.bin"):
        READS[read](workspace)
    assert not [path for path in workspace.cache.rglob("*") if path.is_file()]
    faulty_s3.faults.clear()
    assert workspace.local_path("folder/a.bin", sha256_of(LONG)).read_bytes() == LONG


@FAULT
@pytest.mark.parametrize("write", ["put", "put_long"])
def test_half_an_upload_once_is_sent_again_or_refused_and_never_published(
    workspace: Workspace, faulty_s3: FaultyBucket, write: str
) -> None:
    whole = LONG if write == "put_long" else b"abc"
    faulty_s3.faults.add("*/a.bin*", cut=True, method="PUT", times=1)
    try:
        WRITES[write](workspace)
    except StorageError as error:
        assert "folder/a.bin" in str(error)
        assert faulty_s3.paths() == []
        WRITES[write](workspace)
    assert faulty_s3.get("folder/a.bin") == whole


def test_a_wrong_secret_is_reported_as_such(
    s3: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-the-secret")
    workspace = Workspace(s3.url, tmp_path / "cache")
    with pytest.raises(StorageError, match=r"a .*s3://.*credentials"):
        workspace.put("a", b"abc")
    with pytest.raises(StorageError, match="credentials"):
        workspace.get("a")


def test_a_copy_is_fetched_once_and_shared_by_all_keys_with_its_checksum(
    workspace: Workspace, faulty_s3: FaultyBucket
) -> None:
    stat = workspace.put("a", b"abc")
    first = workspace.local_path("a", stat.sha256)
    fetched = len(faulty_s3.faults.asked("GET *"))
    assert Workspace(workspace.url, workspace.cache).local_path("a", stat.sha256) == first
    assert len(faulty_s3.faults.asked("GET *")) == fetched


def _says_what_to_do(message: str, status: int) -> None:
    """After what happened and where, a message ends with what to do.

    Credentials where access is denied.
    """
    assert "; " in message, f"no remedy in: {message}"
    if status == 403:
        assert "credentials" in message
