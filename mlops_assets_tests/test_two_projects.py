"""Two projects on one machine, with their own S3 servers, databases and Secrets, are apart.

Each case acts as a user of `fields` who knows all names, checksums and tokens of `forest`.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from sqlalchemy import create_engine, make_url, text

from mlops_assets.errors import MlopsError, NotFound, SettingsError, StorageError
from mlops_assets.hub.app import HubSettings, create_app
from mlops_assets.identity.bearer import Bearers
from mlops_assets.identity.declaration import Identity, RoleMapping
from mlops_assets.identity.issuer import Issuer
from mlops_assets.identity.tokens import create_token
from mlops_assets.lineage.files import file_lineage
from mlops_assets.names import Reference
from mlops_assets.principals import Role
from mlops_assets.registry import Registry, open_registry
from mlops_assets.serving.app import ServerSettings, create_server_app
from mlops_assets.settings import Settings
from mlops_assets.storage import Workspace
from mlops_assets.storage.other_workspace import open_other_workspace
from mlops_assets.store import Store, open_store
from mlops_assets_tests.registry.rows import data_version
from mlops_assets_tests.servers.asgi import served
from mlops_assets_tests.servers.buckets import serving_s3
from mlops_assets_tests.servers.oidc import OidcServer, oidc_server
from mlops_assets_tests.serving.models import MemoryRepository

pytestmark = [
    pytest.mark.services,
    pytest.mark.usefixtures("no_cloud", "restored_environment"),
]
CONTENT = b"what only the project forest may read"


@dataclass(frozen=True)
class Project:
    """A project: what its mounted Secret holds."""

    name: str
    secret: Path
    endpoint: str
    registry: str


@dataclass(frozen=True)
class Known:
    """What a user of the other project knows of `forest`.

    Attributes:
        project: itself, without its keys and password.
        sha256: checksum of its object.
        token: of one of its operators.
        cache: folder of this machine with copies of its objects.
    """

    project: Project
    sha256: str
    token: str
    cache: Path


@pytest.fixture(scope="module")
def projects(
    tmp_path_factory: pytest.TempPathFactory, new_database: Callable[..., str]
) -> Iterator[tuple[Project, Project]]:
    """The projects `fields` and `forest`, whose buckets have the same name."""
    with ExitStack() as stack:
        yield (
            stack.enter_context(_project("fields", tmp_path_factory, new_database)),
            stack.enter_context(_project("forest", tmp_path_factory, new_database)),
        )


@contextmanager
def _project(
    name: str, folders: pytest.TempPathFactory, new_database: Callable[..., str]
) -> Iterator[Project]:
    folder, secret = folders.mktemp(name), folders.mktemp(f"{name}-secret")
    (folder / "space").mkdir()
    keys = f"{name}-key0123", f"{name}-secret0123"
    url, role = make_url(new_database()), f"{name}_{uuid.uuid4().hex}"
    owner = create_engine(url, isolation_level="AUTOCOMMIT")
    with owner.connect() as connection:
        connection.execute(text(f"CREATE ROLE {role} LOGIN"))
        connection.execute(text(f"REVOKE CONNECT ON DATABASE {url.database} FROM PUBLIC"))
        connection.execute(text(f"GRANT CONNECT ON DATABASE {url.database} TO {role}"))
        connection.execute(text(f"GRANT ALL ON SCHEMA public TO {role}"))
    owner.dispose()
    registry = url.set(username=role).render_as_string(hide_password=False)
    with serving_s3(folder, "--auth-key", ",".join(keys)) as endpoint:
        values = {
            "bucket": "space",
            "endpoint": endpoint,
            "access_key": keys[0],
            "secret_key": keys[1],
            "registry": registry,
        }
        for key, value in values.items():
            (secret / key).write_text(value)
        yield Project(name, secret, endpoint, registry)


@pytest.fixture
def known(projects: tuple[Project, Project], tmp_path: Path) -> Known:
    """The project `forest`, with a data version, an object and a token."""
    forest = projects[1]
    os.environ["MLOPS_CONFIG"] = str(forest.secret)
    os.environ["MLOPS_CACHE"] = str(tmp_path / "cache-of-forest")
    store = open_store(Settings.from_environment())
    stored = store.workspace.put_object(CONTENT)
    store.workspace.local_object(stored.sha256, stored.size, None)
    if not store.registry.data_versions("trees"):
        row = data_version(dataset="trees", digest="d" * 64)
        store.registry.publish_data_version(row, [stored])
    _, token = create_token(store.registry, "ann", set(Role), timedelta(days=1))
    _close(store)
    cache = Path(os.environ.pop("MLOPS_CACHE"))
    return Known(forest, stored.sha256, token, cache)


@pytest.fixture
def store(projects: tuple[Project, Project], known: Known, tmp_path: Path) -> Iterator[Store]:
    """The storage of a user of `fields`."""
    os.environ["MLOPS_CONFIG"] = str(projects[0].secret)
    os.environ["HOME"] = str(tmp_path)
    store = open_store(Settings.from_environment())
    yield store
    _close(store)


def _close(store: Store) -> None:
    """Forget a registry, as each user has a process of their own, also one opened since."""
    open_registry(store.registry.url).close()
    open_registry.cache_clear()


@pytest.fixture(scope="module")
def issuer() -> Iterator[OidcServer]:
    """The issuer that both projects have, as in a platform with workspaces."""
    with oidc_server() as server:
        yield server


def _identity(issuer: OidcServer) -> Identity:
    claim = "resource_access.fields.roles"
    roles = RoleMapping(claim=claim, values={"ws_access": Role.VIEWER, "ws_admin": Role.OPERATOR})
    return Identity(issuer=issuer.url, audience="fields", roles=[roles])


def _workspace_token(issuer: OidcServer, workspace: str, audience: str) -> str:
    return issuer.token(
        aud=audience, resource_access={workspace: {"roles": ["ws_access", "ws_admin"]}}, roles=None
    )


def _reads_rows_by_url(store: Store, known: Known) -> None:
    own = make_url(store.registry.url)
    theirs = make_url(known.project.registry).set(username=own.username)
    Registry(theirs.render_as_string(hide_password=False))


def _reads_object_at_its_server(store: Store, known: Known) -> None:
    os.environ["AWS_ENDPOINT_URL"] = known.project.endpoint
    Workspace(store.workspace.url, store.workspace.cache).get_object(known.sha256)


def _lists_its_server(store: Store, known: Known) -> None:
    os.environ["AWS_ENDPOINT_URL"] = known.project.endpoint
    list(Workspace(store.workspace.url, store.workspace.cache).list("objects"))


def _reads_object_by_checksum(store: Store, known: Known) -> None:
    store.workspace.local_object(known.sha256, len(CONTENT), None)


def _finds_file_by_checksum(store: Store, known: Known) -> None:
    file_lineage(store, known.sha256)


def _names_its_version(store: Store, known: Known) -> None:
    store.registry.data_version(Reference.parse("trees@v1"))


def _uses_its_cache(store: Store, known: Known) -> None:
    os.environ["MLOPS_CACHE"] = str(known.cache)
    open_store(Settings.from_environment()).workspace.local_object(known.sha256, len(CONTENT), None)


def _imports_from_it(store: Store, known: Known) -> None:
    os.environ["AWS_ENDPOINT_URL"] = known.project.endpoint
    open_other_workspace("s3://space", store.workspace.cache / "other").get_object(known.sha256)


def _writes_into_its_workspace(store: Store, known: Known) -> None:
    """One wrong value in the Secret: own registry, and the other's bucket with its keys."""
    (theirs := known.project.secret).joinpath("registry")
    mixed = store.workspace.cache / "mixed"
    mixed.mkdir(parents=True, exist_ok=True)
    for file in theirs.iterdir():
        (mixed / file.name).write_bytes(file.read_bytes())
    (mixed / "registry").write_text(store.registry.url)
    os.environ["MLOPS_CONFIG"] = str(mixed)
    _close(store)
    opened = open_store(Settings.from_environment())
    opened.registry.publish_data_version(data_version(dataset="x", digest="e" * 64), [])


@pytest.mark.parametrize(
    ("act", "error", "message"),
    [
        (_reads_rows_by_url, StorageError, "permission denied for database"),
        (_reads_object_at_its_server, StorageError, "access denied"),
        (_lists_its_server, StorageError, "access denied"),
        (_reads_object_by_checksum, StorageError, "missing"),
        (_finds_file_by_checksum, NotFound, "nothing in s3"),
        (_names_its_version, NotFound, "trees"),
        (_uses_its_cache, SettingsError, "cache .* is that of another workspace"),
        (_imports_from_it, StorageError, "access denied"),
        (_writes_into_its_workspace, MlopsError, "registry"),
    ],
)
def test_no_surface_of_the_core_reads_the_other_project(
    act: Callable[[Store, Known], None],
    error: type[MlopsError],
    message: str,
    store: Store,
    known: Known,
) -> None:
    with pytest.raises(error, match=message):
        act(store, known)


PATHS = (
    "/api/v1/datasets",
    "/api/v1/datasets/trees",
    "/api/v1/models",
    "/api/v1/runs",
    "/api/v1/search?q=trees",
    "/api/v1/home",
)


@contextmanager
def _hub(store: Store, issuer: OidcServer) -> Iterator[httpx.Client]:
    """A client of the hub of `fields`."""
    settings = HubSettings(store.workspace.cache / "dagster", identity=_identity(issuer))
    with served(create_app(store, settings)) as url, httpx.Client(base_url=url) as client:
        yield client


def test_credentials_of_the_other_project_open_no_path_of_the_hub(
    store: Store, known: Known, issuer: OidcServer
) -> None:
    foreign = (
        known.token,
        # of this issuer, and for the other workspace
        _workspace_token(issuer, "forest", audience="forest"),
        # for this audience, with roles in the other workspace only
        _workspace_token(issuer, "forest", audience="fields"),
    )
    own = _workspace_token(issuer, "fields", audience="fields")
    with _hub(store, issuer) as client:
        for path in PATHS:
            for token in foreign:
                answer = client.get(path, headers={"Authorization": f"Bearer {token}"})
                assert answer.status_code in (401, 403), (path, answer.status_code, answer.text)
            answer = client.get(path, headers={"Authorization": f"Bearer {own}"})
            assert answer.status_code not in (401, 403), (path, answer.text)
            assert CONTENT.decode() not in answer.text
            # a search repeats what was asked for
            assert '"trees"' not in answer.text.replace('"text":"trees"', ""), path


def test_searching_records_finds_none_of_the_other_project(
    store: Store, known: Known, issuer: OidcServer
) -> None:
    own = _workspace_token(issuer, "fields", audience="fields")
    with _hub(store, issuer) as client:
        for headers in ({}, {"Authorization": f"Bearer {own}"}):
            for path in ("/stac/collections", "/stac/search"):
                answer = client.get(path, headers=headers)
                assert answer.status_code == 200
                assert "trees" not in answer.text
        refused = client.get("/stac/search", headers={"Authorization": f"Bearer {known.token}"})
        assert refused.status_code == 401


def test_credentials_of_the_other_project_get_no_prediction(
    store: Store, known: Known, issuer: OidcServer
) -> None:
    identity = _identity(issuer)
    bearers = Bearers(store.registry, None, Issuer(identity))
    app = create_server_app(store, MemoryRepository(), None, ServerSettings(bearers=bearers))
    foreign = known.token, _workspace_token(issuer, "forest", audience="forest")
    with served(app) as url, httpx.Client(base_url=url) as client:
        for token in foreign:
            for path in ("/v2/models/crops", "/metrics"):
                answer = client.get(path, headers={"Authorization": f"Bearer {token}"})
                assert answer.status_code == 401, answer.text
