"""Versions are visible to whom their visibility names, in everything that the registry returns."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from mlops_assets.errors import Conflict, Forbidden, NotFound
from mlops_assets.names import Reference
from mlops_assets.principals import GUEST_ROLES, SHARED_NAME, Principal, Role, Visibility
from mlops_assets.registry import DataVersion, ModelVersion, Registry, Run
from mlops_assets.registry.log.replay import differences, entries_of, replay
from mlops_assets.registry.records.rows import PublishedRecords
from mlops_assets.registry.search.run_search import search_runs
from mlops_assets_tests.registry.rows import data_version, map_row, model_version, new_run

SCIENTIST = frozenset({Role.SCIENTIST})


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.services)])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Registry]:
    """Three data versions of ann, each with a run; of v1 a private, of v3 an open model version."""
    url = f"sqlite:///{tmp_path / 'registry.db'}"
    if request.param == "postgresql":
        url = request.getfixturevalue("new_database")()
    opened = Registry(url)
    ann = opened.acting(Principal("ann", SCIENTIST))
    for number, visibility in enumerate(("published", "private", "workspace"), 1):
        ann.publish_data_version(data_version(number, created_by="ann", visibility=visibility), [])
        ann.start_run(
            new_run(
                f"run-{number}",
                data_version=f"v{number}",
                created_by="ann",
                parameters={f"p{number}": 1},
            )
        )
    ann.tag("fields", "v2", "secret")
    for version, number in (("v1-00000000", 1), ("v3-00000000", 3)):
        row = model_version(version, f"run-{number}")
        row.data_version = f"v{number}"
        ann.publish_model_version(row, [])
        ann.promote(row, [], "candidate")
        opened.decide(row, "deprecated", "old", {})
        ann.publish_map(map_row(version), PublishedRecords({}, []))
    ann.set_visibility(ann.model_version(Reference("crops", "v1-00000000")), Visibility.PRIVATE)
    yield opened
    opened.close()


def seen(registry: Registry) -> dict[str, object]:
    return {
        "data": [row.version for row in registry.data_versions()],
        "tags": registry.tags("fields"),
        "runs": sorted(run.run_id for run in registry.runs()),
        "found": sorted(run.run_id for run in search_runs(registry)),
        "trained": sorted(registry.trained_versions("crops")),
        "models": [row.version for row in registry.model_versions()],
        "moved": [row.version for row in registry.promotions("crops")],
        "decided": [row.version for row in registry.decisions("crops")],
        "maps": sorted(row.version for row in registry.maps()),
        "deprecated": sorted(version for _, version in registry.deprecated_versions()),
    }


ALL = {
    "data": ["v1", "v2", "v3"],
    "tags": {"secret": "v2"},
    "runs": ["run-1", "run-2", "run-3"],
    "found": ["run-1", "run-2", "run-3"],
    "trained": ["v1", "v2", "v3"],
    "models": ["v1-00000000", "v3-00000000"],
    "moved": ["v1-00000000", "v3-00000000"],
    "decided": ["v1-00000000", "v3-00000000"],
    "maps": ["v1-00000000", "v3-00000000"],
    "deprecated": ["v1-00000000", "v3-00000000"],
}
OF_OTHERS = {
    "data": ["v1", "v3"],
    "tags": {},
    "runs": ["run-3"],
    "found": ["run-3"],
    "trained": ["v3"],
    "models": ["v3-00000000"],
    "moved": ["v3-00000000"],
    "decided": ["v3-00000000"],
    "maps": ["v3-00000000"],
    "deprecated": ["v3-00000000"],
}


@pytest.mark.parametrize(
    ("name", "role", "expected"),
    [
        ("ann", Role.SCIENTIST, ALL),
        ("eve", Role.OPERATOR, ALL),
        ("bob", Role.SCIENTIST, OF_OTHERS),
        ("bob", Role.VIEWER, OF_OTHERS),
    ],
)
def test_private_versions_are_for_their_creator_and_operators(
    registry: Registry, name: str, role: Role, expected: dict[str, object]
) -> None:
    assert seen(registry.acting(Principal(name, frozenset({role})))) == expected


def test_guests_see_what_is_published(registry: Registry) -> None:
    guest = registry.acting(Principal("anonymous", GUEST_ROLES))
    with guest.reading(Role.GUEST) as session:
        assert session.scalars(select(DataVersion.version)).all() == ["v1"]
        assert session.get(DataVersion, ("fields", "v3")) is None
        assert session.scalars(select(ModelVersion)).all() == []
        assert session.scalars(select(Run)).all() == []
    with pytest.raises(Forbidden, match="needs the role viewer"):
        guest.data_versions()


def test_what_is_hidden_is_not_known(registry: Registry) -> None:
    bob = registry.acting(Principal("bob", SCIENTIST))
    for reference in ("v2", "secret"):
        with pytest.raises(NotFound, match=rf"fields@{reference} is not known; fields has v1, v3"):
            bob.data_version(Reference("fields", reference))
    with pytest.raises(NotFound):
        bob.model_version(Reference("crops", "v1-00000000"))
    with pytest.raises(NotFound):
        bob.run("run-2")
    with pytest.raises(NotFound, match=r"no run has a parameter 'p2'; .*there is params.p3"):
        search_runs(bob, where="params.p2 = 1")


def test_what_is_hidden_is_not_replaced(registry: Registry) -> None:
    bob = registry.acting(Principal("bob", SCIENTIST))
    assert bob.next_number("fields") == 4
    with pytest.raises(Forbidden, match="bob may not see the data version of fields that has this"):
        bob.data_version_with("fields", f"{2:064d}")
    for record in (bob.start_run, lambda run: bob.put_run(run, [])):
        with pytest.raises(Conflict, match="run id run-2 is taken"):
            record(new_run("run-2", created_by="bob"))
    assert registry.run("run-2").created_by == "ann"


def test_what_nobody_is_known_to_have_created_is_for_operators(registry: Registry) -> None:
    registry.start_run(new_run("run-5", data_version="v3"))
    row = model_version("v3-00000005", "run-5")
    row.data_version, row.visibility = "v3", Visibility.PRIVATE
    registry.publish_model_version(row, [])
    assert registry.run("run-5").created_by is None
    bob = registry.acting(Principal("bob", SCIENTIST))
    assert bob.runs(run_id="run-5") == []
    assert bob.model_versions("crops", version=row.version) == []


def test_a_creator_or_an_operator_changes_it_and_the_log_states_why(registry: Registry) -> None:
    row = registry.data_version(Reference("fields", "v3"))
    for role in (Role.SCIENTIST, Role.APPROVER):
        with pytest.raises(Forbidden, match=r"bob may not make fields@v3 private: .*creator, ann"):
            registry.acting(Principal("bob", frozenset({role}))).set_visibility(
                row, Visibility.PRIVATE
            )
    ann = registry.acting(Principal("ann", SCIENTIST))
    ann.set_visibility(row, Visibility.PRIVATE, "under embargo")
    seq, _ = registry.newest_entry() or (0, "")
    (entry,) = registry.log_texts(seq, seq)
    for stated in ('"principal":"ann"', "make fields@v3 private", "under embargo"):
        assert stated in entry
    eve = registry.acting(Principal("eve", frozenset({Role.OPERATOR})))
    eve.set_visibility(row, Visibility.PUBLISHED)
    again = registry.data_version(Reference("fields", "v3"))
    assert (again.visibility, again.visibility_reason) == ("published", None)
    before = registry.newest_entry()
    eve.set_visibility(row, Visibility.PUBLISHED, "again")
    assert registry.newest_entry() == before
    with registry.snapshot() as connection:
        assert list(differences(connection, replay(entries_of(connection)))) == []
        connection.exec_driver_sql("UPDATE data_versions SET visibility = 'published'")
        found = list(differences(connection, replay(entries_of(connection))))
    assert [line for line in found if "fields/v2" in line and "was 'private'" in line] == found


def test_rows_that_an_earlier_release_has_logged_are_as_they_were(registry: Registry) -> None:
    for row in registry.data_versions():
        registry.set_visibility(row, Visibility.WORKSPACE)
    with registry.snapshot() as connection:
        expected = replay(entries_of(connection))
        for columns in expected.rows["data_versions"].values():
            del columns["visibility"]
            columns.pop("visibility_reason", None)
        found = list(differences(connection, expected))
    assert found == []


@pytest.mark.parametrize(
    ("default", "data", "name", "expected"),
    [
        ("private", "workspace", "ann", "private"),
        ("published", "workspace", "ann", "workspace"),
        ("published", "published", "ann", "published"),
        ("private", "workspace", SHARED_NAME, "workspace"),
        ("workspace", "private", "ann", "private"),
    ],
)
def test_a_new_version_is_no_more_visible_than_its_inputs(
    registry: Registry,
    monkeypatch: pytest.MonkeyPatch,
    default: str,
    data: str,
    name: str,
    expected: str,
) -> None:
    acting = registry.acting(Principal(name, SCIENTIST))
    monkeypatch.setenv("MLOPS_VISIBILITY", data)
    acting.publish_data_version(data_version(4, created_by=name), [])
    monkeypatch.setenv("MLOPS_VISIBILITY", default)
    acting.start_run(new_run("run-4", data_version="v4", created_by=name))
    row = model_version("v4-00000000", "run-4")
    row.data_version = "v4"
    acting.publish_model_version(row, [])
    acting.publish_data_version(
        data_version(1, dataset="made", created_by=name), [], [("fields", "v4")]
    )
    with registry.reading() as session:
        made = session.get(ModelVersion, ("crops", "v4-00000000"))
        assert made is not None
        assert made.visibility == expected
    if name != SHARED_NAME:
        assert registry.data_version(Reference("made")).visibility == expected
