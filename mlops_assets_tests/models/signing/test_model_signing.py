"""Bundles that model-signing (OpenSSF) verifies, and bundles that it makes.

Its program runs in an environment of its own; there is no network.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from mlops_assets.models.signing.bundle import Bundle
from mlops_assets.models.signing.sign import sign_version
from mlops_assets.models.signing.statements import SignedVersion, require_files
from mlops_assets.paths import model_owner
from mlops_assets.store import Store
from mlops_assets_tests.models.signing.keys import certify, make_key
from mlops_assets_tests.models.test_promotion import registered
from mlops_assets_tests.services import require_model_signing


def run(*arguments: str | Path) -> tuple[bool, str]:
    """Return whether model-signing succeeds, and its output."""
    command = [str(require_model_signing()), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode == 0, done.stdout + done.stderr


@pytest.mark.services
@pytest.mark.parametrize("method", ["key", "certificate"])
def test_model_signing_verifies_a_signature(method: str, store: Store, tmp_path: Path) -> None:
    row = registered(store, "v1-a", accuracy=0.9)
    key = make_key(tmp_path, "a")
    trusted: list[str | Path] = ["--public_key", tmp_path / "a.pub"]
    if method == "certificate":
        authority = certify(tmp_path, "root", make_key(tmp_path, "root"), days=(-9, 9))
        key = certify(tmp_path, "a", key, authority)
        trusted = ["--certificate_chain", tmp_path / "root.crt"]
    bundle, _ = sign_version(store, row, key)
    folder = store.workspace.root / "models/crops/v1-a"
    verify = ["verify", method, folder, "--signature", store.workspace.root / bundle.path, *trusted]
    assert run(*verify) == (True, "Verification succeeded\n")
    (folder / "model.onnx").write_bytes(b"onny")
    passed, output = run(*verify)
    assert not passed and "Hash mismatch for 'model.onnx'" in output


@pytest.mark.services
def test_a_bundle_of_model_signing_is_over_the_files(store: Store, tmp_path: Path) -> None:
    row = registered(store, "v1-a", accuracy=0.9)
    key = make_key(tmp_path, "a")
    path = tmp_path / "model.sig"
    folder = store.workspace.root / "models/crops/v1-a"
    assert run("sign", "key", folder, "--private_key", tmp_path / "a.pem", "--signature", path)[0]
    bundle = Bundle.read(path.read_bytes())
    assert bundle.is_signed_by(key.private.public_key())
    published = store.registry.files(model_owner("crops", "v1-a"))
    require_files(bundle.statement, SignedVersion.of(row, published))
