"""Heads of the log: printed, signed, kept elsewhere and compared."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from mlops_assets.errors import HeadRefused, NotFound, SettingsError
from mlops_assets.paths import Owner
from mlops_assets.registry import Registry
from mlops_assets.registry.log.heads import (
    Head,
    head_of,
    head_problems,
    read_head,
    verify_kept_head,
)
from mlops_assets.registry.log.replay import Replayed, entries_of, replay
from mlops_assets.settings import Settings
from mlops_assets.storage import FileStat


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """A registry whose log is empty."""
    return Registry(f"sqlite:///{tmp_path / 'registry.db'}")


def publish(registry: Registry, *names: str) -> Replayed:
    """Publish a file of each name in a transaction of its own, and replay the log."""
    for name in names:
        registry.add_files(Owner("catalog"), [FileStat(name, "a" * 64, 1)])
    with registry.snapshot() as connection:
        return replay(entries_of(connection))


def keys(folder: Path) -> tuple[Path, Path]:
    """An Ed25519 key pair, as openssl writes it."""
    private = Ed25519PrivateKey.generate()
    pair = folder / "private.pem", folder / "public.pem"
    pair[0].write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    pair[1].write_bytes(
        private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    return pair


def test_a_log_contains_its_heads_and_no_others(registry: Registry) -> None:
    publish(registry, "a")
    first = head_of(registry)
    log = publish(registry, "b", "c")
    assert (log.seq, log.sha256) == (3, head_of(registry).sha256)
    for head in (first, head_of(registry)):
        assert list(head_problems(head, log)) == []
    assert "has no entry 4" in next(head_problems(Head(seq=4, sha256="0" * 64), log))
    assert "entry 2 of the log has sha256" in next(
        head_problems(Head(seq=2, sha256=first.sha256), log)
    )


def test_a_log_without_entries_has_no_head(registry: Registry) -> None:
    with pytest.raises(NotFound, match="no entry yet"):
        head_of(registry)


def test_a_signature_is_of_one_head_and_one_key(registry: Registry, tmp_path: Path) -> None:
    publish(registry, "a")
    private, public = keys(tmp_path)
    signed = head_of(registry).signed(private)
    assert read_head(signed.model_dump_json()) == signed
    assert signed.is_signed_by(public)
    (tmp_path / "other").mkdir()
    assert not signed.is_signed_by(keys(tmp_path / "other")[1])
    assert not signed.model_copy(update={"seq": 2}).is_signed_by(public)
    assert not signed.model_copy(update={"signature": "no base64"}).is_signed_by(public)
    assert not head_of(registry).is_signed_by(public)
    for refused in (lambda: signed.signed(public), lambda: signed.is_signed_by(private)):
        with pytest.raises(HeadRefused, match="is not the PEM file of an Ed25519"):
            refused()


@pytest.mark.parametrize(
    "text", ["", "1", "1:abc", "0:" + "a" * 64, "{}", "[]", '{"seq": 1, "sha256": "x"}']
)
def test_what_is_not_a_head_is_refused(text: str) -> None:
    with pytest.raises(HeadRefused, match="is not a head"):
        read_head(text)


def test_heads_are_left_elsewhere_while_the_log_contains_the_last(
    registry: Registry, tmp_path: Path
) -> None:
    folder = tmp_path / "elsewhere"
    log = publish(registry, "a")
    for expected in (1, 1):
        assert verify_kept_head(folder.as_uri(), tmp_path / "cache", log) == []
        assert len(list(folder.iterdir())) == expected
    assert verify_kept_head(folder.as_uri(), tmp_path / "cache", publish(registry, "b")) == []
    assert len(list(folder.iterdir())) == 2
    (problem,) = verify_kept_head(folder.as_uri(), tmp_path / "cache", log)
    assert "has no entry 2" in problem
    (folder / "0000000002.json").write_text("nonsense")
    (problem,) = verify_kept_head(folder.as_uri(), tmp_path / "cache", log)
    assert "not a head" in problem


def test_a_place_for_heads_in_the_workspace_is_refused(tmp_path: Path) -> None:
    settings = Settings.from_environment({"MLOPS_LOG_HEAD": "heads"}, tmp_path)
    assert settings.log_head == (tmp_path / "heads").as_uri()
    with pytest.raises(SettingsError, match="is in the workspace"):
        Settings.from_environment({"MLOPS_LOG_HEAD": "workspace/heads"}, tmp_path)
