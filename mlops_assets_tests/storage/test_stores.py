"""Errors of object stores: those that may pass, and those that stay."""

from __future__ import annotations

import pytest
from obstore.exceptions import GenericError, NotFoundError, PermissionDeniedError

from mlops_assets.errors import StorageError, StorageUnreachable
from mlops_assets.storage.stores import explained


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
