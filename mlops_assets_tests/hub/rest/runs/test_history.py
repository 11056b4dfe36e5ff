"""The history of runs over HTTP: documented responses, remarks of those who may, bad input."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

import httpx
import jsonschema
import pytest

from mlops_assets.identity.tokens import create_token
from mlops_assets.principals import Role
from mlops_assets.store import Store
from mlops_assets_tests.hub.rest.test_openapi import operations, require_documented
from mlops_assets_tests.hub.serving import caller, hub
from mlops_assets_tests.registry.rows import new_run


@pytest.fixture
def url(store: Store) -> Iterator[str]:
    """The hub, with two runs."""
    for number in (1, 2):
        row = new_run(
            f"run-{number}", metrics={"f1": number / 4, "nan": math.nan}, tags={"t": "=1"}
        )
        store.registry.start_run(row)
        store.registry.log(f"run-{number}", [(0, "f1", 0, 0.5, 1e9)])
    with hub(store) as found:
        yield found


def client_of(store: Store, url: str, role: Role) -> AbstractContextManager[httpx.Client]:
    return caller(url, create_token(store.registry, "ann", [role], timedelta(days=1))[1])


def test_reading_responds_as_documented(store: Store, url: str) -> None:
    with client_of(store, url, Role.VIEWER) as client:
        document = client.get("openapi.json").json()
        documented = operations(document)

        def get(name: str, path: str, status: int = 200) -> httpx.Response:
            answer = client.get(path)
            assert answer.status_code == status, answer.text
            if answer.headers["content-type"].startswith("text/"):
                assert (
                    answer.headers["content-type"]
                    in (documented[name][2]["responses"]["200"]["content"])
                )
            elif name == "compareRuns" and status == 200:
                schema = documented[name][2]["responses"]["200"]["content"]["application/json"]
                jsonschema.Draft202012Validator(
                    {**schema["schema"], "components": document["components"]}
                ).validate(answer.json())
            else:
                require_documented(document, documented[name][2], answer)
            return answer

        table = get("listRuns", "runs?sort=-f1&columns=f1,nan,tags.t&limit=1").json()
        assert table["rows"] == [{"run_id": "run-2", "values": [0.5, "NaN", "=1"]}]
        assert (table["total"], table["columns"]) == (2, ["f1", "nan", "tags.t"])
        assert "there is f1" in get("listRuns", "runs?where=f2>1", 404).json()["detail"]
        assert "cannot be read" in get("listRuns", "runs?where=f1>", 422).json()["detail"]
        get("listRuns", "runs?limit=501", 422)
        assert "run-1,'=1" in get("listRunsAsCsv", "runs.csv?columns=tags.t").text
        get("listRunsAsCsv", "runs.csv?where=f2>1", 404)
        assert "f1" in get("listRunColumns", "runs/columns").json()["names"]
        assert get("getRunRecord", "runs/run-1/record").json()["metrics"]["nan"] == "NaN"
        assert get("getRunDocument", "runs/run-1/run.json").json()["run_id"] == "run-1"
        assert get("getRunPoints", "runs/run-1/points.csv").text.splitlines()[1].startswith("0,f1")
        assert get("getRunCurves", "runs/run-1/curves").json()["next"] == 1
        assert get("getRunOutput", "runs/run-1/output").json()["text"] == ""
        for path in ("record", "run.json", "points.csv", "curves", "output"):
            get("getRunRecord", f"runs/other/{path}", 404)
        compared = get("compareRuns", "runs/compare?runs=run-1,run-2").json()
        assert [each["run_id"] for each in compared["runs"]] == ["run-1", "run-2"]
        for form in ("html", "md", "csv"):
            get("compareRuns", f"runs/compare?runs=run-1,run-2&format={form}")
        get("compareRuns", "runs/compare?runs=run-1", 422)


def test_scientists_note_and_tag_and_viewers_may_not(store: Store, url: str) -> None:
    with client_of(store, url, Role.SCIENTIST) as client:
        document = client.get("openapi.json").json()
        documented = operations(document)

        def post(operation: str, path: str, status: int, /, **body: Any) -> Any:
            answer = client.post(path, json=body)
            assert answer.status_code == status, answer.text
            require_documented(document, documented[operation][2], answer)
            return answer.json()

        noted = post("noteRun", "runs/run-1/notes", 200, text="<b>größer</b>")
        assert [(note["text"], note["noted_by"]) for note in noted["notes"]] == [
            ("<b>größer</b>", "ann")
        ]
        tagged = post("tagRun", "runs/run-1/tags", 200, name="paper", value="yes")
        assert {"name": "paper", "value": "yes", "removable": True} in tagged["tags"]
        removed = post("tagRun", "runs/run-1/tags", 200, name="paper", value=None)
        assert [tag["name"] for tag in removed["tags"]] == ["t"]
        post("tagRun", "runs/run-1/tags", 409, name="t", value=None)
        post("tagRun", "runs/run-1/tags", 404, name="other", value=None)
        post("tagRun", "runs/run-1/tags", 422, name='a"b', value="c")
        post("noteRun", "runs/run-1/notes", 422, text=" ")
        post("noteRun", "runs/other/notes", 404, text="a")
    with client_of(store, url, Role.VIEWER) as client:
        assert client.post("runs/run-1/notes", json={"text": "a"}).status_code == 403
        assert client.post("runs/run-1/tags", json={"name": "a", "value": "b"}).status_code == 403
    assert len(store.registry.notes("run-1")) == 1
