"""Certificates of an authority that no system trusts, for servers on loopback."""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mlops_assets_tests.servers.processes import HOST


@dataclass(frozen=True)
class ServerFiles:
    """PEM files of a server with TLS.

    Attributes:
        authority: certificate that has issued the server's own.
        certificate: of the server, for `127.0.0.1`.
        key: of that certificate.
    """

    authority: Path
    certificate: Path
    key: Path


def new_authority(folder: Path) -> ServerFiles:
    """Make an authority and the certificate of a server, in a folder."""
    authority_key, server_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "an authority of one's own")])
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    authority = (
        _certificate(issuer, issuer, authority_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))])
    certificate = (
        _certificate(subject, issuer, server_key)
        .add_extension(names, critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    files = ServerFiles(*(folder / name for name in ("ca.pem", "server.pem", "server.key")))
    files.authority.write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    files.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files.key.write_bytes(_pem(server_key))
    return files


def new_self_signed(folder: Path, address: str = HOST, is_authority: bool = True) -> ServerFiles:
    """Make a certificate that has issued itself, in a folder.

    Args:
        folder: of the files.
        address: that it is for.
        is_authority: as `openssl req -x509` makes it.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, address)])
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
    constraints = x509.BasicConstraints(ca=is_authority, path_length=None)
    certificate = (
        _certificate(name, name, key)
        .add_extension(constraints, critical=True)
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )
    files = ServerFiles(*(folder / name for name in ("self.pem", "self.pem", "self.key")))
    files.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files.key.write_bytes(_pem(key))
    return files


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
    )
