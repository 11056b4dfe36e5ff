"""Sigstore bundles: an in-toto statement in a DSSE envelope, and what names its signer.

They are as model-signing (OpenSSF) writes and verifies them; docs/decisions has why they are
written here. https://docs.sigstore.dev/about/bundle, https://github.com/secure-systems-lab/dsse
"""

from __future__ import annotations

import base64
from typing import Annotated, Literal

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from pydantic import Base64Bytes, BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from mlops_assets.datasets.io.media_types import SIGSTORE
from mlops_assets.datasets.versions.documents import json_bytes
from mlops_assets.errors import SignatureRefused
from mlops_assets.models.signing.keys import HASHES, SigningKey, key_fingerprint
from mlops_assets.strict import listed_problems
from mlops_assets.text.json_values import Json, JsonObject

PAYLOAD_TYPE = "application/vnd.in-toto+json"
MAX_SIZE = 16 << 20  # bytes; a model of 50,000 files has less
MAX_CERTIFICATES = 8


class _Part(BaseModel):
    """A part of a bundle; other fields, such as those of transparency logs, are not read."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)


class _PublicKey(_Part):
    hint: str = ""


class _Certificate(_Part):
    raw_bytes: Base64Bytes


class _Chain(_Part):
    certificates: Annotated[list[_Certificate], Field(min_length=1, max_length=MAX_CERTIFICATES)]


class _Material(_Part):
    public_key: _PublicKey | None = None
    x509_certificate_chain: _Chain | None = Field(None, alias="x509CertificateChain")


class _Signature(_Part):
    sig: Base64Bytes


class _Envelope(_Part):
    payload: Base64Bytes
    payload_type: Literal["application/vnd.in-toto+json"]
    signatures: Annotated[list[_Signature], Field(min_length=1, max_length=1)]


class Bundle(_Part):
    """A bundle as read; nothing in it is trusted before a trusted key has verified it."""

    media_type: Literal["application/vnd.dev.sigstore.bundle.v0.3+json"]
    verification_material: _Material
    dsse_envelope: _Envelope

    @classmethod
    def read(cls, content: bytes) -> Bundle:
        """Read a bundle.

        Raises:
            SignatureRefused: it is not a bundle of one statement, or too large.
        """
        if len(content) > MAX_SIZE:
            raise SignatureRefused(f"is larger than {MAX_SIZE >> 20} MiB")
        try:
            return cls.model_validate_json(content)
        except ValidationError as error:
            problem = listed_problems(error, "the file")
            raise SignatureRefused(f"is not a Sigstore bundle of a statement: {problem}") from error

    @property
    def statement(self) -> bytes:
        """The statement as it was signed, JSON."""
        return self.dsse_envelope.payload

    @property
    def claimed_key(self) -> str | None:
        """The fingerprint of the key that it names; for messages only, as anyone can write it."""
        key = self.verification_material.public_key
        return None if key is None else key.hint

    def certificates(self) -> list[x509.Certificate]:
        """Return its certificates, that of the key first; none if it names a key.

        Raises:
            SignatureRefused: one cannot be read.
        """
        chain = self.verification_material.x509_certificate_chain
        try:
            return [
                x509.load_der_x509_certificate(own.raw_bytes)
                for own in ([] if chain is None else chain.certificates)
            ]
        except (ValueError, x509.InvalidVersion) as error:
            raise SignatureRefused(f"has a certificate that cannot be read: {error}") from error

    def is_signed_by(self, key: ec.EllipticCurvePublicKey) -> bool:
        """Return whether the owner of a key has signed the statement."""
        signature = self.dsse_envelope.signatures[0].sig
        algorithm = HASHES.get(key.curve.name)
        if algorithm is None:
            return False
        try:
            key.verify(signature, _signed_bytes(self.statement), ec.ECDSA(algorithm))
        except InvalidSignature:
            return False
        return True


def sign(statement: JsonObject, key: SigningKey) -> bytes:
    """Return the bundle of a statement.

    Args:
        statement: of in-toto.
        key: signs it; where it has a certificate, that is put into the bundle.
    """
    payload = json_bytes(statement)
    algorithm = ec.ECDSA(HASHES[key.private.curve.name])
    signature = key.private.sign(_signed_bytes(payload), algorithm)
    material: JsonObject = {"publicKey": {"hint": key_fingerprint(key.private.public_key())}}
    if key.chain:
        certificates: list[Json] = [
            {"rawBytes": _base64(own.public_bytes(Encoding.DER))} for own in key.chain
        ]
        material = {"x509CertificateChain": {"certificates": certificates}}
    document: JsonObject = {
        "mediaType": SIGSTORE,
        "verificationMaterial": {**material, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": _base64(payload),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{"sig": _base64(signature), "keyid": ""}],
        },
    }
    return json_bytes(document)


def _signed_bytes(payload: bytes) -> bytes:
    """Return what is signed: the pre-authentication encoding of DSSE."""
    return b"DSSEv1 %d %s %d %s" % (
        len(PAYLOAD_TYPE),
        PAYLOAD_TYPE.encode(),
        len(payload),
        payload,
    )


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
