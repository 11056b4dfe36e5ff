"""`mlops verify` and `mlops log head`, as a person uses them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import text

from mlops_assets.paths import Owner
from mlops_assets.store import Store
from mlops_assets_tests.cli.conftest import Mlops
from mlops_assets_tests.registry.log.test_heads import keys


@pytest.fixture
def published(store: Store) -> Store:
    """A workspace with two files, published one after the other."""
    for name in ("a", "b"):
        store.registry.add_files(
            Owner("catalog"), [store.workspace.put(f"catalog/{name}.json", b"{}")]
        )
    return store


def test_a_log_without_entries_has_no_head(store: Store, mlops: Mlops) -> None:
    failed = mlops("log", "head")
    assert (failed.code, "no entry yet" in failed.err) == (1, True)
    assert mlops("verify").code == 0


def test_a_head_that_is_kept_is_found_again(published: Store, mlops: Mlops, tmp_path: Path) -> None:
    head = mlops("log", "head").out.strip()
    assert head.startswith("2:")
    (tmp_path / "head").write_text(head + "\n")
    published.registry.add_files(
        Owner("catalog"), [published.workspace.put("catalog/c.json", b"{}")]
    )
    for given in (head, str(tmp_path / "head")):
        well = mlops("verify", "--head", given)
        assert (well.code, "3 entries of its log" in well.out) == (0, True)
    failed = mlops("verify", "--head", "2:" + "0" * 64)
    assert (failed.code, "entry 2 of the log has sha256" in failed.err) == (1, True)
    assert mlops("verify", "--head", "nonsense").code == 1


def test_a_signed_head_must_be_signed_by_the_key(
    published: Store, mlops: Mlops, tmp_path: Path
) -> None:
    private, public = keys(tmp_path)
    (tmp_path / "signed.json").write_text(mlops("log", "head", "--sign", str(private)).out)
    signed = ("verify", "--head", str(tmp_path / "signed.json"), "--key")
    assert mlops(*signed, str(public)).code == 0
    (tmp_path / "other").mkdir()
    failed = mlops(*signed, str(keys(tmp_path / "other")[1]))
    assert (failed.code, "is not signed with" in failed.err) == (1, True)
    assert mlops("verify", "--key", str(public)).code == 2
    assert mlops("log", "head", "--sign", str(public)).code == 1


def test_everything_that_is_wrong_is_listed_at_once(published: Store, mlops: Mlops) -> None:
    published.workspace.put("catalog/a.json", b"[]")
    with published.registry._engine.begin() as connection:
        connection.execute(text("UPDATE files SET owner = 'nobody' WHERE path = 'catalog/b.json'"))
    failed = mlops("verify", "--json")
    assert (failed.code, failed.json["passed"], failed.json["entries"]) == (1, False, 2)
    assert [problem.split(": ")[0] for problem in failed.json["problems"]] == [
        "files catalog/b.json was changed in the registry without an entry of its log",
        "catalog/a.json",
    ]
    for problem in failed.json["problems"]:
        assert problem in failed.err


def test_the_head_is_left_where_the_settings_say(
    published: Store, mlops: Mlops, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_LOG_HEAD", str(tmp_path / "elsewhere"))
    assert mlops("verify").code == 0
    (kept,) = (tmp_path / "elsewhere").iterdir()
    kept.write_text(json.dumps({"seq": 2, "sha256": "0" * 64}))
    assert mlops("verify").code == 1
