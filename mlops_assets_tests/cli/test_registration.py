"""`mlops registration`, with the hub of another workspace."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from mlops_assets.cli import app
from mlops_assets.datasets.commit.commit import Commit
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.errors import Forbidden, NotFound, SettingsError
from mlops_assets.names import Reference
from mlops_assets.principals import Visibility, local
from mlops_assets.registry import Registry
from mlops_assets.stac.datasets import write_dataset_record
from mlops_assets.stac.visibility import set_visibility
from mlops_assets.storage import Workspace
from mlops_assets.store import Store
from mlops_assets_tests.hub.serving import TOKEN, hub


def registration(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["registration", *arguments])


def listed() -> dict[str, Any]:
    (found,) = json.loads(registration("list", "--json").stdout)
    return dict(found)


@pytest.fixture
def published(store: Store, land_table: Callable[..., Commit]) -> Store:
    """A workspace with a published data version."""
    land_table()
    reference = Reference("fields", "v1")
    committed = CommittedDataset.open(store.workspace, store.registry, reference)
    write_dataset_record(store.workspace, store.registry, committed)
    set_visibility(store, committed.row, Visibility.PUBLISHED)
    return store


@pytest.fixture
def other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of another workspace's API, which the project declares as a catalogue."""
    workspace = Workspace((tmp_path / "other").as_uri())
    registry = Registry(f"sqlite:///{workspace.root / 'registry.db'}").acting(local("ann"))
    monkeypatch.setenv("MLOPS_CATALOGUES", "catalogues.yaml")
    monkeypatch.setenv("OTHER_TOKEN", "unknown-token")
    with hub(Store(workspace, registry)) as url:
        Path("catalogues.yaml").write_text(
            f"catalogues:\n  - name: other\n    url: {url}/stac\n"
            "    access: {token: {variable: OTHER_TOKEN}}\n"
        )
        yield f"{url}/stac"
    registry.close()


def test_versions_are_listed_registered_and_withdrawn(
    published: Store, other: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert listed() == {
        "version": "fields@v1",
        "catalogue": "other",
        "state": "waiting",
        "since": None,
        "attempts": 0,
        "error": None,
        "retry": None,
        "withdrawn": None,
        "reason": None,
        "url": f"{other}/collections/fields-v1",
    }
    refused = registration("run")
    assert refused.exit_code == 1
    assert "fields@v1 with other: " in refused.output
    row = listed()
    assert (row["state"], row["attempts"]) == ("registering", 1)
    assert "401" in row["error"]
    monkeypatch.setenv("OTHER_TOKEN", TOKEN)
    registered = registration("run", "--retry")
    assert registered.exit_code == 0
    assert f"fields@v1 with other: registered: {row['url']}" in registered.output
    assert "nothing is due" in registration("run").output
    withdrawn = registration(
        "withdraw", "fields@v1", "--catalogue", "other", "--delete", "--reason", "wrong labels"
    )
    assert "fields@v1 with other: deleted" in withdrawn.output
    row = listed()
    assert (row["state"], row["withdrawn"], row["reason"]) == ("deleted", "deleted", "wrong labels")
    assert "deleted" in registration("register", "fields").output
    again = registration("register", "fields@v1", "--catalogue", "other")
    assert f"fields@v1 with other: registered: {row['url']}" in again.output


def test_what_cannot_be_registered_is_refused_with_what_to_do(
    published: Store, other: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for arguments, message in (
        (("register", "nothing@v1"), "no dataset or model 'nothing'"),
        (("register", "fields@v1", "--catalogue", "eo"), "declares other"),
    ):
        error = registration(*arguments).exception
        assert isinstance(error, NotFound)
        assert message in str(error)
    monkeypatch.setenv("MLOPS_ROLES", "viewer")
    assert isinstance(registration("register", "fields@v1").exception, Forbidden)
    monkeypatch.delenv("MLOPS_CATALOGUES")
    error = registration("list").exception
    assert isinstance(error, SettingsError)
    assert "docs/registration.md" in str(error)
