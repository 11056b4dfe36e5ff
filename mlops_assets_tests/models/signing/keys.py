"""Keys, certificates and declarations of trust for tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mlops_assets.models.signing.keys import SigningKey

PEM = serialization.Encoding.PEM


def make_key(folder: Path, name: str, curve: ec.EllipticCurve | None = None) -> SigningKey:
    """A new key, whose private and public parts lie in `NAME.pem` and `NAME.pub`."""
    key = ec.generate_private_key(curve or ec.SECP256R1())
    private = key.private_bytes(
        PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / f"{name}.pem").write_bytes(private)
    public = key.public_key().public_bytes(PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    (folder / f"{name}.pub").write_bytes(public)
    return SigningKey(key)


def certify(
    folder: Path,
    name: str,
    key: SigningKey,
    issuer: SigningKey | None = None,
    days: tuple[float, float] = (-1, 1),
    purpose: x509.ObjectIdentifier = ExtendedKeyUsageOID.CODE_SIGNING,
) -> SigningKey:
    """The key with a certificate in `NAME.crt`, of an authority unless it has an issuer."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    authority = issuer is None
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer.chain[0].subject)
        .public_key(key.private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days[0]))
        .not_valid_after(now + timedelta(days[1]))
        .add_extension(x509.BasicConstraints(authority, None), critical=True)
        .add_extension(
            x509.KeyUsage(
                not authority, False, False, False, False, authority, authority, False, False
            ),
            critical=True,
        )
    )
    if not authority:
        builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
    certificate = builder.sign(key.private if issuer is None else issuer.private, hashes.SHA256())
    (folder / f"{name}.crt").write_bytes(certificate.public_bytes(PEM))
    return SigningKey(key.private, (certificate,))


def sign_with(monkeypatch: pytest.MonkeyPatch, folder: Path, name: str) -> None:
    """Let the settings name a key of `make_key`."""
    monkeypatch.setenv("MLOPS_SIGNING_KEY", str(folder / f"{name}.pem"))


def trust(
    monkeypatch: pytest.MonkeyPatch, folder: Path, /, *signers: dict[str, object], **more: object
) -> None:
    """Let the settings require signatures of these signers."""
    path = folder / "trust.yaml"
    path.write_text(yaml.safe_dump({"required": True, "signers": list(signers), **more}))
    monkeypatch.setenv("MLOPS_TRUST", str(path))
