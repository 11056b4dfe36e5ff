"""Refused names, and the safety of accepted ones as paths, partition keys and URL segments."""

from __future__ import annotations

from pathlib import PurePosixPath
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.errors import NameRefused
from mlops_assets.names import Reference, check_key, check_label, check_name

REPEATABLE = settings(deadline=None, derandomize=True, database=None)
NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,62}", fullmatch=True)
KEYS = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9_-]|\.(?!\.)){0,99}", fullmatch=True)


@pytest.mark.parametrize(
    "key",
    [
        "",
        "a|b",
        "a..b",
        "..",
        ".",
        ".a",
        "-a",
        "_a",
        "/x",
        "a/b",
        "a\\b",
        "a b",
        "a\n",
        "a,b",
        "a@b",
        "a%2fb",
        "é",
        "x" * 101,
    ],
)
def test_a_key_that_would_break_a_path_or_a_partition_is_refused(key: str) -> None:
    with pytest.raises(NameRefused, match=r"tag .* cannot be used") as refused:
        check_key(key, "tag")
    assert repr(key) in str(refused.value)


@pytest.mark.parametrize("name", ["", "1a", "_a", "a-b", "a.b", "a b", "a\n", "é", "x" * 64])
def test_a_name_that_is_no_identifier_is_refused(name: str) -> None:
    with pytest.raises(NameRefused, match="cannot be used"):
        check_name(name)


@pytest.mark.parametrize("key", ["v1", "2024-01-01", "a.b", "0", "x" * 100])
def test_ordinary_keys_are_returned_as_they_are(key: str) -> None:
    assert check_key(key) == key


@pytest.mark.parametrize("label", ["v1", "v0", "v123", "v3-1f0c9a2b"])
def test_a_label_in_the_form_of_a_version_is_refused(label: str) -> None:
    with pytest.raises(
        NameRefused, match=f"tag '{label}' looks like a version; choose another tag"
    ):
        check_label(label, "tag")


@pytest.mark.parametrize("label", ["paper", "v", "v1.0", "v1-final", "V1", "version1"])
def test_ordinary_labels_are_returned_as_they_are(label: str) -> None:
    assert check_label(label, "tag") == label


@REPEATABLE
@given(st.text(max_size=110) | st.text("ab1._-/|@", max_size=110) | KEYS)
def test_every_accepted_key_is_one_safe_path_segment(key: str) -> None:
    try:
        check_key(key)
    except NameRefused:
        return
    assert PurePosixPath("root", key).parts == ("root", key)
    assert quote(key, safe="") == key
    assert ".." not in key and not key.startswith((".", "-"))
    assert 0 < len(key.encode()) <= 100


@REPEATABLE
@given(NAMES, st.none() | KEYS)
def test_a_reference_is_read_back_as_it_was_written(name: str, what: str | None) -> None:
    reference = Reference(name, what)
    assert Reference.parse(str(reference)) == reference


@pytest.mark.parametrize("text", ["", "@v1", "a@", "a@v1@v2", "a@b|c", "a b@v1", "a/b"])
def test_a_malformed_reference_is_refused(text: str) -> None:
    with pytest.raises(NameRefused):
        Reference.parse(text)
