"""`mlops token`: what is printed once, what is listed, and what a limited user may not."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from mlops_assets.cli import app
from mlops_assets.errors import Forbidden, NameRefused, NotFound, SettingsError
from mlops_assets.identity.tokens import principal_of
from mlops_assets.principals import Principal, Role
from mlops_assets.store import Store


def token(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["token", *arguments])


def listed() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(token("list", "--json").stdout)
    return found


def test_a_token_is_printed_once_and_revoked_by_its_id_itself_or_its_name(store: Store) -> None:
    assert "no token yet" in token("list").stdout
    text = token(
        "create", "ann", "--role", "scientist", "--role", "viewer", "--expires", "8w"
    ).stdout.strip()
    assert principal_of(store.registry, text) == Principal(
        "ann", frozenset({Role.SCIENTIST, Role.VIEWER})
    )
    made = json.loads(token("create", "ci", "--role", "viewer", "--json").stdout)
    assert principal_of(store.registry, made["token"]) == Principal("ci", frozenset({Role.VIEWER}))
    first, second = store.registry.tokens()
    assert (first.expires - first.created, second.expires - second.created) == (
        timedelta(weeks=8),
        timedelta(days=30),
    )
    everything = token("list").stdout + token("list", "--json").stdout
    for shown in (text, made["token"]):
        _, token_id, secret = shown.split("_")
        assert token_id in everything and secret not in everything
    assert first.sha256 not in everything
    revoked = token("revoke", text)
    assert (
        f"token {first.id} of ann is revoked" in revoked.output
        and text.split("_")[2] not in revoked.output
    )
    assert "is revoked already" in token("revoke", "ann").stdout
    assert [row["state"] for row in listed()] == ["revoked", "valid"]
    for unknown in ("somebody", f"mlops_{'0' * 12}_{'1' * 64}"):
        missing = token("revoke", unknown)
        assert isinstance(missing.exception, NotFound) and "1" * 64 not in str(missing.exception)


@pytest.mark.parametrize("expires", ["0d", "-1d", "30", "d", "1.5d", "99999d", "1y", "30d "])
def test_an_expiry_that_is_no_time_is_wrong_usage(store: Store, expires: str) -> None:
    assert token("create", "ann", "--role", "viewer", f"--expires={expires}").exit_code == 2
    assert (
        token("create", "ann").exit_code == token("create", "ann", "--role", "boss").exit_code == 2
    )
    assert listed() == []


def test_names_that_mislead_are_refused(store: Store) -> None:
    for name in ("", " ann", "ann\n", "\x1b[31mann", "\u202enna", "api-token", "a" * 256):
        assert isinstance(token("create", name, "--role", "viewer").exception, NameRefused), name
    assert listed() == []


def test_a_user_with_limited_roles_is_refused(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for roles, arguments in (
        ("viewer,scientist", ("list",)),
        ("viewer", ("create", "ann", "--role", "viewer")),
        (" operator ", ("create", "ann", "--role", "approver")),
    ):
        monkeypatch.setenv("MLOPS_ROLES", roles)
        assert isinstance(token(*arguments).exception, Forbidden)
    for roles in (",", "viewer,", "boss", "Viewer"):
        monkeypatch.setenv("MLOPS_ROLES", roles)
        assert isinstance(token("list").exception, SettingsError), roles
    monkeypatch.delenv("MLOPS_ROLES")
    assert listed() == []
