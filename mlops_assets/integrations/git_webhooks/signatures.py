"""Proofs by which a git server shows that a request is its own; compared in constant time.

GitHub: https://docs.github.com/webhooks/securing, Gitea and Forgejo likewise, GitLab: a signing
token as https://github.com/standard-webhooks/standard-webhooks has it, or a secret token, which is
sent as it is; Azure DevOps: basic authentication (RFC 7617).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from mlops_assets.errors import SettingsError, Unauthenticated
from mlops_assets.integrations.git_webhooks.declaration import DeclaredGitWebhook, Provider

# as Standard Webhooks advises
MAX_AGE_SECONDS = 300
MIN_SECRET = 16  # characters; fewer can be guessed
STANDARD = ("webhook-id", "webhook-timestamp", "webhook-signature")
REFUSED = "the request is not signed as this webhook has to be"


@dataclass(frozen=True)
class Signed:
    """What proves who sends a request.

    Attributes:
        headers: name in small letters → its only value.
        body: as it was received, to the byte.
        now: seconds since the epoch.
    """

    headers: dict[str, str]
    body: bytes
    now: float


def proof_headers(provider: Provider) -> Sequence[str]:
    """Return the headers that have the proof, in small letters; each must be there once."""
    return _PROOFS[provider][0]


def check_proof(webhook: DeclaredGitWebhook, request: Signed) -> None:
    """Check that a request is of the declared server.

    Args:
        webhook: it.
        request: what was sent, with the headers of `proof_headers`.

    Raises:
        SettingsError: its secret cannot be read, or can be guessed.
        Unauthenticated: it is not.
    """
    owner = f"git webhook {webhook.name}"
    secrets = [webhook.secret, *([webhook.former_secret] if webhook.former_secret else [])]
    accepted = False
    for secret in secrets:
        text = secret.read(owner)
        if len(text) < MIN_SECRET:
            raise SettingsError(
                f"{owner}: the secret in {secret} has fewer than {MIN_SECRET} characters and can be"
                " guessed; set it to what 'openssl rand -hex 32' prints"
            )
        # all of them, so that the time does not depend on which
        accepted |= _PROOFS[webhook.provider][1](webhook, text, request)
    if not accepted:
        raise Unauthenticated(REFUSED)


def _github(_webhook: DeclaredGitWebhook, secret: str, request: Signed) -> bool:
    expected = f"sha256={_hmac(secret.encode(), request.body).hex()}"
    return _same(request.headers["x-hub-signature-256"], expected)


def _gitea(_webhook: DeclaredGitWebhook, secret: str, request: Signed) -> bool:
    expected = _hmac(secret.encode(), request.body).hex()
    return _same(request.headers["x-gitea-signature"], expected)


def _gitlab_token(_webhook: DeclaredGitWebhook, secret: str, request: Signed) -> bool:
    return _same(request.headers["x-gitlab-token"], secret)


def _gitlab(webhook: DeclaredGitWebhook, secret: str, request: Signed) -> bool:
    sent, moment, signatures = (request.headers[name] for name in STANDARD)
    if not (moment.isascii() and moment.isdigit() and len(moment) < 13):
        return False
    if abs(request.now - int(moment)) > MAX_AGE_SECONDS:
        return False
    signed = f"{sent}.{moment}.".encode() + request.body
    digest = base64.b64encode(_hmac(_standard_key(webhook, secret), signed)).decode()
    return any(_alike(signatures.split(), f"v1,{digest}"))


def _azure(webhook: DeclaredGitWebhook, secret: str, request: Signed) -> bool:
    pair = base64.b64encode(f"{webhook.user}:{secret}".encode()).decode()
    return _same(request.headers["authorization"], f"Basic {pair}")


def _standard_key(webhook: DeclaredGitWebhook, secret: str) -> bytes:
    """Return the key of a secret: the bytes that follow `whsec_` as base64, else the text."""
    if not secret.startswith("whsec_"):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        raise SettingsError(
            f"git webhook {webhook.name}: its secret is not whsec_ and base64; copy the signing"
            " token from GitLab again"
        ) from None


def _alike(found: Iterable[str], expected: str) -> list[bool]:
    """Compare each, so that the time does not depend on which one it is."""
    return [_same(each, expected) for each in found]


def _same(found: str, expected: str) -> bool:
    return hmac.compare_digest(found.encode(errors="surrogateescape"), expected.encode())


def _hmac(key: bytes, content: bytes) -> bytes:
    return hmac.new(key, content, hashlib.sha256).digest()


_PROOFS: dict[Provider, tuple[Sequence[str], Callable[[DeclaredGitWebhook, str, Signed], bool]]] = {
    "github": (("x-hub-signature-256",), _github),
    "gitea": (("x-gitea-signature",), _gitea),
    "gitlab": (STANDARD, _gitlab),
    "gitlab_token": (("x-gitlab-token",), _gitlab_token),
    "azure": (("authorization",), _azure),
}
