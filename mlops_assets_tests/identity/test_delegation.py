"""Who a run acts for: only what was signed for that very run."""

from __future__ import annotations

import json
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mlops_assets.errors import Forbidden, StorageError
from mlops_assets.identity.delegation import delegate, delegated, delegation_key
from mlops_assets.principals import ALL_ROLES, Principal, Role

ANN = Principal("ann ☂", frozenset({Role.SCIENTIST, Role.VIEWER}))
KEY = b"k" * 32


def test_a_run_acts_for_whom_it_was_signed() -> None:
    assert delegated(delegate(ANN, "run-1", KEY), "run-1", KEY) == ANN


def test_a_statement_that_a_repeated_run_has_copied_is_worth_nothing() -> None:
    assert delegated(delegate(ANN, "run-1", KEY), "run-2", KEY) is None


def _promoted(statement: str) -> str:
    signature, _, text = statement.partition(" ")
    return f"{signature} {json.dumps({**json.loads(text), 'roles': sorted(ALL_ROLES)})}"


@pytest.mark.parametrize(
    "forge",
    [
        _promoted,
        lambda statement: statement.replace("ann", "bob"),
        lambda statement: "0" * 64 + statement[64:],
        lambda statement: "é" + statement[1:],
        lambda statement: statement.partition(" ")[2],
        lambda statement: "",
        lambda statement: f"{statement[:64]} []",
    ],
)
def test_what_was_not_signed_is_refused(forge: object) -> None:
    assert callable(forge)
    with pytest.raises(Forbidden, match="not signed"):
        delegated(forge(delegate(ANN, "run-1", KEY)), "run-1", KEY)


def test_another_key_is_refused_and_named() -> None:
    with pytest.raises(Forbidden, match="MLOPS_DELEGATION_KEY"):
        delegated(delegate(ANN, "run-1", KEY), "run-1", b"x" * 32)


def test_processes_that_start_at_once_have_one_key_that_only_they_read(tmp_path: Path) -> None:
    home = tmp_path / "dagster"
    with ThreadPoolExecutor(8) as threads:
        keys = set(threads.map(lambda _: delegation_key(None, home), range(32)))
    assert len(keys) == 1 and len(keys.pop()) >= 32
    (file,) = home.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_key_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"delegation\.key.*MLOPS_DELEGATION_KEY"):
        delegation_key(None, tmp_path / "file" / "home")
