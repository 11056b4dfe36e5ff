"""Errors of object stores: those that may pass, those that stay, and wrong addresses."""

from __future__ import annotations

import pytest
from obstore.exceptions import GenericError, NotFoundError, PermissionDeniedError

from mlops_assets.errors import SettingsError, StorageError, StorageUnreachable
from mlops_assets.storage.stores import explained, open_object_store


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (GenericError("Generic S3 error: error sending request: timed out"), StorageUnreachable),
        (ConnectionError("the server responded 503"), StorageUnreachable),
        (GenericError("Generic S3 error: 403 Forbidden"), StorageError),
        (GenericError("Generic LocalFileSystem error: No space left on device"), StorageError),
        (NotFoundError("Object at location a not found"), StorageError),
        (PermissionDeniedError("denied"), StorageError),
        (OSError(28, "No space left on device"), StorageError),
    ],
)
def test_only_a_store_that_does_not_answer_may_do_so_later(
    error: Exception, kind: type[StorageError]
) -> None:
    with pytest.raises(StorageError, match="could not be read") as raised, explained("a", "read"):
        raise error
    assert raised.type is kind


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_ENDPOINT_URL", "127.0.0.1:9000"),
        ("AWS_ENDPOINT_URL", "http://"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:99999"),
        ("AWS_ENDPOINT_URL", "http://[::1"),
        ("AWS_ENDPOINT_URL", "http://a host"),
        ("AWS_ENDPOINT_URL", "http://ann:hunter2@host"),
        ("AWS_ENDPOINT_URL_S3", "host"),
        ("AWS_ENDPOINT", "ftp://host"),
        ("AWS_REGION", "eu central"),
    ],
)
def test_a_wrong_address_is_one_message_and_does_not_end_the_process(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=f"^{name}=") as raised:
        open_object_store("s3://bucket")
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("url", ["s3://", "s3://a bucket", "az://bucket", "file:///dev/null/a"])
def test_what_cannot_be_opened_is_not_tried_again(url: str) -> None:
    with pytest.raises(StorageError, match=f"^{url} cannot be opened: ") as raised:
        open_object_store(url)
    assert raised.type is StorageError
