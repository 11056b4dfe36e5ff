"""The delegation of a user's roles to one run that a server launches for them.

The run has a statement of who it acts for, which the server has signed with a key that only its own
processes and those of runs have. A statement for another run is worth nothing.

The signature is HMAC-SHA256 (RFC 2104) of the statement's text.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from pathlib import Path

from pydantic import ValidationError

from mlops_assets.errors import Forbidden, StorageError
from mlops_assets.principals import Principal, Role
from mlops_assets.strict import Strict

KEY_FILE = "delegation.key"
_KEY_BYTES = 32


class _Statement(Strict):
    """The principal that a run acts for."""

    run: str
    name: str
    roles: list[Role]


def delegation_key(given: str | None, folder: Path) -> bytes:
    """Return the key that delegations are signed with; it is made if there is none.

    Args:
        given: the key as a setting has it; None for that of a file.
        folder: where the file is, which only this user may read.

    Raises:
        StorageError: the file cannot be read or written.
    """
    if given is not None:
        return given.encode()
    path = folder / KEY_FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            partial = path.with_name(f"{KEY_FILE}.{secrets.token_hex(8)}")
            descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as target:
                target.write(secrets.token_hex(_KEY_BYTES))
            try:
                # of two processes that make one at once, the first wins
                os.link(partial, path)
            except FileExistsError:
                pass
            finally:
                partial.unlink()
        return path.read_text().encode()
    except OSError as error:
        raise StorageError(
            f"{path}, the key of runs that are launched for others, cannot be used:"
            f" {error.strerror}; make it readable, or set MLOPS_DELEGATION_KEY"
        ) from error


def delegate(principal: Principal, run_id: str, key: bytes) -> str:
    """Return the signed statement that a run acts for a principal.

    Args:
        principal: whose name and roles the run has.
        run_id: of the run.
        key: of `delegation_key`.
    """
    statement = _Statement(run=run_id, name=principal.name, roles=sorted(principal.roles))
    text = json.dumps(statement.model_dump(mode="json"), sort_keys=True)
    return f"{_signature(text, key)} {text}"


def delegated(statement: str, run_id: str, key: bytes) -> Principal | None:
    """Return the principal that a run acts for.

    Args:
        statement: that the run has.
        run_id: of the run.
        key: of `delegation_key`.

    Returns:
        The principal; None if the statement is for another run, such as the one that this run
        repeats.

    Raises:
        Forbidden: it was not signed with this key.
    """
    signature, _, text = statement.partition(" ")
    try:
        found = _Statement.model_validate_json(text)
    except ValidationError:
        found = None
    if found is not None and found.run != run_id:
        return None
    if found is None or not hmac.compare_digest(signature.encode(), _signature(text, key).encode()):
        raise Forbidden(
            f"run {run_id} does not act for the user that its tags name, as they are not signed"
            " with the key of this process; launch it again, and if the hub runs elsewhere, set"
            " MLOPS_DELEGATION_KEY to the same value there and here"
        )
    return Principal(found.name, frozenset(found.roles))


def _signature(text: str, key: bytes) -> str:
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
