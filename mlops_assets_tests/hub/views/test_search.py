"""The search: what it finds, what it opens at once, and what it shows nobody."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mlops_assets.hub.views.search.found import Found, Kind, understood
from mlops_assets.hub.views.search.search import search
from mlops_assets.principals import Principal, Role, local
from mlops_assets.registry import Registry
from mlops_assets.storage import Workspace
from mlops_assets.store import Store
from mlops_assets_tests.registry.rows import data_version, deployment, model_version, new_run

RUN = "50fc1202-724f-5d60-803b-fdf943e7bf40"
VERSION = "v1-50fc1202"
ANN = Principal("ann", frozenset({Role.SCIENTIST}))


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.services)])
def workspace(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """A data version, a run with tags and a note, its model in production and deployed."""
    url = f"sqlite:///{tmp_path / 'searched.db'}"
    if request.param == "postgresql":
        url = request.getfixturevalue("new_database")()
    store = Store(
        Workspace((tmp_path / "searched").as_uri()), Registry(url).acting(local("tester"))
    )
    registry = store.registry
    registry.publish_data_version(data_version(1, specification={"title": "Äcker am See"}), [])
    registry.tag("fields", "v1", "spring_2026")
    registry.start_run(new_run(RUN, tags={"team": 'north "A"', "feld": "水田"}))
    registry.note_run(RUN, "learning rate was too high; <script>alert(1)</script> 100% of it")
    registry.publish_model_version(row := model_version(VERSION, RUN), [])
    registry.promote(row, [], "production")
    registry.record_deployment(deployment(VERSION))
    yield store
    registry.close()


def hits(found: Found, kind: Kind) -> list[str]:
    return [hit.reference for group in found.groups if group.kind is kind for hit in group.hits]


FOUND = [
    ("FIELD", Kind.DATASET, "fields"),
    ("äcker AM", Kind.DATASET, "fields"),
    ("spring_2026", Kind.DATA_VERSION, "fields@v1"),
    ("fields@spring", Kind.DATA_VERSION, "fields@v1"),
    (f"{1:064d}"[:20], Kind.DATA_VERSION, "fields@v1"),
    ("crops", Kind.MODEL, "crops"),
    ("produc", Kind.MODEL_VERSION, f"crops@{VERSION}"),
    ("50FC12", Kind.RUN, "50fc1202"),
    ("水田", Kind.RUN, "50fc1202"),
    ('north "A"', Kind.RUN, "50fc1202"),
    ("<script>", Kind.RUN, "50fc1202"),
    ("100% of", Kind.RUN, "50fc1202"),
    ("crop_serv", Kind.DEPLOYMENT, "crop_service"),
]


def test_names_tags_notes_and_digests_are_found(workspace: Store) -> None:
    for text, kind, reference in FOUND:
        found = search(workspace, text)
        assert hits(found, kind) == [reference], text
        assert all(hit.path.startswith("/") for group in found.groups for hit in group.hits)


def test_wildcards_syntax_and_endless_text_find_nothing(workspace: Store) -> None:
    for text in ("fields_v1", "\\", "'; DROP TABLE runs; --", "{", '":', "\0", "a" * 10_000, " "):
        assert search(workspace, text).groups == [], text
    # a percent sign is what it is
    (group,) = search(workspace, "%").groups
    assert [hit.reference for hit in group.hits] == ["50fc1202"]


def test_text_is_understood_as_names_have_it() -> None:
    assert understood("  A\u0308cker\u0000\n am\ud800 See ") == ("Äcker am See", "")
    shortened, notice = understood("x" * 10_000)
    assert len(shortened) == 500 and "first 500 characters" in notice


EXACT = {
    "fields@v1": "/data/fields@v1",
    "fields@spring_2026": "/data/fields@spring_2026",
    "crops@production": "/models/crops@production",
    RUN.upper(): f"/runs/{RUN}",
    "50fc1202": f"/runs/{RUN}",
    f"{1:064d}": "/data/fields@v1",
    "fields": None,
    "fields@v9": None,
    "a@b@c": None,
    "../../etc/passwd@v1": None,
}


def test_what_is_named_exactly_is_opened(workspace: Store) -> None:
    for text, path in EXACT.items():
        assert search(workspace, text).exact == path, text


def test_what_is_private_is_neither_found_nor_opened(workspace: Store) -> None:
    registry = workspace.registry
    hidden = data_version(2, visibility="private", created_by="bob", digest="b" * 64)
    registry.publish_data_version(hidden, [])
    registry.tag("fields", "v2", "secret")
    registry.start_run(new_run("bbbbbbbb-0000", data_version="v2", tags={"x": "secret"}))
    registry.note_run("bbbbbbbb-0000", "a secret note")
    of_ann = workspace.acting(ANN)
    for text in ("secret", "fields@v2", "bbbbbbbb", "b" * 64):
        found = search(of_ann, text)
        assert (found.groups, found.exact) == ([], None), text
    assert hits(search(workspace, "secret"), Kind.RUN) == ["bbbbbbbb"]
    assert hits(search(of_ann, "fields"), Kind.DATA_VERSION) == ["fields@v1"]


def test_the_exact_name_comes_first_and_pages_follow_each_other(workspace: Store) -> None:
    for number in range(2, 14):
        workspace.registry.publish_data_version(data_version(number), [])
    (group,) = search(workspace, "fields@v1", [Kind.DATA_VERSION]).groups
    assert (group.total, group.hits[0].reference) == (5, "fields@v1")
    pages = [search(workspace, "fields", [Kind.DATA_VERSION], first, 5) for first in (0, 5, 10, 15)]
    seen = [reference for page in pages for reference in hits(page, Kind.DATA_VERSION)]
    assert len(seen) == len(set(seen)) == 13
