"""Keys and authorities of mounted Secrets: rotated under a running process, wrong, not trusted."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, make_url, text

from mlops_assets.errors import StorageError, StorageUnreachable
from mlops_assets.settings import Settings
from mlops_assets.storage import Workspace, stores
from mlops_assets.store import open_store
from mlops_assets_tests.servers.authority import new_authority, new_self_signed
from mlops_assets_tests.servers.buckets import serving_s3
from mlops_assets_tests.servers.processes import free_port

OLD, NEW = ("oldkey0123", "oldsecret0123"), ("newkey0123", "newsecret0123")
pytestmark = [
    pytest.mark.services,
    pytest.mark.usefixtures("no_cloud", "restored_environment"),
]


@pytest.fixture
def secret(tmp_path: Path, no_cloud: pytest.MonkeyPatch) -> Path:
    """The folder of a mounted Secret, which is empty."""
    folder = tmp_path / "secret"
    folder.mkdir()
    no_cloud.setenv("MLOPS_CONFIG", str(folder))
    return folder


@pytest.fixture
def served(tmp_path: Path) -> Path:
    """The folder of an S3 server with one bucket, `fields`."""
    (tmp_path / "s3" / "fields").mkdir(parents=True)
    return tmp_path / "s3"


@pytest.fixture
def requires_password() -> Iterator[Callable[[Engine, str], None]]:
    """Have the server ask one role for its password, for the time of a test."""
    restored: list[Callable[[], None]] = []

    def require(owner: Engine, role: str) -> None:
        with owner.connect() as connection:
            rules = Path(str(connection.scalar(text("SHOW hba_file"))))
            before = rules.read_text()

            def restore() -> None:
                rules.write_text(before)
                owner.dispose()

            restored.append(restore)
            rules.write_text(f"local all {role} scram-sha-256\n{before}")
            connection.execute(text("SELECT pg_reload_conf()"))

    yield require
    for restore in restored:
        restore()


def mount(secret: Path, **values: str) -> None:
    """Write keys of the Secret."""
    for name, value in values.items():
        (secret / name).write_text(value)


def test_keys_and_password_are_rotated_under_a_running_process(
    secret: Path,
    served: Path,
    new_database: Callable[..., str],
    requires_password: Callable[[Engine, str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stores, "_KEYS_LAST", timedelta(0))
    port = free_port()
    role = f"role_{uuid.uuid4().hex}"
    url = make_url(new_database())
    owner = create_engine(url, isolation_level="AUTOCOMMIT")

    def registry(password: str) -> str:
        return url.set(username=role, password=password).render_as_string(hide_password=False)

    with owner.connect() as connection:
        connection.execute(text(f"CREATE ROLE {role} LOGIN PASSWORD 'old'"))
        connection.execute(text(f"GRANT ALL ON SCHEMA public TO {role}"))
    requires_password(owner, role)
    mount(secret, bucket="fields", access_key=OLD[0], secret_key=OLD[1], registry=registry("old"))
    with serving_s3(served, "--auth-key", ",".join(OLD), port=port) as endpoint:
        mount(secret, endpoint=endpoint)
        store = open_store(Settings.from_environment())
        store.workspace.put("before", b"1")
        assert store.registry.newest_number() == 0
    with serving_s3(served, "--auth-key", ",".join(NEW), port=port):
        with owner.connect() as connection:
            connection.execute(text(f"ALTER ROLE {role} PASSWORD 'new'"))
        store.registry.close()  # as if each connection were lost
        with pytest.raises(StorageError, match="access denied"):
            store.workspace.put("between", b"2")
        with pytest.raises(StorageError, match="password authentication failed"):
            store.registry.newest_number()
        mount(secret, access_key=NEW[0], secret_key=NEW[1], registry=registry("new"))
        assert store.workspace.get("before") == b"1"
        assert store.registry.newest_number() == 0
        store.registry.close()


def test_an_authority_of_ones_own_is_trusted_once_it_is_mounted(
    secret: Path, served: Path, tmp_path: Path
) -> None:
    files = new_authority(tmp_path)
    tls = ("--cert", str(files.certificate), "--key", str(files.key))
    with serving_s3(served, "--auth-key", ",".join(OLD), *tls) as endpoint:
        mount(
            secret,
            bucket="fields",
            access_key=OLD[0],
            secret_key=OLD[1],
            endpoint=endpoint,
            registry=f"sqlite:///{tmp_path}/registry.db",
        )
        with pytest.raises(StorageError, match=r"UnknownIssuer.*; set MLOPS_CA_BUNDLE") as raised:
            open_store(Settings.from_environment()).workspace.put("key", b"1")
        assert "\n" not in str(raised.value)
        (secret / "ca.crt").write_bytes(files.authority.read_bytes())
        open_store(Settings.from_environment()).workspace.put("key", b"1")
        assert (served / "fields" / "key").read_bytes() == b"1"


@pytest.mark.parametrize(
    ("certificate", "message"),
    [
        ({"is_authority": False}, None),
        ({}, r"\(CaUsedAsEndEntity\); it is an authority's own: have it issue one"),
        (
            {"is_authority": False, "address": "192.0.2.1"},
            r"\(NotValidForName\w*\); use the name of the server that is in it",
        ),
    ],
)
def test_a_self_signed_certificate_is_enough_or_the_message_has_what_is(
    certificate: dict[str, Any], message: str | None, secret: Path, served: Path, tmp_path: Path
) -> None:
    files = new_self_signed(tmp_path, **certificate)
    tls = ("--cert", str(files.certificate), "--key", str(files.key))
    mount(secret, bucket="fields", access_key=OLD[0], secret_key=OLD[1])
    mount(secret, registry=f"sqlite:///{tmp_path}/registry.db")
    (secret / "ca.crt").write_bytes(files.certificate.read_bytes())
    with serving_s3(served, "--auth-key", ",".join(OLD), *tls) as endpoint:
        mount(secret, endpoint=endpoint)
        workspace = open_store(Settings.from_environment()).workspace
        if message is None:
            workspace.put("key", b"1")
            return
        with pytest.raises(StorageError, match=message) as raised:
            workspace.put("key", b"1")
        # a step is not tried again
        assert not isinstance(raised.value, StorageUnreachable)


def test_an_address_with_and_without_tls_is_named(
    secret: Path, served: Path, tmp_path: Path
) -> None:
    files = new_authority(tmp_path)
    tls = ("--cert", str(files.certificate), "--key", str(files.key))
    mount(secret, bucket="fields", access_key=OLD[0], secret_key=OLD[1])
    mount(secret, registry=f"sqlite:///{tmp_path}/registry.db")
    for options, scheme, message in (
        ((), "https", "answers without TLS; turn TLS on there, or write http://"),
        (tls, "http", "wants TLS; write https://"),
    ):
        with serving_s3(served, "--auth-key", ",".join(OLD), *options) as endpoint:
            mount(secret, endpoint=f"{scheme}:{endpoint.partition(':')[2]}")
            Settings.from_environment()
            workspace = Workspace("s3://fields", tmp_path / scheme)
            with pytest.raises(StorageError, match=message):
                workspace.put("key", b"1")


def test_a_missing_bucket_and_wrong_keys_are_named(
    secret: Path, served: Path, tmp_path: Path
) -> None:
    with serving_s3(served, "--auth-key", ",".join(OLD)) as endpoint:
        mount(
            secret,
            bucket="others",
            access_key=OLD[0],
            secret_key=OLD[1],
            endpoint=endpoint,
            registry=f"sqlite:///{tmp_path}/registry.db",
        )
        workspace = open_store(Settings.from_environment()).workspace
        for action in (lambda: workspace.put("key", b"1"), lambda: list(workspace.list(""))):
            with pytest.raises(StorageError, match=r"s3://others could not .*no such bucket; make"):
                action()
        mount(secret, bucket="fields", secret_key="wrong0123")
        workspace = open_store(Settings.from_environment()).workspace
        with pytest.raises(StorageError, match=r"denied \(SignatureDoesNotMatch\)") as raised:
            workspace.put("key", b"1")
        assert "wrong0123" not in str(raised.value)
