"""The keys and certificates that signatures of models are accepted from.

`MLOPS_TRUST` names a YAML file with them. A bundle never decides which key it is verified with.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Self

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    PolicyBuilder,
    Store,
    VerificationError,
)
from pydantic import AfterValidator, Field, model_validator

from mlops_assets.errors import SettingsError, SignatureRefused
from mlops_assets.models.signing.bundle import Bundle
from mlops_assets.models.signing.keys import (
    certificate_fingerprint,
    key_fingerprint,
    require_signing_key,
)
from mlops_assets.settings import trust_file
from mlops_assets.strict import Strict, read_settings_file, require_unique

SETTING = "MLOPS_TRUST"


def _fingerprint(text: str) -> str:
    digits = text.replace(":", "").lower()
    if len(digits) != 64 or set(digits) - set("0123456789abcdef"):
        raise ValueError(
            "write the sha256 of a public key (sha256sum KEY.pub) or of a certificate (openssl x509"
            " -fingerprint -sha256)"
        )
    return digits


class TrustedSigner(Strict):
    """A public key, or a certificate that signs or has issued those that sign.

    Attributes:
        name: of the key in commands and messages.
        file: PEM file of it, relative to the file that names it.
        since: first day on which it is trusted.
        until: last day on which it is trusted.
    """

    name: Annotated[str, Field(min_length=1)]
    file: Path
    since: date | None = None
    until: date | None = None

    @model_validator(mode="after")
    def _days(self) -> Self:
        if self.since and self.until and self.since > self.until:
            raise ValueError("since is after until")
        return self


class Revoked(Strict):
    """A key or certificate that is trusted no more, whatever names or has issued it.

    Attributes:
        fingerprint: sha256 of the public key in PEM form, or of the certificate.
        reason: for messages.
    """

    fingerprint: Annotated[str, AfterValidator(_fingerprint)]
    reason: Annotated[str, Field(min_length=1)]


class DeclaredTrust(Strict):
    """Whom a project trusts.

    Attributes:
        required: whether what promotes, loads or runs a model demands a valid signature.
        signers: whose signatures are valid.
        revoked: what is not accepted in any case.
    """

    required: bool = False
    signers: Annotated[list[TrustedSigner], Field(min_length=1)]
    revoked: tuple[Revoked, ...] = ()

    @model_validator(mode="after")
    def _unique(self) -> Self:
        require_unique([own.name for own in self.signers], "signers")
        return self


class Trust:
    """Keys and certificates that are trusted, read from their files.

    Attributes:
        path: of the declaration.
        required: whether a signature is demanded.
    """

    def __init__(self, declared: DeclaredTrust, path: Path) -> None:
        """Read the files that a declaration names.

        Raises:
            SettingsError: one cannot be read, or has neither a key nor a certificate.
        """
        self.path = path
        self.required = declared.required
        self._revoked = {own.fingerprint: own.reason for own in declared.revoked}
        self._signers = [(own, _read_signer(path.parent / own.file)) for own in declared.signers]
        for signer, trusted in self._signers:
            # sha256sum of a file whose text is another one of the same key, such as with CRLF
            of_file = hashlib.sha256((path.parent / signer.file).read_bytes()).hexdigest()
            if isinstance(trusted, ec.EllipticCurvePublicKey) and of_file in self._revoked:
                self._revoked.setdefault(key_fingerprint(trusted), self._revoked[of_file])

    @classmethod
    def configured(cls) -> Trust | None:
        """Return what the settings declare, or None if they declare nothing.

        Raises:
            SettingsError: the file, or one that it names, cannot be read, or is invalid.
        """
        path = trust_file()
        return None if path is None else cls(read_settings_file(DeclaredTrust, SETTING, path), path)

    def signer_of(self, bundle: Bundle) -> str:
        """Return the name of the trusted signer of a bundle.

        Args:
            bundle: whose key or certificate is tried with everything that is trusted.

        Raises:
            SignatureRefused: no trusted key has signed it, or one that is revoked, not valid yet,
                or not valid any more; it may also have been changed.
        """
        now = datetime.now(UTC)
        chain = bundle.certificates()
        reasons = []
        for declared, trusted in self._signers:
            try:
                if isinstance(trusted, ec.EllipticCurvePublicKey):
                    used = [key_fingerprint(trusted)] if bundle.is_signed_by(trusted) else []
                else:
                    used = _verified_chain(bundle, chain, trusted, now)
                if used:
                    self._require_valid(declared, used, now.date())
                    return declared.name
            except SignatureRefused as error:
                reasons.append(str(error))
        if reasons:
            raise SignatureRefused("; ".join(dict.fromkeys(reasons)))
        raise SignatureRefused(self._unknown(bundle, chain))

    def _require_valid(self, declared: TrustedSigner, used: list[str], today: date) -> None:
        for fingerprint in used:
            if fingerprint in self._revoked:
                raise SignatureRefused(
                    f"is signed with a revoked key (sha256 {fingerprint[:12]}…):"
                    f" {self._revoked[fingerprint]}"
                )
        if declared.since and today < declared.since:
            raise SignatureRefused(
                f"is signed with {declared.name}, which is trusted from {declared.since} on"
            )
        if declared.until and today > declared.until:
            raise SignatureRefused(
                f"is signed with {declared.name}, which was trusted until {declared.until}"
            )

    def _unknown(self, bundle: Bundle, chain: list[x509.Certificate]) -> str:
        """Return why no trusted key has signed a bundle, as far as its claims show."""
        claimed = certificate_fingerprint(chain[0]) if chain else bundle.claimed_key or ""
        if claimed in self._revoked:
            return f"is signed with a revoked key ({claimed[:12]}…): {self._revoked[claimed]}"
        for declared, trusted in self._signers:
            if isinstance(trusted, ec.EllipticCurvePublicKey) and (
                key_fingerprint(trusted) == claimed
            ):
                return f"has been changed: {declared.name} has not signed what it states"
        named = f"the key {claimed[:12]}…" if claimed else "a key that it does not name"
        return f"is signed with {named}, which {self.path} does not trust"


def _read_signer(path: Path) -> ec.EllipticCurvePublicKey | list[x509.Certificate]:
    try:
        content = path.read_bytes()
        if b"CERTIFICATE" not in content:
            return require_signing_key(load_pem_public_key(content), path)
        return x509.load_pem_x509_certificates(content)
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"{SETTING}: {path} has neither a public key nor certificates in PEM form: {error}"
        ) from error


def _verified_chain(
    bundle: Bundle, chain: list[x509.Certificate], trusted: list[x509.Certificate], now: datetime
) -> list[str]:
    """Return the fingerprints of all that a bundle is accepted by; none if it is not by these.

    They are those of each certificate up to a trusted one, and of its key.

    Raises:
        SignatureRefused: it is by these, but one has expired or cannot sign, or the statement has
            been changed.
    """
    if not chain:
        return []
    any_extension = ExtensionPolicy.permit_all()
    authority = any_extension.require_present(x509.BasicConstraints, Criticality.AGNOSTIC, None)
    policy = (
        PolicyBuilder()
        .store(Store(trusted))
        .extension_policies(ca_policy=authority, ee_policy=any_extension)
    )
    try:
        # at a time at which the first is valid: what has expired is to be named as such below
        moment = policy.time(chain[0].not_valid_before_utc)
        verified = moment.build_client_verifier().verify(chain[0], chain[1:]).chain
    # ValueError: a part of a certificate, which is parsed only now, is invalid
    except (VerificationError, ValueError):
        return []
    for own in verified:
        if not own.not_valid_before_utc <= now <= own.not_valid_after_utc:
            days = (own.not_valid_before_utc, own.not_valid_after_utc)
            start, end = (f"{day:%Y-%m-%d}" for day in days)
            raise SignatureRefused(
                f"is signed with a certificate that is valid from {start} to {end} only"
                f" ({own.subject.rfc4514_string()})"
            )
    if not _may_sign(chain[0]):
        raise SignatureRefused(
            "is signed with a certificate that is not for signing code"
            f" ({chain[0].subject.rfc4514_string()})"
        )
    key = chain[0].public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or not bundle.is_signed_by(key):
        raise SignatureRefused("has been changed: its certificate has not signed what it states")
    return list(_fingerprints(verified))


def _fingerprints(chain: list[x509.Certificate]) -> Iterator[str]:
    for certificate in chain:
        yield certificate_fingerprint(certificate)
        key = certificate.public_key()
        if isinstance(key, ec.EllipticCurvePublicKey):
            yield key_fingerprint(key)


def _may_sign(certificate: x509.Certificate) -> bool:
    """Return whether a certificate is one of digital signatures, and not of servers or clients."""
    extensions = certificate.extensions
    try:
        if not extensions.get_extension_for_class(x509.KeyUsage).value.digital_signature:
            return False
    except x509.ExtensionNotFound:
        return False
    try:
        purposes = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    return ExtendedKeyUsageOID.CODE_SIGNING in purposes
