"""The YAML file that names the catalogues records are registered with.

Secrets are not in it, but the names of the environment variables, or the files, that hold them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from mlops_assets.errors import NameRefused
from mlops_assets.identity.declaration import IssuerUrl
from mlops_assets.names import check_name
from mlops_assets.principals import Visibility
from mlops_assets.secret import Secret
from mlops_assets.strict import Strict, read_settings_file, refusing, require_unique

Text = Annotated[str, Field(min_length=1)]


def _server_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        raise ValueError("write the URL of a server without credentials, such as https://HOST/stac")
    if parts.query or parts.fragment:
        raise ValueError("write the URL without a query or fragment")
    return url.rstrip("/")


def _files_url(url: str) -> str:
    """Return the URL of files, which is in each record that others read."""
    parts = urlsplit(url)
    if not parts.scheme or parts.username is not None or parts.query or parts.fragment:
        raise ValueError(
            "write a URL without credentials, query or fragment, such as"
            " https://files.example.org/workspace: it is in each record that is published"
        )
    return url


def _catalogue_name(name: str) -> str:
    with refusing(NameRefused):
        return check_name(name, "catalogue name")


ServerUrl = Annotated[str, AfterValidator(_server_url)]


class BearerToken(Strict):
    """A token that is sent with every request."""

    token: Secret

    def __str__(self) -> str:
        """Return what and where it is, for messages."""
        return f"token in {self.token}"


class Password(Strict):
    """HTTP basic authentication."""

    user: Annotated[str, Field(pattern="^[^:]+$")]
    password: Secret

    def __str__(self) -> str:
        """Return what and where it is, for messages."""
        return f"password of {self.user!r} in {self.password}"


class ClientCredentials(Strict):
    """An OAuth 2.0 client whose tokens an OpenID Connect issuer gives.

    Attributes:
        issuer: URL of the issuer, exactly as its configuration, which names the token endpoint,
            has it.
        client_id: name of the client, or where it is.
        client_secret: where it is.
        scope: that is asked for.
    """

    issuer: IssuerUrl
    client_id: Text | Secret
    client_secret: Secret
    scope: Text | None = None

    def __str__(self) -> str:
        """Return what and where it is, for messages."""
        return f"secret of client {self.client_id} in {self.client_secret}"


class DeclaredCatalogue(Strict):
    """A catalogue that records are registered with.

    Attributes:
        name: of the catalogue in commands and messages.
        kind: `stac` for a STAC API with Transactions; `eoepca` for Resource Registration of EOEPCA.
        url: of the STAC API, or of Resource Registration.
        api: with `eoepca`, the STAC API that it is to register STAC records with.
        records: with `eoepca`, the OGC API - Records that it is to register records with, too.
        visible: least visibility of the versions that are registered there.
        access: credentials; None for none.
    """

    name: Annotated[str, AfterValidator(_catalogue_name)]
    kind: Literal["stac", "eoepca"] = "stac"
    url: ServerUrl
    api: ServerUrl | None = None
    records: ServerUrl | None = None
    visible: Literal[Visibility.PUBLISHED, Visibility.WORKSPACE] = Visibility.PUBLISHED
    access: BearerToken | Password | ClientCredentials | None = None

    @model_validator(mode="after")
    def _targets(self) -> DeclaredCatalogue:
        if self.kind == "eoepca" and self.api is None:
            raise ValueError("kind eoepca needs api, the STAC API that it registers records with")
        if self.kind == "stac" and (self.api or self.records):
            raise ValueError("api and records are of kind eoepca")
        return self


class DeclaredCatalogues(Strict):
    """All catalogues of a project.

    Attributes:
        catalogues: each with a name of its own; none if only `files` is declared.
        files: URL under which others reach the files of the workspace; its own URL by default.
            Links of the STAC API in the box begin with it, too.
    """

    catalogues: list[DeclaredCatalogue] = Field(default=[])
    files: Annotated[str, AfterValidator(_files_url)] | None = None

    @model_validator(mode="after")
    def _unique(self) -> DeclaredCatalogues:
        require_unique([catalogue.name for catalogue in self.catalogues], "catalogues")
        return self


def read_catalogues(path: Path) -> DeclaredCatalogues:
    """Read the declaration of the catalogues.

    Args:
        path: YAML file with the fields of `DeclaredCatalogues`.

    Raises:
        SettingsError: the file cannot be read, or is invalid.
    """
    return read_settings_file(DeclaredCatalogues, "MLOPS_CATALOGUES", path)
