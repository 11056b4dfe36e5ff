"""Settings of object stores: their addresses and keys, in the variables that their clients read."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from mlops_assets.errors import SettingsError
from mlops_assets.settings.configuration import current_environment
from mlops_assets.settings.settings import server_url
from mlops_assets.text.secret_urls import redacted

# name another address than the cloud's own
_ENDPOINTS = {
    "s3": ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT"),
    "az": ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"),
}
_REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")
_REGION = re.compile(r"[A-Za-z0-9-]*")


@dataclass(frozen=True)
class S3Keys:
    """The keys of an S3 server, as they are now.

    Attributes:
        access_key: names them.
        secret_key: signs requests.
        token: of a session; None for keys that last.
    """

    access_key: str
    secret_key: str = field(repr=False)
    token: str | None = field(default=None, repr=False)


def s3_keys() -> S3Keys:
    """Return the keys of the S3 server, read again if what `MLOPS_CONFIG` names has changed.

    While that cannot be read they are those that it had before.
    """
    environment: Mapping[str, str] = os.environ
    with suppress(SettingsError):
        environment = current_environment()
    return S3Keys(
        environment.get("AWS_ACCESS_KEY_ID", ""),
        environment.get("AWS_SECRET_ACCESS_KEY", ""),
        environment.get("AWS_SESSION_TOKEN") or None,
    )


def store_endpoints(scheme: str) -> Mapping[str, str]:
    """Return the addresses of object stores other than the cloud's own, by their variable.

    Args:
        scheme: `s3`, `az` or another one.

    Raises:
        SettingsError: one is not the URL of a server, or the region has other characters than
            regions have.
    """
    environment = current_environment()
    found: dict[str, str] = {}
    for name in _ENDPOINTS.get(scheme, ()):
        if url := server_url(name, "the object store", environment.get(name)):
            if "@" in urlsplit(url).netloc:
                raise SettingsError(
                    f"{name}={redacted(url)}: keys are not read from this URL; set variables of"
                    " their own"
                )
            found[name] = url
    for name in _REGIONS if scheme == "s3" else ():
        if not _REGION.fullmatch(region := environment.get(name, "")):
            raise SettingsError(f"{name}={region}: write a region such as eu-central-1")
    return found
