"""Training data over HTTP: each operation responds as documented, and changes what it may."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from mlops_assets.identity.tokens import create_token
from mlops_assets.principals import Role
from mlops_assets.store import Store
from mlops_assets_tests.conftest import crops_table
from mlops_assets_tests.hub.rest.test_openapi import operations, require_documented
from mlops_assets_tests.hub.serving import caller, hub

PROJECT = "mlops_assets_tests.components.project"


@pytest.fixture
def url(store: Store) -> Iterator[str]:
    """A hub of a project that declares `fields`, which has one version."""
    with hub(store, module=PROJECT_MODULE) as found:
        yield found


PROJECT_MODULE = "committing"


@pytest.fixture(autouse=True)
def project(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "committing.py").write_text(
        f"from {PROJECT} import definitions\n\ndefs = definitions()\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.fixture
def client(url: str) -> Iterator[httpx.Client]:
    with caller(url) as found:
        yield found


READS = {
    "listDatasets": ("datasets", 200),
    "getDataset": ("datasets/fields?page=1&rows=1", 200),
    "getLanding": ("datasets/fields/landing", 200),
    "previewCommit": ("datasets/fields/preview?seeds=2", 200),
    "getDataVersion": ("datasets/fields/v1", 200),
    "getChanges": ("datasets/fields/v1/changes", 200),
    "getDescendants": ("datasets/fields/v1/made", 200),
    "listFiles": ("datasets/fields/v1/files?order=largest&label=wheat", 200),
    "getQuality": ("datasets/fields/v1/quality", 404),
    "getBandStatistics": ("datasets/fields/v1/quality/bands", 404),
    "getQualityReport": ("datasets/fields/v1/quality/report", 404),
    "getDataFigure": ("datasets/fields/v1/figures/sample_map", 404),
    "diffDataVersions": ("datasets/fields/v1/diff/v1", 200),
    "listDifferences": ("datasets/fields/v1/diff/v1/rows?listed=files%20added", 200),
}
WRONG = {
    "getDataset": ("datasets/fields?page=0", 422),
    "listFiles": ("datasets/fields/v1/files?order=name", 422),
    "getDataVersion": ("datasets/fields/v9", 404),
    "getLanding": ("datasets/a%20b/landing", 422),
    "listDifferences": ("datasets/fields/v1/diff/v1/rows?listed=all", 422),
}


def test_each_reading_operation_responds_as_documented(client: httpx.Client) -> None:
    document = client.get("openapi.json").json()
    documented = operations(document)
    for asked in (READS, WRONG):
        for name, (path, status) in asked.items():
            answer = client.get(path)
            assert answer.status_code == status, (name, answer.text)
            require_documented(document, documented[name][2], answer)
    tagged = [
        name for name, (_, _, each) in documented.items() if each["tags"] == ["training data"]
    ]
    writing = {"startCommit", "giveTag", "setDataVisibility"}
    assert set(tagged) == {*READS, *writing}


def test_tags_and_visibility_are_set_by_whoever_may(
    store: Store, client: httpx.Client, url: str
) -> None:
    document = client.get("openapi.json").json()
    documented = operations(document)

    def put(name: str, path: str, status: int, of: httpx.Client = client, **body: Any) -> Any:
        answer = of.put(path, json=body)
        assert answer.status_code == status, answer.text
        require_documented(document, documented[name][2], answer)
        return answer.json()

    tag = "datasets/fields/tags/harvest-2024"
    assert put("giveTag", tag, 200, version="v1")["tags"] == ["harvest-2024"]
    assert put("giveTag", tag, 200, version="harvest-2024")["version"] == "v1"
    put("giveTag", "datasets/fields/tags/v7", 422, version="v1")
    put("giveTag", tag, 404, version="v9")
    see = "datasets/fields/v1/visibility"
    _, token = create_token(store.registry, "ann", [Role.OPERATOR], timedelta(days=1))
    with caller(url, token) as operator:
        changed = put("setDataVisibility", see, 200, operator, visibility="published", reason="x")
    assert (changed["previous"], changed["visibility"]) == ("workspace", "published")
    put("setDataVisibility", see, 422, visibility="everybody")
    _, token = create_token(store.registry, "vic", [Role.VIEWER], timedelta(days=1))
    with caller(url, token) as viewer:
        put("giveTag", "datasets/fields/tags/mine", 403, viewer, version="v1")
        put("setDataVisibility", see, 403, viewer, visibility="private")
        assert viewer.post("datasets/fields/commits", json={}).status_code == 403
        assert viewer.get("datasets/fields/preview").status_code == 403
    row = store.registry.data_versions("fields")[0]
    assert (row.visibility, row.visibility_reason) == ("published", "x")
    assert store.registry.tags("fields") == {"harvest-2024": "v1"}


def test_a_commit_needs_dagster_and_the_landing_that_was_previewed(
    store: Store, client: httpx.Client
) -> None:
    document = client.get("openapi.json").json()
    operation = operations(document)["startCommit"][2]
    seen = client.get("datasets/fields/preview").json()["fingerprint"]
    folder = store.workspace.root / "landing/fields"
    crops_table(12).to_csv(folder / "samples.csv", index=False)
    for body, status in (({"fingerprint": seen}, 409), ({}, 503), ({"tag": "x"}, 422)):
        answer = client.post("datasets/fields/commits", json=body)
        assert answer.status_code == status, answer.text
        require_documented(document, operation, answer)
    assert [row.version for row in store.registry.data_versions("fields")] == ["v1"]
