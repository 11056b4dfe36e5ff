"""Settings of a process: locations, the user, and how its work is run."""

from __future__ import annotations

import hashlib
import os
import pwd
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar, get_args
from urllib.parse import quote, unquote, urlsplit

from dotenv import dotenv_values

from mlops_assets.errors import SettingsError
from mlops_assets.principals import ALL_ROLES, Principal, Role, Visibility
from mlops_assets.settings.configuration import current_environment
from mlops_assets.text.secret_urls import redacted

MIN_DELEGATION_KEY = 32  # characters
MAX_PACK_BELOW = 8 << 20  # bytes; what is packed is held in memory
# one process for all steps of a run, one for each, or a pod of Kubernetes for each
Executor = Literal["in_process", "multiprocess", "k8s_job"]
# of a run that a command asks for: the command itself, or the launcher of the Dagster instance
Launch = Literal["here", "instance"]
# of what a process logs: lines for people, or one JSON object a line
LogFormat = Literal["text", "json"]
_Choice = TypeVar("_Choice", bound=str)


@dataclass(frozen=True)
class Settings:
    """Settings of one process.

    Attributes:
        workspace: URL of the workspace: `file:///…`, `s3://…`, `az://…`, `gs://…`.
        registry: SQLAlchemy URL of the registry database.
        cache: folder of this machine for copies of remote files and for decoded data.
        dagster_home: folder of the Dagster instance that our own commands use.
        user: name of the principal, as written into the audit trail.
        roles: of the user; all unless limited.
        mlflow: tracking URI of the MLflow server that runs are mirrored to; None for none.
        base_url: URL of the HTTP API for its callers, for the links in responses; None for links
            without a host.
        api_token: a token that callers of the HTTP API may share, and the token that our client
            sends.
        delegation_key: signs who the runs act for that the hub launches; None for that of a file
            in the Dagster home.
        identity: YAML file that names the issuer of tokens that the HTTP API accepts; None for
            none.
        gateway: YAML file that names the gateway which authenticates people before they reach the
            hub; None for none.
        catalogues: YAML file that names the catalogues records are registered with; None for none.
        webhooks: YAML file that names the receivers of events; None for none.
        issues: YAML file that names the issue trackers of alarms; None for none.
        backup: folder or URL outside the workspace where scheduled backups are kept; None for none.
        log_head: folder or URL outside the workspace where verifying leaves the head of the log;
            None for none.
        visibility: of new versions, unless what they are made from is less visible.
        pack_below: size in bytes below which objects are packed, 0 for none; None for the default
            of the kind of workspace.
        executor: where Dagster runs the steps of a run.
        launch: who runs what a command asks for.
        code_servers: Dagster's workspace.yaml with the running code servers that runs are submitted
            from; None for the definitions that a process loads itself.
        log_format: of what servers, daemons and runs log.
    """

    workspace: str
    registry: str
    cache: Path
    dagster_home: Path
    user: str
    roles: frozenset[Role] = ALL_ROLES
    mlflow: str | None = None
    base_url: str | None = None
    api_token: str | None = field(default=None, repr=False)
    delegation_key: str | None = field(default=None, repr=False)
    identity: Path | None = None
    gateway: Path | None = None
    catalogues: Path | None = None
    webhooks: Path | None = None
    issues: Path | None = None
    backup: str | None = None
    log_head: str | None = None
    visibility: Visibility = Visibility.WORKSPACE
    pack_below: int | None = None
    executor: Executor = "in_process"
    launch: Launch = "here"
    code_servers: Path | None = None
    log_format: LogFormat = "text"

    @property
    def principal(self) -> Principal:
        """The user of this process, with their roles."""
        return Principal(self.user, self.roles)

    @classmethod
    def from_environment(
        cls, overrides: Mapping[str, str] | None = None, directory: Path | None = None
    ) -> Settings:
        """Read the settings from environment variables, each with a default.

        They are `MLOPS_WORKSPACE`, `MLOPS_REGISTRY`, `MLOPS_CACHE`, `DAGSTER_HOME`, `MLOPS_USER`,
        `MLOPS_ROLES`, `MLOPS_MLFLOW`, `MLOPS_PUBLIC_URL`, `MLOPS_API_TOKEN`,
        `MLOPS_DELEGATION_KEY`, `MLOPS_IDENTITY`, `MLOPS_GATEWAY`, `MLOPS_CATALOGUES`,
        `MLOPS_WEBHOOKS`, `MLOPS_ISSUES`, `MLOPS_LOG_HEAD`, `MLOPS_BACKUP`, `MLOPS_VISIBILITY`,
        `MLOPS_PACK_BELOW`, `MLOPS_EXECUTOR`, `MLOPS_LAUNCH`, `MLOPS_CODE_SERVERS` and
        `MLOPS_LOG_FORMAT`.

        A `.env` file in `directory` is read too, as the dagster command does; the environment wins
        over it.

        Args:
            overrides: values that win over the environment.
            directory: base of relative paths; the current directory by default.

        Raises:
            SettingsError: a value that cannot be used, or one that a remote workspace needs is
                missing.
        """
        directory = directory or Path.cwd()
        values = {
            **dotenv_values(directory / ".env"),
            **current_environment(),
            **(overrides or {}),
        }
        workspace = workspace_url(values.get("MLOPS_WORKSPACE") or "workspace", directory)
        parts = urlsplit(workspace)
        root = Path(unquote(parts.path)) if parts.scheme == "file" else None
        registry = values.get("MLOPS_REGISTRY") or (registry_file(root) if root else None)
        if registry is None:
            raise SettingsError(
                f"MLOPS_WORKSPACE={redacted(workspace)} needs MLOPS_REGISTRY, the SQLAlchemy URL of"
                " a database that all users of the workspace reach, e.g."
                " postgresql+psycopg://HOST/DATABASE, or on one machine"
                " sqlite:////PATH/registry.db"
            )
        home = values.get("DAGSTER_HOME") or (
            root / "dagster" if root else Path.home() / ".dagster"
        )
        cache = values.get("MLOPS_CACHE") or (
            root / "cache"
            if root
            # copies are found by checksum, and are not to be those of another project
            else Path.home()
            / ".cache"
            / "mlops_assets"
            / workspace_identity(workspace, values)[:16]
        )
        return cls(
            workspace=workspace,
            registry=registry,
            cache=directory / cache,
            dagster_home=directory / home,
            user=_user(values),
            roles=_roles(values.get("MLOPS_ROLES") or ""),
            mlflow=server_url("MLOPS_MLFLOW", "an MLflow server", values.get("MLOPS_MLFLOW")),
            base_url=_public_url(values),
            api_token=values.get("MLOPS_API_TOKEN") or None,
            delegation_key=_delegation_key(values.get("MLOPS_DELEGATION_KEY")),
            identity=_file(values, "MLOPS_IDENTITY", directory),
            gateway=_file(values, "MLOPS_GATEWAY", directory),
            catalogues=_file(values, "MLOPS_CATALOGUES", directory),
            webhooks=_file(values, "MLOPS_WEBHOOKS", directory),
            issues=_file(values, "MLOPS_ISSUES", directory),
            backup=_outside(
                values,
                "MLOPS_BACKUP",
                workspace,
                directory,
                "a backup there would be lost with it; name another folder or bucket",
            ),
            log_head=_outside(
                values,
                "MLOPS_LOG_HEAD",
                workspace,
                directory,
                "name a place that its users cannot write",
            ),
            visibility=_visibility(values),
            pack_below=_pack_below(values.get("MLOPS_PACK_BELOW") or ""),
            executor=_choice(values, "MLOPS_EXECUTOR", get_args(Executor)),
            launch=_choice(values, "MLOPS_LAUNCH", get_args(Launch)),
            code_servers=_file(values, "MLOPS_CODE_SERVERS", directory),
            log_format=_choice(values, "MLOPS_LOG_FORMAT", get_args(LogFormat)),
        )


def registry_file(root: Path) -> str:
    """Return the SQLAlchemy URL of the registry of a workspace that is a folder, unless set."""
    return f"sqlite:///{quote(str(root / 'registry.db'))}"


def _file(values: Mapping[str, str | None], name: str, directory: Path) -> Path | None:
    """Return the file that a setting names; None if it names none."""
    path = values.get(name)
    return directory / path if path else None


def _choice(values: Mapping[str, str | None], name: str, choices: tuple[_Choice, ...]) -> _Choice:
    """Return the choice that a setting makes, or else the first one."""
    text = values.get(name) or choices[0]
    for choice in choices:
        if text == choice:
            return choice
    raise SettingsError(f"{name}={text}: write one of {', '.join(choices)}")


def _public_url(values: Mapping[str, str | None]) -> str | None:
    """Return the URL under which callers reach the hub, by its name or by the one it had before."""
    names = ("MLOPS_PUBLIC_URL", "MLOPS_BASE_URL")
    name = next((name for name in names if values.get(name)), names[0])
    return server_url(name, "the hub", values.get(name))


def _roles(text: str) -> frozenset[Role]:
    if not text:
        return ALL_ROLES
    try:
        return frozenset(Role(name.strip()) for name in text.split(","))
    except ValueError as error:
        raise SettingsError(
            f"MLOPS_ROLES={text}: write some of {', '.join(Role)}, separated by commas"
        ) from error


def _delegation_key(value: str | None) -> str | None:
    if value and len(value) < MIN_DELEGATION_KEY:
        raise SettingsError(
            f"MLOPS_DELEGATION_KEY has fewer than {MIN_DELEGATION_KEY} characters and can be"
            " guessed; set it to what 'openssl rand -hex 32' prints"
        )
    return value or None


def workspace_identity(url: str, environment: Mapping[str, str | None] | None = None) -> str:
    """Return what distinguishes a workspace from those of the same name on other servers.

    Args:
        url: of the workspace.
        environment: that names the server; that of this process by default.
    """
    values = current_environment() if environment is None else environment
    endpoint = values.get("AWS_ENDPOINT_URL") if url.startswith("s3://") else None
    return hashlib.sha256(f"{url}\n{(endpoint or '').rstrip('/')}".encode()).hexdigest()


def _outside(
    values: Mapping[str, str | None],
    name: str,
    workspace: str,
    directory: Path,
    advice: str,
) -> str | None:
    """Return the URL of a place that must not be in the workspace; None if none is set."""
    if not (value := values.get(name)):
        return None
    url = workspace_url(value, directory)
    if f"{url}/".startswith(f"{workspace}/"):
        raise SettingsError(f"{name}={redacted(value)} is in the workspace; {advice}")
    return url


def log_format() -> LogFormat:
    """Return the format of what this process logs, from `MLOPS_LOG_FORMAT`.

    Raises:
        SettingsError: it is neither `text` nor `json`.
    """
    return _choice(current_environment(), "MLOPS_LOG_FORMAT", get_args(LogFormat))


def initial_visibility() -> Visibility:
    """Return the visibility of new versions by the environment, which child processes share.

    Raises:
        SettingsError: `MLOPS_VISIBILITY` is not one.
    """
    return _visibility(current_environment())


def _visibility(values: Mapping[str, str | None]) -> Visibility:
    text = values.get("MLOPS_VISIBILITY") or Visibility.WORKSPACE
    try:
        return Visibility(text)
    except ValueError as error:
        raise SettingsError(
            f"MLOPS_VISIBILITY={text}: write one of {', '.join(Visibility)}"
        ) from error


def _pack_below(text: str) -> int | None:
    if not text:
        return None
    size = int(text) if text.isascii() and text.isdigit() else -1
    if not 0 <= size <= MAX_PACK_BELOW:
        raise SettingsError(
            f"MLOPS_PACK_BELOW={text}: write a number of bytes up to {MAX_PACK_BELOW}, or 0 to"
            " store every object by itself"
        )
    return size


def local_user() -> str:
    """Return the name of the user of this process by the environment; no `.env` file is read."""
    return _user(current_environment())


def _user(values: Mapping[str, str | None]) -> str:
    return values.get("MLOPS_USER") or values.get("USER") or _system_user()


def _system_user() -> str:
    """Return the user whom this process runs as, where no variable names one, as in a container."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a number that the container was given
        return f"uid {os.getuid()}"


def server_url(name: str, server: str, url: str | None) -> str | None:
    """Return the URL of a server, if there is to be one.

    Args:
        name: of the setting.
        server: description of the server, for the message.
        url: the setting's value.

    Raises:
        SettingsError: it is not a valid URL of a server.
    """
    if not url:
        return None
    try:
        parts = urlsplit(url)
        usable = (
            parts.scheme in ("http", "https")
            and parts.hostname
            and not (parts.query or parts.fragment)
        )
        parts.port  # noqa: B018 — raises if it is not a port
    except ValueError:
        usable = False
    if not usable or not url.isascii() or not url.isprintable() or " " in url:
        raise SettingsError(
            f"{name}={redacted(url)}: write the URL of {server}, such as http://HOST:5000"
        )
    return url.rstrip("/")


def workspace_url(workspace: str, directory: Path) -> str:
    """Return the URL of a workspace given as a path or a URL.

    Raises:
        SettingsError: the URL has a scheme that cannot hold a workspace, or is relative.
    """
    parts = urlsplit(workspace)
    if parts.scheme == "file":
        path = Path(unquote(parts.path))
        if parts.netloc not in ("", "localhost") or not path.is_absolute():
            raise SettingsError(
                f"MLOPS_WORKSPACE={redacted(workspace)}: a file URL is written file:///ABSOLUTE/PATH"
            )
        return path.as_uri()
    if "://" in workspace:
        if parts.scheme not in ("s3", "az", "gs") or not parts.netloc or "@" in parts.netloc:
            raise SettingsError(
                f"MLOPS_WORKSPACE={redacted(workspace)}: use a folder, file:///PATH, s3://BUCKET,"
                " az://CONTAINER or gs://BUCKET"
            )
        return workspace.rstrip("/")
    return (directory / Path(workspace).expanduser()).resolve().as_uri()
