"""Heads of the log, to be kept elsewhere.

They reveal if the registry and the workspace were both rewritten.

A head is the number and the sha256 of the newest entry. It states all entries before, and can be
signed with Ed25519.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, Field, ValidationError

from mlops_assets.errors import HeadRefused, NotFound, StorageError
from mlops_assets.registry.log.replay import Replayed, guarded
from mlops_assets.registry.store import Registry
from mlops_assets.storage import Workspace
from mlops_assets.text.secret_urls import redacted

_TEXT = re.compile(r"(?P<seq>[1-9][0-9]{0,9}):(?P<sha256>[0-9a-f]{64})")
_KEPT = re.compile(r"[0-9]{10}\.json")


class Head(BaseModel, frozen=True, extra="forbid"):
    """The newest entry of a log.

    It has its number, its sha256, and a signature of both (Ed25519, base64).
    """

    seq: int = Field(ge=1)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    signature: str | None = None

    def __str__(self) -> str:
        """`SEQ:SHA256`."""
        return f"{self.seq}:{self.sha256}"

    def _signed_bytes(self) -> bytes:
        return f"mlops log head {self}".encode()

    def signed(self, key: Path) -> Head:
        """Return this head with a signature.

        Args:
            key: PEM file of an Ed25519 private key without a password, e.g. of `openssl genpkey
                -algorithm ed25519`.

        Raises:
            HeadRefused: it is not one.
        """
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        try:
            private = load_pem_private_key(key.read_bytes(), password=None)
        except (OSError, ValueError, TypeError) as error:
            raise _no_key(key, "private", str(error)) from error
        if not isinstance(private, Ed25519PrivateKey):
            raise _no_key(key, "private", "it is of another kind")
        signature = base64.b64encode(private.sign(self._signed_bytes())).decode()
        return self.model_copy(update={"signature": signature})

    def is_signed_by(self, key: Path) -> bool:
        """Return whether the signature is of the owner of a key.

        Args:
            key: PEM file of an Ed25519 public key.

        Raises:
            HeadRefused: it is not one.
        """
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        from cryptography.hazmat.primitives.serialization import load_pem_public_key

        try:
            public = load_pem_public_key(key.read_bytes())
        except (OSError, ValueError) as error:
            raise _no_key(key, "public", str(error)) from error
        if not isinstance(public, Ed25519PublicKey):
            raise _no_key(key, "public", "it is of another kind")
        try:
            public.verify(
                base64.b64decode(self.signature or "", validate=True), self._signed_bytes()
            )
        except (InvalidSignature, binascii.Error):
            return False
        return True


def _no_key(key: Path, kind: str, reason: str) -> HeadRefused:
    return HeadRefused(f"{key} is not the PEM file of an Ed25519 {kind} key: {reason}")


def head_of(registry: Registry) -> Head:
    """Return the head of a registry's log.

    Raises:
        NotFound: it has no entry yet.
    """
    newest = registry.newest_entry()
    if newest is None:
        raise NotFound("the log has no entry yet; the first publication begins it")
    seq, sha256 = newest
    return Head(seq=seq, sha256=sha256)


def read_head(text: str) -> Head:
    """Return the head that a text is: `SEQ:SHA256`, or a document of `mlops log head --sign`.

    Raises:
        HeadRefused: it is neither.
    """
    if match := _TEXT.fullmatch(text.strip()):
        return Head(seq=int(match["seq"]), sha256=match["sha256"])
    try:
        return Head.model_validate_json(text)
    except ValidationError as error:
        raise HeadRefused(
            f"{text.strip()[:80]!r} is not a head of a log; write SEQ:SHA256, or a file of it"
        ) from error


def head_problems(head: Head, log: Replayed) -> Iterator[str]:
    """Yield whether a log does not contain a head."""
    found = log.heads.get(head.seq)
    if found is None:
        yield (
            f"the log has no entry {head.seq}, of which a head was kept elsewhere; the registry was"
            " replaced by an older one, or the head is of another workspace"
        )
    elif found != head.sha256:
        yield (
            f"entry {head.seq} of the log has sha256 {found[:12]}…, the head kept elsewhere"
            f" {head.sha256[:12]}…; the registry and the workspace were rewritten, or the head is"
            " of another workspace"
        )


def verify_kept_head(url: str, cache: Path, log: Replayed) -> list[str]:
    """Compare a log with the newest head that was kept elsewhere.

    The log's own head is written there if the log contains the kept one.

    Args:
        url: a folder or a bucket that those who can write the workspace and the registry cannot.
        cache: folder of this machine for fetched files.
        log: a log as it was replayed.
    """

    def compared() -> Iterator[str]:
        elsewhere = Workspace(url, cache)
        kept = sorted(key for key in elsewhere.list("") if _KEPT.fullmatch(key))
        if kept:
            yield from head_problems(read_head(elsewhere.get(kept[-1]).decode()), log)

    problems = guarded(f"the head of the log in {redacted(url)}", compared)
    if not problems and not log.problems and log.seq:
        head = Head(seq=log.seq, sha256=log.sha256)
        try:
            Workspace(url, cache).put(
                f"{head.seq:010}.json", head.model_dump_json(exclude_none=True).encode()
            )
        except StorageError as error:
            problems.append(f"the head of the log could not be written to {redacted(url)}: {error}")
    return problems
