"""Object stores as fixtures.

S3 and Google Cloud Storage by rclone, Azure Blob by Microsoft's emulator Azurite.

`s3`, `az`, `gs` give an empty place and put what obstore needs into the environment; `bucket` is
each of them in turn.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import obstore
import pytest
from obstore.store import ObjectStore, from_url

from mlops_assets.storage import stores
from mlops_assets_tests.servers.faults import FaultyProxy
from mlops_assets_tests.servers.processes import HOST, serving
from mlops_assets_tests.services import require_azurite, require_script

KEY, SECRET = "testkey0123", "testsecret0123"
AZURE_ACCOUNT = "devstoreaccount1"  # the emulator's, with its published key
AZURE_KEY = (
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)
CONTAINER = "bucket"
_numbers = itertools.count()


@dataclass(frozen=True)
class BucketServer:
    """A running object store: its endpoint, and what clients need in their environment."""

    endpoint: str
    environment: Mapping[str, str]


@dataclass(frozen=True)
class Bucket:
    """An empty place in an object store.

    Attributes:
        url: `s3://…`, `az://…` or `gs://…`, as the product takes it.
        server: where it is.
    """

    url: str
    server: BucketServer

    @property
    def store(self) -> ObjectStore:
        """The place as obstore sees it, not through the faults."""
        if self.url.startswith("s3:"):
            return from_url(self.url, config={"endpoint": self.server.endpoint})
        return from_url(self.url)

    def put(self, path: str, content: bytes | Path) -> None:
        """Write one object."""
        obstore.put(self.store, path, content)

    def get(self, path: str) -> bytes:
        """Read one object."""
        return bytes(obstore.get(self.store, path).bytes())

    def delete(self, path: str) -> None:
        """Remove one object."""
        obstore.delete(self.store, path)

    def paths(self, prefix: str | None = None) -> list[str]:
        """The paths of all objects, sorted."""
        return sorted(entry["path"] for page in obstore.list(self.store, prefix) for entry in page)

    def land(self, folder: Path, below: str = "") -> None:
        """Copy a local folder here."""
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self.put(f"{below}/{path.relative_to(folder).as_posix()}".lstrip("/"), path)


@dataclass(frozen=True)
class FaultyBucket(Bucket):
    """A bucket behind a proxy with faults on demand: `faults`."""

    faults: FaultyProxy


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BucketServer]:
    """An S3 server without buckets."""
    folder = tmp_path_factory.mktemp("s3")
    with serving_s3(folder, "--auth-key", f"{KEY},{SECRET}") as endpoint:
        yield BucketServer(endpoint, s3_environment(endpoint))


@pytest.fixture(scope="session")
def azure_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BucketServer]:
    """An Azure Blob server with one container."""
    azurite = require_azurite()
    folder = tmp_path_factory.mktemp("azurite")
    options = ["--skipApiVersionCheck", "--disableTelemetry", "--silent", "--location", str(folder)]
    with serving(
        lambda port: [*azurite, *options, "--blobHost", HOST, "--blobPort", str(port)],
        folder.with_suffix(".log"),
    ) as port:
        endpoint = f"http://{HOST}:{port}/{AZURE_ACCOUNT}"
        _make(
            f":azureblob,account={AZURE_ACCOUNT},key='{AZURE_KEY}'"
            f",endpoint='{endpoint}':{CONTAINER}"
        )
        environment = {
            "AZURE_STORAGE_ACCOUNT_NAME": AZURE_ACCOUNT,
            "AZURE_STORAGE_ACCOUNT_KEY": AZURE_KEY,
            "AZURE_STORAGE_ENDPOINT": endpoint,
            "AZURE_ALLOW_HTTP": "true",
        }
        yield BucketServer(endpoint, environment)


@pytest.fixture(scope="session")
def gcs_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BucketServer]:
    """A server for obstore's Google client, which speaks the store's XML API.

    S3's protocol, here without a signature.

    The emulators to be had from PyPI and npm serve the JSON API only (gcp-storage-emulator
    2026.7.19: no ETag on put).
    """
    folder = tmp_path_factory.mktemp("gcs")
    (folder / CONTAINER).mkdir()
    with serving_s3(folder) as endpoint:
        account = folder.with_suffix(".json")
        empty = {"client_email": "", "private_key": "", "private_key_id": ""}
        account.write_text(json.dumps({"gcs_base_url": endpoint, "disable_oauth": True, **empty}))
        yield BucketServer(endpoint, {"GOOGLE_SERVICE_ACCOUNT": str(account)})


@pytest.fixture
def s3(s3_server: BucketServer, no_cloud: pytest.MonkeyPatch) -> Bucket:
    """A new bucket on the S3 server."""
    set_environment(no_cloud, s3_server.environment)
    return Bucket(f"s3://{new_bucket(s3_server)}", s3_server)


@pytest.fixture
def no_cloud(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment without any cloud's variables of the machine's owner, to put ours into."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "AZURE_", "GOOGLE_"))]:
        monkeypatch.delenv(name)
    return monkeypatch


@pytest.fixture
def prompt_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the product ask a failing server as often as ever, with hardly a pause between."""
    pause = timedelta(milliseconds=2)
    monkeypatch.setitem(
        stores._RETRY, "backoff", {"init_backoff": pause, "max_backoff": pause, "base": 2}
    )


@pytest.fixture
def faulty_s3(
    s3_server: BucketServer, prompt_retries: None, no_cloud: pytest.MonkeyPatch
) -> Iterator[FaultyBucket]:
    """A new bucket whose server fails on demand.

    `faulty_s3.faults.add("*/a.tif", status=500, times=2)`.
    """
    with FaultyProxy(s3_server.endpoint) as faults:
        set_environment(no_cloud, s3_environment(faults.url))
        yield FaultyBucket(f"s3://{new_bucket(s3_server)}", s3_server, faults)


@pytest.fixture
def az(azure_server: BucketServer, no_cloud: pytest.MonkeyPatch) -> Bucket:
    """A new folder in the Azure container."""
    set_environment(no_cloud, azure_server.environment)
    return Bucket(f"az://{CONTAINER}/tests/{next(_numbers)}", azure_server)


@pytest.fixture
def gs(gcs_server: BucketServer, no_cloud: pytest.MonkeyPatch) -> Bucket:
    """A new folder in the Google bucket."""
    set_environment(no_cloud, gcs_server.environment)
    return Bucket(f"gs://{CONTAINER}/tests/{next(_numbers)}", gcs_server)


@pytest.fixture(
    params=[pytest.param(name, marks=pytest.mark.services) for name in ("s3", "az", "gs")]
)
def bucket(request: pytest.FixtureRequest) -> Bucket:
    """An empty place in each kind of object store in turn."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Bucket)
    return found


def s3_environment(endpoint: str) -> dict[str, str]:
    """Return the standard variables for the S3 server, seen at `endpoint`."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": "us-east-1",
        "AWS_ALLOW_HTTP": "true",
    }


def set_environment(monkeypatch: pytest.MonkeyPatch, values: Mapping[str, str]) -> None:
    """Put variables into the environment for the time of a test."""
    for name, value in values.items():
        monkeypatch.setenv(name, value)


@contextmanager
def serving_s3(folder: Path, *options: str, port: int | None = None) -> Iterator[str]:
    """Serve a folder by S3's protocol, and yield the URL; its folders are the buckets.

    Args:
        folder: to be served.
        *options: of rclone, such as `--auth-key KEY,SECRET`, `--cert FILE`.
        port: that it listens on; a free one by default.

    What others change in the folder is seen late, for rclone keeps listings; `--dir-cache-time 0`
    makes 1.75.2 hang.
    """
    command = [*_rclone(), "serve", "s3", *options, str(folder), "--addr"]
    scheme = "https" if "--cert" in options else "http"
    with serving(
        lambda port: [*command, f"{HOST}:{port}"], folder.with_suffix(".log"), port=port
    ) as listens:
        yield f"{scheme}://{HOST}:{listens}"


def new_bucket(server: BucketServer) -> str:
    name = f"bucket-{next(_numbers)}"
    _make(
        f":s3,provider=Rclone,access_key_id={KEY},secret_access_key={SECRET}"
        f",endpoint='{server.endpoint}':{name}"
    )
    return name


def _make(remote: str) -> None:
    """Make a bucket or a container, which obstore does not do."""
    subprocess.run([*_rclone(), "mkdir", remote], check=True, capture_output=True, timeout=60)


def _rclone() -> list[str]:
    return [str(require_script("rclone")), "--config", ""]
