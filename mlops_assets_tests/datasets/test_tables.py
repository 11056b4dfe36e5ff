"""Tables of any dialect become samples; whatever is wrong with them is said at once, file by file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlops_assets.datasets.contents import Contents
from mlops_assets.datasets.landing import list_landing
from mlops_assets.datasets.specification import DatasetSpecification
from mlops_assets.datasets.tables import read_contents
from mlops_assets.errors import DataProblems, EmptyLanding
from mlops_assets_tests.conftest import table_specification

SMALL = pd.DataFrame({"red": [0.1, 0.2, 0.3], "nir": [0.5, 0.6, 0.7], "crop": ["wheat", "maize", "wheat"]})
Read = Callable[..., Contents]


def declared(classes: dict[int | str, str] | None = None, **options: Any) -> DatasetSpecification:
    table = {"label": "crop", **options}
    return table_specification(source={"url": "landing", "layout": "table", "table": table}, classes=classes)


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Land the given files (tables, text or bytes) and read them: `read({"a.csv": …}, specification)`."""

    def read_landed(
        files: dict[str, pd.DataFrame | bytes | str], specification: DatasetSpecification | None = None
    ) -> Contents:
        folder = tmp_path / "landing"
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, pd.DataFrame):
                content.to_parquet(path) if name.endswith(".parquet") else content.to_csv(path, index=False)
            else:
                path.write_bytes(content.encode() if isinstance(content, str) else content)
        return read_contents(list_landing(folder), specification or declared())

    return read_landed


# dialects


@pytest.mark.parametrize("name", ["a.csv", "a.TSV", "a.txt", "a.data"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", " ", "|"])
def test_the_delimiter_is_recognised(read: Read, name: str, delimiter: str) -> None:
    found = read({name: pd.concat([SMALL] * 20).to_csv(index=False, sep=delimiter)})
    assert found.features == ["red", "nir"]
    assert len(found.samples) == 60


@pytest.mark.parametrize(
    "text",
    [
        "red,nir,crop\n" + '0.1,0.5,"wheat, winter"\n' * 9,
        "red,nir,crop\n" + "0.1,0.5,Winter wheat or spelt\n" * 9,
        "crop,red,nir\n" + "2020-01-01 10:00:00,0.1,0.5\n" * 9,
        "red;nir;crop\n" + "0.1;0.5;wheat, winter\n" * 9,
    ],
    ids=["quoted", "words", "times", "commas in texts"],
)
def test_the_delimiter_is_not_mistaken_for_what_is_in_texts(read: Read, text: str) -> None:
    assert read({"a.csv": text}).features == ["red", "nir"]


def test_a_declared_delimiter_wins(read: Read) -> None:
    text = SMALL.to_csv(index=False, sep="~")
    assert read({"a.csv": text}, declared(delimiter="~")).features == ["red", "nir"]


def test_a_byte_order_mark_is_no_part_of_the_first_column(read: Read) -> None:
    assert read({"a.csv": b"\xef\xbb\xbf" + SMALL.to_csv(index=False).encode()}).features == ["red", "nir"]


def test_spaces_after_the_delimiter_are_no_part_of_a_value(read: Read) -> None:
    found = read({"a.csv": "red, nir, crop\n0.1, 0.5, wheat\n0.2, 0.6,  maize \n"})
    assert [entry["name"] for entry in found.classes or []] == ["maize", "wheat"]
    assert found.samples["label"].tolist() == ["wheat", "maize"]


def test_a_file_without_a_header_takes_the_declared_columns(read: Read) -> None:
    found = read({"iris.data": "0.1,0.5,wheat\n0.2,0.6,maize\n"}, declared(columns=["red", "nir", "crop"]))
    assert found.features == ["red", "nir"]
    assert found.samples["row"].tolist() == [0, 1]


def test_parquet_and_text_give_the_same_samples(read: Read) -> None:
    found = read({"a.csv": SMALL, "b.parquet": SMALL}).samples
    first, second = (rows.drop(columns="path").reset_index(drop=True) for _, rows in found.groupby("path"))
    pd.testing.assert_frame_equal(first, second)


def test_several_files_are_one_dataset_with_rows_counted_in_each(read: Read) -> None:
    found = read({"a.csv": SMALL, "sub/b.csv": SMALL[["crop", "nir", "red"]].iloc[:2]})
    assert found.paths == ["a.csv", "sub/b.csv"]
    assert found.samples[["path", "row"]].to_numpy().tolist() == [
        ["a.csv", 0], ["a.csv", 1], ["a.csv", 2], ["sub/b.csv", 0], ["sub/b.csv", 1],
    ]  # fmt: skip
    contents = found.samples["content"]
    assert contents[0] == contents[3] == np.array([0.1, 0.5], dtype=np.float32).tobytes()


def test_other_files_are_left_alone(read: Read) -> None:
    assert read({"a.csv": SMALL, "readme.md": "hello"}).paths == ["a.csv"]


def test_a_landing_without_any_table_is_empty(read: Read) -> None:
    with pytest.raises(EmptyLanding, match="no table found among 1 landed"):
        read({"readme.md": "hello"})


# features


def test_identifiers_and_texts_are_left_out_with_a_note(read: Read) -> None:
    table = SMALL.assign(OBJECTID=[1, 2, 3], id=[4, 5, 6], remark=["x", "y", "z"])
    found = read({"a.csv": table.to_csv(index=True)})
    assert found.features == ["red", "nir"]
    assert [note.split()[1] for note in found.notes] == ["'Unnamed:", "'OBJECTID'", "'id'", "'remark'"]


def test_named_features_are_taken_in_the_order_named_even_an_identifier(read: Read) -> None:
    found = read({"a.csv": SMALL.assign(id=[1, 2, 3])}, declared(features=["nir", "id"]))
    assert (found.features, found.notes) == (["nir", "id"], [])
    assert found.samples["content"][0] == np.array([0.5, 1], dtype=np.float32).tobytes()


def test_columns_with_another_part_to_play_or_excluded_are_no_features(read: Read) -> None:
    table = SMALL.assign(farm=[1, 1, 2], fold=["Train ", "TEST", "val"], when="2020-01-01", extra=1.0)
    found = read({"a.csv": table}, declared(group="farm", split="fold", time="when", exclude=["extra"]))
    assert found.features == ["red", "nir"]
    assert found.samples["group"].tolist() == ["1", "1", "2"]
    assert found.samples["declared_split"].tolist() == ["train", "test", "val"]
    assert found.samples["time"].dt.year.tolist() == [2020] * 3


# labels


@pytest.mark.parametrize(
    ("labels", "names", "classes"),
    [
        (["b", "a", "b"], ["b", "a", "b"], [("a", "a"), ("b", "b")]),
        ([10, 2, 2], ["10", "2", "2"], [(2, "2"), (10, "10")]),
        ([1.0, 0.0, 1.0], ["1", "0", "1"], [(0, "0"), (1, "1")]),
        ([True, False, True], ["1", "0", "1"], [(0, "0"), (1, "1")]),
        (["1", "-2", "x"], ["1", "-2", "x"], [(-2, "-2"), (1, "1"), ("x", "x")]),
    ],
    ids=["texts", "whole numbers", "whole floats", "booleans", "mixed"],
)
def test_classes_are_taken_from_the_labels_in_order(
    read: Read, labels: list[Any], names: list[str], classes: list[tuple[Any, str]]
) -> None:
    found = read({"a.csv": SMALL.assign(crop=labels)})
    assert [(entry["value"], entry["name"]) for entry in found.classes or []] == classes
    assert found.samples["label"].tolist() == names


@pytest.mark.parametrize("labels", [["wheat", "maize", "wheat"], [2, 1, 2], [2.0, 1.0, 2.0]])
def test_a_declared_class_may_be_written_as_its_name_or_its_value(read: Read, labels: list[Any]) -> None:
    found = read({"a.csv": SMALL.assign(crop=labels)}, declared({1: "maize", 2: "wheat", 3: "fallow"}))
    assert found.samples["label"].tolist() == ["2", "1", "2"]
    assert [entry["value"] for entry in found.classes or []] == [1, 2, 3]


@pytest.mark.parametrize("labels", [[0.5, 1.5, 2.0], list(range(300))], ids=["fractions", "many whole numbers"])
def test_a_label_that_is_a_quantity_is_a_number_to_learn(read: Read, labels: list[float]) -> None:
    table = pd.DataFrame({"red": np.linspace(0, 1, len(labels)), "crop": labels})
    found = read({"a.csv": table})
    assert found.classes is None
    assert found.samples["label"].tolist() == labels


# problems


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (SMALL.assign(red=[0.1, np.nan, 0.3]), r"column 'red' has 1 missing value\(s\) \(NaN\), first in data row 2"),
        (SMALL.assign(crop=["wheat", None, None]), r"column 'crop' has 2 missing value\(s\)"),
        (SMALL.assign(red=[0.1, np.inf, 0.3]), "feature 'red' has infinite values"),
        (SMALL.assign(red=[0.1, -np.inf, 0.3]), "feature 'red' has infinite values"),
        (SMALL.assign(red=["low", "mid", "high"]), "feature 'red' is not numeric"),
        (SMALL.drop(columns="nir"), "has no column 'nir'; it has red, crop"),
        (SMALL.drop(columns=["nir", "crop"]), "has no column 'crop', 'nir'; it has red"),
        (SMALL.iloc[:0], "has no rows"),
        (SMALL.assign(crop=["wheat", "rye", "oats"]), "label 'oats', 'rye' is no declared class"),
        ("", "cannot be read as a table"),
        ("\n\n", "cannot be read as a table"),
        (bytes(range(256)) * 20, "cannot be read as a table"),
        (SMALL.to_csv(index=False).encode("utf-16"), "cannot be read as a table"),
        ("red,nir,crop\n1,2,wheat\n1,2,wheat,4,5\n", "cannot be read as a table"),
    ],
)
def test_a_bad_table_is_refused_with_its_name_and_the_reason(
    read: Read, content: pd.DataFrame | bytes | str, message: str
) -> None:
    specification = declared({1: "wheat", 2: "maize"}, features=["red", "nir"])
    with pytest.raises(DataProblems, match=rf"landing of fields .*\n.*bad\.csv: .*{message}"):
        read({"bad.csv": content}, specification)


@pytest.mark.parametrize("name", ["bad.parquet", "bad.geoparquet", "bad.pq"])
def test_a_file_that_is_no_parquet_is_refused_with_its_name(read: Read, name: str) -> None:
    with pytest.raises(DataProblems, match=f"{name}: cannot be read as a table"):
        read({name: b"PAR1 no"})


def test_all_problems_of_all_files_are_in_one_error(read: Read) -> None:
    bad = SMALL.assign(red=[np.nan, np.inf, 0.3], nir="high")
    with pytest.raises(DataProblems) as raised:
        read({"a.csv": bad, "b.csv": SMALL.drop(columns="crop"), "c.csv": SMALL}, declared(features=["red", "nir"]))
    problems = raised.value.problems
    assert len(problems) == 4
    assert [problem.split(":")[0] for problem in problems] == ["a.csv"] * 3 + ["b.csv"]
    assert all(problem in str(raised.value) for problem in problems)
    assert "4 problem(s); nothing was published" in str(raised.value)


@pytest.mark.xfail(strict=True, reason="reading, checking and labels each stop at their own problems")
@pytest.mark.parametrize(
    "other", [b"\xff\xfe\x00", SMALL.assign(crop=["wheat", "rye", "maize"])], ids=["unreadable", "unknown class"]
)
def test_problems_of_different_kinds_are_in_one_error_too(read: Read, other: Any) -> None:
    with pytest.raises(DataProblems) as raised:
        read({"a.csv": SMALL.assign(red=[np.nan, 0.2, 0.3]), "b.csv": other}, declared({1: "wheat", 2: "maize"}))
    assert [problem.split(":")[0] for problem in raised.value.problems] == ["a.csv", "b.csv"]


def test_a_table_without_any_feature_is_refused(read: Read) -> None:
    with pytest.raises(DataProblems, match=r"a\.csv: has no numeric column besides the label"):
        read({"a.csv": SMALL[["crop"]].assign(remark="x")})


def test_a_feature_that_plays_another_part_is_refused(read: Read) -> None:
    with pytest.raises(DataProblems, match="features name crop, which plays another part"):
        read({"a.csv": SMALL}, declared(features=["red", "crop"]))


def test_a_text_label_with_too_many_values_is_refused(read: Read) -> None:
    table = pd.DataFrame({"red": np.arange(300.0), "crop": [f"sample {i}" for i in range(300)]})
    with pytest.raises(DataProblems, match="'crop' has 300 different texts, more than 256; is it the label"):
        read({"a.csv": table})


@pytest.mark.xfail(strict=True, reason="a raw error of pandas or Python, or values that are changed in silence")
@pytest.mark.parametrize(
    ("table", "options"),
    [
        (SMALL.assign(crop=[np.inf, 1, 2]), {}),
        (SMALL.assign(crop=[np.inf, 0.5, 2]), {}),
        (SMALL.assign(red=[1e300, 0.2, 0.3]), {}),
        (SMALL.assign(when="soon"), {"time": "when"}),
        (SMALL.assign(crop=["01", "1", "x"]), {}),
    ],
    ids=["infinite whole label", "infinite label", "too large", "text for a time", "two texts of one class"],
)  # fmt: skip
def test_values_that_cannot_be_meant_are_a_problem_with_its_file(
    read: Read, table: pd.DataFrame, options: dict[str, Any]
) -> None:
    with pytest.raises(DataProblems, match=r"a\.csv"):
        read({"a.csv": table}, declared(**options))


@pytest.mark.xfail(strict=True, raises=ValueError, reason="isdigit() is true for texts that int() cannot read")
@pytest.mark.parametrize("label", ["--1", "²"])
def test_a_text_that_only_looks_like_a_number_is_a_class(read: Read, label: str) -> None:
    found = read({"a.csv": SMALL.assign(crop=["x", label, "x"])})
    assert label in [entry["name"] for entry in found.classes or []]


@pytest.mark.xfail(
    strict=True, reason="without index_col=False pandas takes the first column as an index and shifts all"
)
def test_rows_with_one_field_more_than_the_header_are_refused(read: Read) -> None:
    with pytest.raises(DataProblems, match=r"a\.csv: cannot be read as a table"):
        read({"a.csv": "red,nir,crop\n" + "".join(f"{i},{i},{i % 2},{i}\n" for i in range(20))})
