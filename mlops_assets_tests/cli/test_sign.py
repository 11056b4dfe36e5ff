"""`mlops model sign`, and what signed versions are in records and for other commands."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlops_assets.datasets.commit.commit import Commit
from mlops_assets.models.record import record_version
from mlops_assets.models.verify import verify_all
from mlops_assets.paths import model_item_key
from mlops_assets.registry import ModelVersion
from mlops_assets.store import Store
from mlops_assets_tests.cli.conftest import Mlops
from mlops_assets_tests.models.signing.keys import make_key, sign_with, trust
from mlops_assets_tests.training.example_trainers import lifecycle, model_specification


def signatures(store: Store, row: ModelVersion) -> dict[str, Any]:
    """Return the assets of the record that are signatures."""
    item = json.loads(store.workspace.get(model_item_key(row.model, row.version)))
    return {name: asset for name, asset in item["assets"].items() if "signature" in asset["roles"]}


def test_an_older_version_is_signed_by_command_and_a_new_one_when_it_is_recorded(
    store: Store,
    land_table: Callable[..., Commit],
    mlops: Mlops,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    land_table()
    specification = model_specification()
    row = lifecycle(store, specification, recorded=True)
    subject = f"crops@{row.version}"
    assert signatures(store, row) == {}
    without = mlops("model", "sign", "crops")
    assert (without.code, "MLOPS_SIGNING_KEY" in without.err) == (1, True)
    key, later = make_key(tmp_path, "a"), make_key(tmp_path, "b")
    trust(monkeypatch, tmp_path, {"name": "a", "file": "a.pub"}, {"name": "b", "file": "b.pub"})
    unsigned = mlops("model", "verify", "crops")
    assert (unsigned.code, f"{subject} has no signature" in unsigned.err) == (1, True)
    sign_with(monkeypatch, tmp_path, "a")
    assert mlops("model", "sign", "crops").out.startswith(f"{subject} is signed: models/crops/")
    assert "was signed with this key before" in mlops("model", "sign", "crops").out
    assert mlops("model", "verify", "crops").code == 0
    assets = signatures(store, row)
    assert [name.partition("-")[0] for name in assets] == [
        f"provenance_{key.fingerprint[:12]}",
        f"signature_{key.fingerprint[:12]}",
    ]
    types = {asset["type"] for asset in assets.values()}
    assert types == {"application/vnd.dev.sigstore.bundle.v0.3+json"}
    # recording again with the next key signs again
    sign_with(monkeypatch, tmp_path, "b")
    record_version(store, specification, row)
    assert len(signatures(store, row)) == 4 and assets.items() <= signatures(store, row).items()
    assert any(later.fingerprint[:12] in name for name in signatures(store, row))
    assert verify_all(store).problems == []


def test_doctor_names_a_key_that_is_not_trusted_before_anything_is_signed_with_it(
    store: Store, mlops: Mlops, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def signing() -> list[tuple[str, bool, str]]:
        rows = mlops("doctor", "--json").json
        named = ("trust", "signing key", "signing")
        return [(own["what"], own["well"], own["detail"]) for own in rows if own["what"] in named]

    assert signing() == []
    for name in ("a", "b"):
        make_key(tmp_path, name)
    sign_with(monkeypatch, tmp_path, "a")
    trust(monkeypatch, tmp_path, {"name": "release", "file": "a.pub"})
    (trusted, key) = signing()
    assert trusted[:2] == ("trust", True) and key[1] and key[2].endswith("trusted as release")
    sign_with(monkeypatch, tmp_path, "b")
    (_, what) = signing()
    assert what[1] is False and "does not trust" in what[2]
    sign_with(monkeypatch, tmp_path, "none")
    (what,) = signing()
    assert what[1] is False and "is not a private key" in what[2]
