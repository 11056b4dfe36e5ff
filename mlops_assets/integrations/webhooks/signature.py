"""Signatures of messages as Standard Webhooks has them (v1: HMAC with SHA-256).

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence

from mlops_assets.errors import SettingsError
from mlops_assets.secret import Secret

PREFIX = "whsec_"
MIN_BYTES = 24


def signing_key(secret: Secret, webhook: str) -> bytes:
    """Return the key of a secret.

    Args:
        secret: where `whsec_` and base64 of at least 24 bytes are.
        webhook: its name, for messages.

    Raises:
        SettingsError: it cannot be read, or is not such a secret.
    """
    text = secret.read(f"webhook {webhook}").removeprefix(PREFIX)
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) < MIN_BYTES:
        raise SettingsError(
            f"webhook {webhook}: the secret in {secret} is not {PREFIX} and base64 of at least"
            f" {MIN_BYTES} bytes, as 'echo {PREFIX}$(openssl rand -base64 32)' prints"
        )
    return key


def signature_headers(
    message_id: str, timestamp: int, body: bytes, keys: Sequence[bytes]
) -> dict[str, str]:
    """Return the headers by which a receiver recognises a message.

    Args:
        message_id: the same in all attempts.
        timestamp: of the attempt, in seconds since the epoch.
        body: of the message.
        keys: each makes a signature.
    """
    signed = f"{message_id}.{timestamp}.".encode() + body
    digests = (hmac.new(key, signed, hashlib.sha256).digest() for key in keys)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{base64.b64encode(own).decode()}" for own in digests),
    }
