"""Signatures of model versions: made, required, refused.

On model versions whose files are small and no models.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from mlops_assets.errors import SettingsError, SignatureRefused
from mlops_assets.models.promotion import promote
from mlops_assets.models.signing.keys import SigningKey, certificate_fingerprint
from mlops_assets.models.signing.sign import sign_version
from mlops_assets.models.signing.statements import provenance_statement
from mlops_assets.models.signing.verify import require_signature
from mlops_assets.models.verify import verify_files_of_model
from mlops_assets.paths import model_owner
from mlops_assets.registry import ModelVersion
from mlops_assets.registry.session import now
from mlops_assets.storage import FileStat, sha256_of
from mlops_assets.store import Store
from mlops_assets_tests.models.signing.keys import PEM, certify, make_key, trust
from mlops_assets_tests.models.test_promotion import registered

Trusted = Callable[..., None]


@pytest.fixture
def row(store: Store) -> ModelVersion:
    return registered(store, "v1-a", accuracy=0.9)


@pytest.fixture
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trusted:
    """Require signatures of keys and certificates by file name: `trusted("a.pub", until=…)`."""

    def declare(*files: str, revoked: list[dict[str, str]] | None = None, **days: object) -> None:
        signers: list[dict[str, object]] = [
            {"name": file.partition(".")[0], "file": file, **days} for file in files
        ]
        trust(monkeypatch, tmp_path, *signers, revoked=revoked or [])

    return declare


def refused(store: Store, row: ModelVersion) -> str:
    """Return why no signature is accepted; verifying and promoting refuse for that reason, too."""
    with pytest.raises(SignatureRefused) as error:
        require_signature(store, row)
    with pytest.raises(SignatureRefused):
        promote(store, row, [])
    assert store.registry.aliases(row.model) == {}
    assert str(error.value) in "; ".join(verify_files_of_model(store, row).problems)
    return str(error.value)


def replace(store: Store, key: str, content: bytes, row: ModelVersion) -> None:
    """Replace a file together with its checksum in the registry, as someone who has both can."""
    (store.workspace.root / key).write_bytes(content)
    file = store.workspace.stat(key)
    store.registry.add_files(model_owner(row.model, row.version), [file])


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()])
def test_a_signed_version_is_promoted(
    curve: ec.EllipticCurve, store: Store, row: ModelVersion, tmp_path: Path, trusted: Trusted
) -> None:
    key = make_key(tmp_path, "a", curve)
    trusted("a.pub")
    assert refused(store, row).startswith("crops@v1-a has no signature")
    bundles = sign_version(store, row, key)
    assert len(bundles) == 2
    promote(store, row, [])
    assert store.registry.aliases("crops") == {"production": "v1-a"}
    assert verify_files_of_model(store, row).problems == []
    # write-once: the key has signed these files
    assert sign_version(store, row, key) == []
    assert [store.workspace.stat(own.path) for own in bundles] == bundles


def test_the_provenance_names_data_code_environment_and_image(
    store: Store, row: ModelVersion, tmp_path: Path
) -> None:
    image = f"ghcr.io/team/train@sha256:{'e' * 64}"
    run = store.registry.run(row.run_id)
    run.code = {"commit": "c" * 40, "diff": "d" * 64, "container": image}
    run.environment = "f" * 64
    run.parameters = {"depth": 3}
    files = {"model.onnx": "1" * 64}
    published = [FileStat(f"runs/{run.run_id}/run.json", "2" * 64, 1)]
    statement: Any = provenance_statement(row, run, files, published)
    definition = statement["predicate"]["buildDefinition"]
    assert {own["name"]: own["digest"] for own in definition["resolvedDependencies"]} == {
        "data": {"sha256": row.data_digest},
        "code": {"gitCommit": "c" * 40},
        "uncommitted changes": {"sha256": "d" * 64},
        "environment": {"sha256": "f" * 64},
        "image": {"sha256": "e" * 64},
    }
    assert definition["externalParameters"]["parameters"] == {"depth": 3}
    details = statement["predicate"]["runDetails"]
    assert details["metadata"]["invocationId"] == row.run_id
    assert [own["digest"] for own in details["byproducts"]] == [{"sha256": "2" * 64}]


# what is not accepted


def test_files_changed_together_with_the_registry_are_found(
    store: Store, row: ModelVersion, tmp_path: Path, trusted: Trusted
) -> None:
    key = make_key(tmp_path, "a")
    trusted("a.pub")
    sign_version(store, row, key)
    replace(store, "models/crops/v1-a/model.onnx", b"onny", row)
    added = store.workspace.put("models/crops/v1-a/more.txt", b"more")
    store.registry.add_files(model_owner("crops", "v1-a"), [added])
    assert "over other files: model.onnx has changed, more.txt is not signed" in refused(store, row)
    # signed anew, a second signature is there, and the first is left
    assert len(sign_version(store, row, key)) == 2
    require_signature(store, row)


def test_a_file_that_has_changed_is_not_signed(
    store: Store, row: ModelVersion, tmp_path: Path
) -> None:
    (store.workspace.root / "models/crops/v1-a/model.onnx").write_bytes(b"onny")
    with pytest.raises(SignatureRefused, match=r"model\.onnx is not as it was published"):
        sign_version(store, row, make_key(tmp_path, "a"))
    assert not (store.workspace.root / "models/crops/v1-a/signatures").exists()


def _other_byte(text: str) -> str:
    content = bytearray(base64.b64decode(text))
    content[-1] ^= 1
    return base64.b64encode(bytes(content)).decode()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda b: b["dsseEnvelope"].update(payload=_other_byte(b["dsseEnvelope"]["payload"])),
            "has been changed: a has not signed what it states",
        ),
        (
            lambda b: b["dsseEnvelope"]["signatures"][0].update(
                sig=_other_byte(b["dsseEnvelope"]["signatures"][0]["sig"])
            ),
            "has been changed",
        ),
        (
            lambda b: b["dsseEnvelope"]["signatures"].append(b["dsseEnvelope"]["signatures"][0]),
            "is not a Sigstore bundle of a statement: dsseEnvelope.signatures",
        ),
        (
            lambda b: b["dsseEnvelope"].update(payloadType="text/plain"),
            "is not a Sigstore bundle of a statement: dsseEnvelope.payloadType",
        ),
        (lambda b: b.clear(), "is not a Sigstore bundle of a statement: mediaType"),
        (
            lambda b: b["verificationMaterial"].update(
                x509CertificateChain={"certificates": [{"rawBytes": "AAAA"}]}
            ),
            "has a certificate that cannot be read",
        ),
    ],
    ids=["payload", "signature", "two signatures", "payload type", "empty", "certificate"],
)
def test_a_changed_bundle_is_refused(
    change: Callable[[Any], object],
    message: str,
    store: Store,
    row: ModelVersion,
    tmp_path: Path,
    trusted: Trusted,
) -> None:
    key = make_key(tmp_path, "a")
    trusted("a.pub")
    for bundle in sign_version(store, row, key):
        content = store.workspace.get(bundle.path)
        document = json.loads(content)
        change(document)
        replace(store, bundle.path, json.dumps(document).encode(), row)
        assert message in refused(store, row)
        replace(store, bundle.path, content, row)
    require_signature(store, row)


def test_bundles_of_others_are_refused(
    store: Store, row: ModelVersion, tmp_path: Path, trusted: Trusted
) -> None:
    key = make_key(tmp_path, "a")
    trusted("a.pub")
    other = registered(store, "v1-b", accuracy=0.9)
    files, provenance = sign_version(store, row, key)
    others = sign_version(store, other, key)
    # of another version whose files are equal
    replace(store, files.path, store.workspace.get(others[0].path), row)
    assert "is of 'v1-b', which is another model version" in refused(store, row)
    # a provenance in place of a signature
    replace(store, files.path, store.workspace.get(provenance.path), row)
    assert "is not a statement about the files of a model" in refused(store, row)


def test_provenance_of_another_run_or_data_is_refused(
    store: Store, row: ModelVersion, tmp_path: Path, trusted: Trusted
) -> None:
    key = make_key(tmp_path, "a")
    trusted("a.pub")
    sign_version(store, row, key)
    row.run_id = "run-other"
    with pytest.raises(SignatureRefused, match="has a provenance that names run 'run-v1-a'"):
        require_signature(store, row)
    row.run_id, row.data_digest = "run-v1-a", "1" * 64
    with pytest.raises(SignatureRefused, match="names data of another digest than fields@v1"):
        require_signature(store, row)


# whom one trusts


def test_a_key_is_replaced_and_then_revoked(
    store: Store, row: ModelVersion, tmp_path: Path, trusted: Trusted
) -> None:
    old, new = make_key(tmp_path, "old"), make_key(tmp_path, "new")
    trusted("old.pub", "new.pub")
    first = sign_version(store, row, old)
    require_signature(store, row)
    lost = [{"fingerprint": old.fingerprint, "reason": "laptop stolen"}]
    trusted("old.pub", "new.pub", revoked=lost)
    assert "is signed with a revoked key" in refused(store, row)
    trusted("new.pub", revoked=lost)
    assert "revoked key" in refused(store, row) and "laptop stolen" in refused(store, row)
    trusted("new.pub")
    assert f"the key {old.fingerprint[:12]}…, which" in refused(store, row)
    sign_version(store, row, new)
    trusted("old.pub", "new.pub", revoked=lost)
    require_signature(store, row)
    assert [store.workspace.stat(own.path) for own in first] == first


def test_a_key_is_revoked_by_the_sha256_of_its_file_however_that_is_written(
    store: Store, row: ModelVersion, tmp_path: Path, trusted: Trusted
) -> None:
    sign_version(store, row, make_key(tmp_path, "old"))
    pem = (tmp_path / "old.pub").read_bytes()
    (tmp_path / "old.pub").write_bytes(pem.replace(b"\n", b"\r\n"))
    trusted("old.pub")
    require_signature(store, row)
    lost = {"fingerprint": sha256_of(tmp_path / "old.pub"), "reason": "laptop stolen"}
    trusted("old.pub", revoked=[lost])
    assert "laptop stolen" in refused(store, row)


@pytest.mark.parametrize(
    ("days", "message"),
    [({"until": -1}, "was trusted until"), ({"since": 1}, "is trusted from")],
)
def test_a_key_is_trusted_on_its_days_only(
    days: dict[str, int],
    message: str,
    store: Store,
    row: ModelVersion,
    tmp_path: Path,
    trusted: Trusted,
) -> None:
    sign_version(store, row, make_key(tmp_path, "a"))
    today = now().date()
    trusted("a.pub", **{name: today + timedelta(n) for name, n in days.items()})
    assert message in refused(store, row)
    trusted("a.pub", since=today, until=today)
    require_signature(store, row)


def test_a_key_that_a_bundle_brings_is_not_trusted_for_that(
    store: Store, row: ModelVersion, tmp_path: Path, trusted: Trusted
) -> None:
    """Neither a fingerprint of a trusted key in it, nor a certificate of that name."""
    make_key(tmp_path, "a")
    authority = certify(tmp_path, "root", make_key(tmp_path, "root"))
    trusted("a.pub", "root.crt")
    stranger = make_key(tmp_path, "stranger")
    false_root = certify(tmp_path, "root2", make_key(tmp_path, "root2"))
    false_root = SigningKey(false_root.private, authority.chain)
    forged = certify(tmp_path, "leaf", stranger, false_root)
    sign_version(store, row, SigningKey(forged.private, (*forged.chain, *authority.chain)))
    assert "does not trust" in refused(store, row)
    files, _ = sign_version(store, row, stranger)
    document = json.loads(store.workspace.get(files.path))
    document["verificationMaterial"]["publicKey"]["hint"] = sha256_of(tmp_path / "a.pub")
    replace(store, files.path, json.dumps(document).encode(), row)
    assert "has been changed: a has not signed" in refused(store, row)


def test_a_certificate_is_accepted_by_its_authority(
    store: Store, row: ModelVersion, tmp_path: Path, trusted: Trusted
) -> None:
    authority = certify(tmp_path, "root", make_key(tmp_path, "root"), days=(-9, 9))
    leaf = certify(tmp_path, "leaf", make_key(tmp_path, "leaf"), authority)
    files, _ = sign_version(store, row, leaf)
    trusted("root.crt")
    require_signature(store, row)
    trusted("leaf.crt")
    require_signature(store, row)
    for revoked in (leaf, authority):
        fingerprint = certificate_fingerprint(revoked.chain[0]).upper()
        trusted("root.crt", revoked=[{"fingerprint": fingerprint, "reason": "lost"}])
        assert "revoked" in refused(store, row)
    trusted("root.crt")
    document = json.loads(store.workspace.get(files.path))
    envelope = document["dsseEnvelope"]
    envelope["payload"] = _other_byte(envelope["payload"])
    replace(store, files.path, json.dumps(document).encode(), row)
    assert "has been changed: its certificate has not signed" in refused(store, row)


def test_a_certificate_of_an_unknown_version_is_refused(
    store: Store, row: ModelVersion, tmp_path: Path, trusted: Trusted
) -> None:
    authority = certify(tmp_path, "root", make_key(tmp_path, "root"), days=(-9, 9))
    leaf = certify(tmp_path, "leaf", make_key(tmp_path, "leaf"), authority)
    files, _ = sign_version(store, row, leaf)
    trusted("root.crt")
    document = json.loads(store.workspace.get(files.path))
    own = document["verificationMaterial"]["x509CertificateChain"]["certificates"][0]
    version, unknown = b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x16"
    content = base64.b64decode(own["rawBytes"]).replace(version, unknown)
    own["rawBytes"] = base64.b64encode(content).decode()
    replace(store, files.path, json.dumps(document).encode(), row)
    assert "has a certificate that cannot be read" in refused(store, row)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"days": (-2, -1)}, "is signed with a certificate that is valid from"),
        ({"purpose": ExtendedKeyUsageOID.SERVER_AUTH}, "certificate that is not for signing code"),
    ],
    ids=["expired", "of a web server"],
)
def test_a_certificate_that_cannot_sign_is_refused(
    changes: dict[str, Any],
    message: str,
    store: Store,
    row: ModelVersion,
    tmp_path: Path,
    trusted: Trusted,
) -> None:
    authority = certify(tmp_path, "root", make_key(tmp_path, "root"), days=(-9, 9))
    leaf = certify(tmp_path, "leaf", make_key(tmp_path, "leaf"), authority, **changes)
    sign_version(store, row, leaf)
    trusted("root.crt")
    assert message in refused(store, row)


# settings


def test_signing_settings_that_cannot_be_used_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trusted: Trusted
) -> None:
    assert SigningKey.configured() is None
    make_key(tmp_path, "a")
    certify(tmp_path, "b", make_key(tmp_path, "b"))
    make_key(tmp_path, "curve", ec.SECP256K1())
    for name, message in [
        ("missing.pem", "is not a private key"),
        ("a.pub", "is not a private key"),
        ("curve.pem", "cannot sign models; make an elliptic curve key"),
    ]:
        monkeypatch.setenv("MLOPS_SIGNING_KEY", str(tmp_path / name))
        with pytest.raises(SettingsError, match=message):
            SigningKey.configured()
    monkeypatch.setenv("MLOPS_SIGNING_KEY", str(tmp_path / "a.pem"))
    monkeypatch.setenv("MLOPS_SIGNING_CERTIFICATE", str(tmp_path / "b.crt"))
    with pytest.raises(SettingsError, match="of another key than MLOPS_SIGNING_KEY"):
        SigningKey.configured()
    monkeypatch.delenv("MLOPS_SIGNING_CERTIFICATE")
    monkeypatch.setenv("MLOPS_SIGNING_PASSWORD", "secret")
    with pytest.raises(SettingsError, match=r"a\.pem is not a private key.*: (?!.*secret)"):
        SigningKey.configured()


def test_a_key_with_a_password_and_a_certificate_signs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certified = certify(tmp_path, "a", make_key(tmp_path, "a"))
    locked = certified.private.private_bytes(
        PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    (tmp_path / "a.pem").write_bytes(locked)
    monkeypatch.setenv("MLOPS_SIGNING_KEY", str(tmp_path / "a.pem"))
    monkeypatch.setenv("MLOPS_SIGNING_CERTIFICATE", str(tmp_path / "a.crt"))
    for password in ("", "wrong"):
        monkeypatch.setenv("MLOPS_SIGNING_PASSWORD", password)
        with pytest.raises(SettingsError, match="is not a private key"):
            SigningKey.configured()
    monkeypatch.setenv("MLOPS_SIGNING_PASSWORD", "secret")
    key = SigningKey.configured()
    assert key is not None and key.fingerprint == certified.fingerprint
    assert "secret" not in repr(key)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("signers: []", "signers: List should have at least 1 item"),
        ("signers: [{name: a, file: none.pub}]", "has neither a public key nor certificates"),
        (
            "signers: [{name: a, file: a.pub}, {name: a, file: a.pub}]",
            "several signers are named a",
        ),
        ("signers: [{name: a, file: curve.pub}]", "cannot be the key of a signature"),
        (
            "signers: [{name: a, file: a.pub}]\nrevoked: [{fingerprint: ab, reason: x}]",
            "revoked.0.fingerprint",
        ),
        ("signers: [", r"trust.yaml cannot be read: [^\n]+\Z"),
    ],
)
def test_a_declaration_of_trust_that_cannot_be_used_is_named(
    text: str,
    message: str,
    store: Store,
    row: ModelVersion,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_key(tmp_path, "a")
    make_key(tmp_path, "curve", ec.SECP256K1())
    path = tmp_path / "trust.yaml"
    path.write_text(f"required: true\n{text}\n")
    monkeypatch.setenv("MLOPS_TRUST", str(path))
    with pytest.raises(SettingsError, match=message):
        require_signature(store, row)
