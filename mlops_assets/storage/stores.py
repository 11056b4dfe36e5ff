"""Object stores by URL, and their errors as StorageError with a remedy.

Credentials and endpoints come from the standard variables of each cloud (`AWS_…`, `AZURE_…`,
`GOOGLE_…`), read by obstore. Nothing here knows what is stored.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

from obstore.exceptions import (
    BaseError,
    GenericError,
    NotFoundError,
    PermissionDeniedError,
    UnauthenticatedError,
)
from obstore.store import LocalStore, S3Store, from_url

from mlops_assets.errors import StorageError, StorageUnreachable
from mlops_assets.settings import ca_bundle, configuration_names, s3_keys, store_endpoints
from mlops_assets.storage.transport_errors import why_no_connection

if TYPE_CHECKING:
    from obstore.store import ClientConfig, ObjectStore, RetryConfig, S3Credential

BUCKETS = ("s3", "az", "gs")  # can be listed and written
WEB = ("http", "https")  # can only be read, file by file
# Requests that fail with 5xx or a broken connection are retried for half a minute; longer hides
# that the server is down.
_RETRY: RetryConfig = {
    "max_retries": 4,
    "retry_timeout": timedelta(seconds=30),
    "backoff": {
        "init_backoff": timedelta(milliseconds=100),
        "max_backoff": timedelta(seconds=5),
        "base": 2,
    },
}
# until mounted keys are looked at again, which takes less than a tenth of a request
_KEYS_LAST = timedelta(seconds=1)
MISSING = "check the URL, and that the bucket or folder is there"
# listings give no error of their own
_DENIED = re.compile(r"\b(401|403) (Unauthorized|Forbidden)|status: 40[13]\b")
# what S3 servers answer, in the debug dump of obstore's errors
_CODE = re.compile(r"<Code>(\w+)</Code>")
_NO_BUCKET = "NoSuchBucket"
_ADVICE = {
    "RequestTimeTooSkewed": "set the clock of this machine, or of the server",
    "ExpiredToken": "renew the keys, which were for a time",
}
_NO_PATH = re.compile(
    r"parsing path|Path .* contained|illegal character|empty path segment", re.IGNORECASE
)
# of obstore, after its retries
_NO_ANSWER = "error sending request"
# how obstore names a folder of this machine, which fails for reasons that stay
_FOLDER = "Generic LocalFileSystem error"
# http:// is used only where an endpoint is declared with it
_CLIENT: ClientConfig = {
    "connect_timeout": "10 seconds",
    "timeout": "120 seconds",
    "allow_http": True,
}


def open_object_store(url: str, anonymous: bool = False) -> ObjectStore:
    """Return the obstore store at a `file`, `s3`, `az`, `gs`, `http` or `https` URL.

    Args:
        url: where it is.
        anonymous: read a bucket without this workspace's credentials.

    Returns:
        The store of obstore.

    Raises:
        StorageError: the URL has another scheme, or the store cannot be opened.
        SettingsError: the address or region of the server is not valid.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("file", *BUCKETS, *WEB):
        raise StorageError(
            f"{url}: {parts.scheme}:// is not supported; use file, s3, az, gs, https"
        )
    # obstore ends the process on some that are not valid
    store_endpoints(parts.scheme)
    try:
        return _opened(url, parts.scheme, anonymous)
    except (BaseError, OSError, ValueError) as error:
        remedy = (
            "choose another folder"
            if parts.scheme == "file"
            else "check it, and the variables with the address and keys of its server"
        )
        raise StorageError(f"{url} cannot be opened: {cause(error)}; {remedy}") from error


def _opened(url: str, scheme: str, anonymous: bool) -> ObjectStore:
    if scheme == "file":
        return LocalStore(prefix=local_folder(url))
    options = _client_options(scheme)
    if anonymous and scheme in BUCKETS:
        return from_url(url, client_options=options, retry_config=_RETRY, skip_signature=True)
    if scheme == "s3" and "AWS_ACCESS_KEY_ID" in configuration_names():
        return S3Store.from_url(
            url,
            client_options=options,
            retry_config=_RETRY,
            credential_provider=_s3_credential,
        )
    return from_url(url, client_options=options, retry_config=_RETRY)


def _client_options(scheme: str) -> ClientConfig:
    authorities = ca_bundle(also="AWS_CA_BUNDLE" if scheme == "s3" else None)
    if authorities is None:
        return _CLIENT
    return {**_CLIENT, "root_certificate": authorities.read_bytes()}


def _s3_credential() -> S3Credential:
    """Return the keys of `MLOPS_CONFIG`, which obstore asks for again once they have expired."""
    keys = s3_keys()
    return {
        "access_key_id": keys.access_key,
        "secret_access_key": keys.secret_key,
        "token": keys.token,
        "expires_at": datetime.now(UTC) + _KEYS_LAST,
    }


def local_folder(url: str) -> Path:
    """Return the folder of a `file:///…` URL."""
    return Path(unquote(urlsplit(url).path))


def join(url: str, path: str) -> str:
    """Return the URL of a path (not quoted) below a URL."""
    return f"{url.rstrip('/')}/{quote(path)}"


@contextmanager
def explained(
    where: str, verb: str, remedy: str = "try again", missing: str = MISSING
) -> Iterator[None]:
    """Turn an object store's error into a StorageError with the key, the reason and a remedy.

    Args:
        where: the key or folder, with its URL.
        verb: participle of the operation: `read`, `written`, `listed`.
        remedy: advice if the server fails.
        missing: advice if it is not there.

    Raises:
        StorageUnreachable: in place of an error of obstore that may not happen again.
        StorageError: in place of any other error of obstore or of the operating system.
    """
    try:
        yield
    except (BaseError, OSError, ValueError) as error:
        reason = cause(error)
        advice = remedy
        kind = StorageError
        code = _CODE.search(str(error))
        if transport := why_no_connection(str(error)):
            reason, advice = transport
        elif code and code[1] == _NO_BUCKET:
            reason = "there is no such bucket"
            advice = "make it, or correct the URL"
        elif is_missing(error):
            reason = "it is not there"
            advice = missing
        elif isinstance(
            error, (PermissionDeniedError, UnauthenticatedError, PermissionError)
        ) or _DENIED.search(str(error)):
            reason = f"access denied ({code[1]})" if code else "access denied"
            advice = _ADVICE.get(code[1] if code else "", "check the credentials and their rights")
        elif _NO_PATH.search(str(error)):
            advice = "rename or remove that key: it is not a valid path of a file"
        elif isinstance(error, ConnectionError | TimeoutError) or (
            isinstance(error, GenericError) and _FOLDER not in str(error)
        ):
            kind = StorageUnreachable
            if _NO_ANSWER in reason:
                advice = "check that its server runs, and its address"
        raise kind(f"{where} could not be {verb}: {reason}; {advice}") from error


def is_missing(error: BaseException | None) -> bool:
    """Return whether an error means that something is not there."""
    return isinstance(error, (NotFoundError, FileNotFoundError))


def cause(error: Exception) -> str:
    """The first line of a nested obstore message; the rest is a debug dump."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
