"""Notes and tags of users on runs: who may, what is refused, what filters find, what stays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mlops_assets.errors import Conflict, Forbidden, MlopsError, NotFound, SpecificationError
from mlops_assets.principals import Principal, Role
from mlops_assets.registry import Registry
from mlops_assets.registry.runs.remarks import MAX_NOTE, MAX_TAG, MAX_TAGS
from mlops_assets.registry.search.run_search import search_runs
from mlops_assets_tests.registry.rows import data_version, new_run

TAGS = {"team": "north", "fold": "3"}


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.services)])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Registry]:
    """A run of ann on her private data, with two recorded tags."""
    url = f"sqlite:///{tmp_path / 'registry.db'}"
    if request.param == "postgresql":
        url = request.getfixturevalue("new_database")()
    opened = Registry(url).acting(Principal("ann", frozenset({Role.SCIENTIST})))
    opened.publish_data_version(data_version(1, created_by="ann", visibility="private"), [])
    opened.start_run(new_run("run-1", created_by="ann", tags=TAGS))
    yield opened
    opened.close()


def ids(registry: Registry, where: str) -> list[str]:
    return [run.run_id for run in search_runs(registry, where=where)]


def test_tags_of_users_replace_recorded_ones_in_filters_until_they_are_removed(
    registry: Registry,
) -> None:
    assert registry.tag_run("run-1", "fold", " not a number ").all_tags == {
        **TAGS,
        "fold": "not a number",
    }
    registry.tag_run("run-1", "for <b>paper</b>", "größer")
    assert ids(registry, "tags.fold = 'not a number' and \"tags.for <b>paper</b>\" = 'größer'")
    # the recorded number is not found behind a text
    with pytest.raises(NotFound, match="never a number; runs have e"):
        ids(registry, "tags.fold = 3")
    registry.tag_run("run-1", "fold", None)
    assert ids(registry, "tags.fold = 3") == ["run-1"]
    with pytest.raises(Conflict, match="recorded by run run-1 itself"):
        registry.tag_run("run-1", "fold", None)
    with pytest.raises(NotFound, match="has no tag 'other'"):
        registry.tag_run("run-1", "other", None)


def test_notes_and_tags_survive_what_replaces_the_row_of_a_run(registry: Registry) -> None:
    registry.note_run("run-1", " labels of the north are old\n")
    registry.tag_run("run-1", "paper", "yes")
    registry.start_run(new_run("run-1", created_by="ann", tags=TAGS))
    registry.put_run(new_run("run-1", created_by="ann", status="failed", tags=TAGS), [])
    assert registry.run("run-1").user_tags == {"paper": "yes"}
    assert [(note.text, note.noted_by) for note in registry.notes("run-1")] == [
        ("labels of the north are old", "ann")
    ]


def test_only_scientists_who_see_a_run_note_and_tag_it_and_read_its_notes(
    registry: Registry,
) -> None:
    registry.note_run("run-1", "a secret")
    bob = registry.acting(Principal("bob", frozenset({Role.SCIENTIST})))
    ann = registry.acting(Principal("ann", frozenset({Role.VIEWER})))
    eve = registry.acting(Principal("eve", frozenset({Role.OPERATOR, Role.SCIENTIST})))
    for refused, error in ((bob, NotFound), (ann, Forbidden)):
        with pytest.raises(error):
            refused.note_run("run-1", "mine")
        with pytest.raises(error):
            refused.tag_run("run-1", "mine", "yes")
    assert bob.notes("run-1") == []
    assert [note.text for note in ann.notes("run-1")] == ["a secret"]
    eve.tag_run("run-1", "seen", "yes")
    assert registry.run("run-1").user_tags == {"seen": "yes"}


@pytest.mark.parametrize("text", ["", " \n", "x" * (MAX_NOTE + 1), "a\0b", "\ud800"])
def test_a_text_that_cannot_be_kept_is_refused(text: str, registry: Registry) -> None:
    with pytest.raises(SpecificationError):
        registry.note_run("run-1", text)
    with pytest.raises(SpecificationError):
        registry.tag_run("run-1", "a", text)
    assert registry.notes("run-1") == [] and registry.run("run-1").user_tags == {}


@pytest.mark.parametrize("name", ["", " a", 'a"b', "a\\b", "a\nb", "a=b", "x" * (MAX_TAG + 1)])
def test_a_name_that_no_filter_can_state_is_refused(name: str, registry: Registry) -> None:
    with pytest.raises(SpecificationError, match="cannot name a tag"):
        registry.tag_run("run-1", name, "a")


def test_a_run_takes_so_many_tags_only(registry: Registry) -> None:
    for number in range(MAX_TAGS):
        registry.tag_run("run-1", f"tag-{number}", "a")
    registry.tag_run("run-1", "tag-0", "b")
    with pytest.raises(MlopsError, match="100 tags already"):
        registry.tag_run("run-1", "another", "a")
