"""Keys and certificates: the one that signs here, and fingerprints of all.

Which of them is trusted is the business of `trust`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from mlops_assets.errors import SettingsError
from mlops_assets.settings import SigningFiles, signing_files

# what a Sigstore bundle of a model may be signed with, by the name of the curve
HASHES: dict[str, hashes.HashAlgorithm] = {
    "secp256r1": hashes.SHA256(),
    "secp384r1": hashes.SHA384(),
    "secp521r1": hashes.SHA512(),
}
KINDS = "an elliptic curve key of P-256, P-384 or P-521"


@dataclass(frozen=True)
class SigningKey:
    """The private key of who signs, and their certificate where they have one.

    Attributes:
        private: the key.
        chain: the certificate of its public key, and those up to a trusted one; empty for a key
            that is trusted itself.
    """

    private: ec.EllipticCurvePrivateKey = field(repr=False)
    chain: tuple[x509.Certificate, ...] = ()

    @cached_property
    def fingerprint(self) -> str:
        """The fingerprint of the certificate, else of the public key."""
        if self.chain:
            return certificate_fingerprint(self.chain[0])
        return key_fingerprint(self.private.public_key())

    @classmethod
    def configured(cls) -> SigningKey | None:
        """Return the key that the settings name, or None if they name none.

        Raises:
            SettingsError: key or certificate cannot be read, are of a kind that cannot sign models,
                or do not belong together.
        """
        files = signing_files()
        return None if files is None else cls.read(files)

    @classmethod
    def read(cls, files: SigningFiles) -> SigningKey:
        """Read a private key, and its certificate where there is one.

        Raises:
            SettingsError: as of `configured`.
        """
        private = _private_key(files)
        if files.certificate is None:
            return cls(private)
        setting = f"MLOPS_SIGNING_CERTIFICATE={files.certificate}"
        try:
            chain = x509.load_pem_x509_certificates(files.certificate.read_bytes())
        except (OSError, ValueError) as error:
            raise SettingsError(f"{setting} has no certificate in PEM form: {error}") from error
        if chain[0].public_key() != private.public_key():
            raise SettingsError(
                f"{setting} begins with a certificate of another key than MLOPS_SIGNING_KEY; put"
                " the certificate of this key first, then those that it was issued by"
            )
        return cls(private, tuple(chain))


def _private_key(files: SigningFiles) -> ec.EllipticCurvePrivateKey:
    setting = f"MLOPS_SIGNING_KEY={files.key}"
    password = files.password.encode() if files.password else None
    try:
        private = serialization.load_pem_private_key(files.key.read_bytes(), password)
    # TypeError: a password is missing, or is given for a key that has none
    except (OSError, ValueError, TypeError) as error:
        raise SettingsError(f"{setting} is not a private key in PEM form: {error}") from error
    if not isinstance(private, ec.EllipticCurvePrivateKey) or private.curve.name not in HASHES:
        raise SettingsError(
            f"{setting} cannot sign models; make {KINDS}, such as with 'openssl genpkey -algorithm"
            " EC -pkeyopt ec_paramgen_curve:P-256'"
        )
    return private


def key_fingerprint(key: ec.EllipticCurvePublicKey) -> str:
    """Return the sha256 of a public key in PEM form, as `sha256sum key.pub` prints it."""
    pem = key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return hashlib.sha256(pem).hexdigest()


def certificate_fingerprint(certificate: x509.Certificate) -> str:
    """Return the sha256 of a certificate, as `openssl x509 -fingerprint -sha256` has it."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def require_signing_key(key: object, where: Path) -> ec.EllipticCurvePublicKey:
    """Return a public key that can be one of a signature.

    Args:
        key: of any kind.
        where: file that it is from, for the message.

    Raises:
        SettingsError: it cannot be.
    """
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in HASHES:
        return key
    raise SettingsError(f"{where} cannot be the key of a signature of a model; it must be {KINDS}")
