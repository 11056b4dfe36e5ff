"""Tables of any dialect become samples.

Whatever is wrong with them is said at once, file by file.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlops_assets.datasets.specification.dataset import DatasetSpecification
from mlops_assets.datasets.versions.contents import Contents
from mlops_assets.errors import DataProblems, EmptyLanding
from mlops_assets.testing.reader_cases import read_landing
from mlops_assets_tests.conftest import table_specification
from mlops_assets_tests.datasets.readers.landing import write_tables

SMALL = pd.DataFrame(
    {"red": [0.1, 0.2, 0.3], "nir": [0.5, 0.6, 0.7], "crop": ["wheat", "maize", "wheat"]}
)
Read = Callable[..., Contents]


def declared(classes: dict[int | str, str] | None = None, **options: Any) -> DatasetSpecification:
    table = {"label": "crop", **options}
    return table_specification(
        source={"url": "landing", "layout": "table", "table": table}, classes=classes
    )


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Land the given files (tables, text or bytes) and read them.

    `read({"a.csv": …}, specification)`.
    """

    def read_landed(
        files: dict[str, pd.DataFrame | bytes | str],
        specification: DatasetSpecification | None = None,
    ) -> Contents:
        write_tables(tmp_path / "landing", files)
        return read_landing(tmp_path / "landing", specification or declared())

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


def test_a_byte_order_mark_is_not_part_of_the_first_column(read: Read) -> None:
    assert read({"a.csv": b"\xef\xbb\xbf" + SMALL.to_csv(index=False).encode()}).features == [
        "red",
        "nir",
    ]


def test_spaces_after_the_delimiter_are_not_part_of_a_value(read: Read) -> None:
    found = read({"a.csv": "red, nir, crop\n0.1, 0.5, wheat\n0.2, 0.6,  maize \n"})
    assert [entry["name"] for entry in found.classes or []] == ["maize", "wheat"]
    assert found.samples["label"].tolist() == ["wheat", "maize"]


def test_a_file_without_a_header_takes_the_declared_columns(read: Read) -> None:
    found = read(
        {"iris.data": "0.1,0.5,wheat\n0.2,0.6,maize\n"}, declared(columns=["red", "nir", "crop"])
    )
    assert found.features == ["red", "nir"]
    assert found.samples["row"].tolist() == [0, 1]


@pytest.mark.parametrize("surplus", [1, 2])
def test_a_file_without_a_header_needs_a_name_for_every_field(read: Read, surplus: int) -> None:
    text = "".join(f"0.{i},0.5,wheat{',7' * (surplus - 1)}\n" for i in range(20))
    with pytest.raises(
        DataProblems, match=r"iris\.data: cannot be read as a table: .*names does not match length"
    ):
        read({"iris.data": text}, declared(columns=["red", "crop"]))


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("red,nir,crop,\n0.1,0.5,wheat,\n0.2,0.6,maize,\n", {}),
        ("red,nir,crop\n0.1,0.5,wheat,\n0.2,0.6,maize,\n", {}),
        ("0.1,0.5,wheat,\n0.2,0.6,maize,\n", {"columns": ["red", "nir", "crop"]}),
    ],
    ids=["all lines", "all lines but the header", "no header"],
)
def test_a_delimiter_at_the_end_of_each_line_makes_no_column(
    read: Read, text: str, options: dict[str, Any]
) -> None:
    found = read({"a.csv": text}, declared(**options))
    assert (found.features, found.notes) == (["red", "nir"], [])
    assert found.samples["label"].tolist() == ["wheat", "maize"]
    assert found.samples["content"][0] == np.array([0.1, 0.5], dtype=np.float32).tobytes()


@pytest.mark.parametrize(
    ("delimiter", "header"), [(";", True), (";", False), ("\t", True), (" ", True), ("|", True)]
)
def test_numbers_may_have_a_decimal_comma(read: Read, delimiter: str, header: bool) -> None:
    text = SMALL.to_csv(index=False, sep=delimiter, decimal=",", header=header)
    found = read(
        {"a.csv": text}, declared(decimal=",", columns=None if header else ["red", "nir", "crop"])
    )
    assert found.features == ["red", "nir"]
    assert found.samples["content"].tolist() == [
        row.tobytes() for row in SMALL[["red", "nir"]].to_numpy(dtype=np.float32)
    ]


def test_a_number_with_an_undeclared_decimal_comma_is_text(read: Read) -> None:
    with pytest.raises(DataProblems, match="feature 'red' is not numeric"):
        read({"a.csv": SMALL.to_csv(index=False, sep=";", decimal=",")}, declared(features=["red"]))
    with pytest.raises(
        DataProblems,
        match=r"no numeric column .*'red' .* decimal comma, so declare \"decimal: ','\"",
    ):
        read({"a.csv": SMALL.to_csv(index=False, sep=";", decimal=",")})
    with pytest.raises(
        DataProblems, match=r"column 'red' has numbers with a decimal comma, such as '0,1'; declare"
    ):
        read(
            {"a.csv": SMALL.assign(x=1).to_csv(index=False, sep=";", decimal=",")},
            declared(label="red"),
        )


def test_exact_decimals_of_parquet_are_numbers(read: Read) -> None:
    assert read(
        {"a.parquet": SMALL.assign(red=SMALL["red"].astype(str).map(Decimal))}
    ).features == ["red", "nir"]


def test_a_file_without_rows_hides_no_feature_of_the_others(read: Read) -> None:
    with pytest.raises(DataProblems, match=r"1 problem\(s\).*\n.*a.csv: has no rows"):
        read({"a.csv": SMALL.iloc[:0], "b.csv": SMALL})


def test_parquet_and_text_give_the_same_samples(read: Read) -> None:
    found = read({"a.csv": SMALL, "b.parquet": SMALL}).samples
    first, second = (
        rows.drop(columns="path").reset_index(drop=True) for _, rows in found.groupby("path")
    )
    pd.testing.assert_frame_equal(first, second)


def test_several_files_are_one_dataset_with_rows_counted_in_each(read: Read) -> None:
    found = read({"a.csv": SMALL, "sub/b.csv": SMALL[["crop", "nir", "red"]].iloc[:2]})
    assert found.files["path"].tolist() == ["a.csv", "sub/b.csv"]
    assert found.samples[["path", "row"]].to_numpy().tolist() == [
        ["a.csv", 0],
        ["a.csv", 1],
        ["a.csv", 2],
        ["sub/b.csv", 0],
        ["sub/b.csv", 1],
    ]
    contents = found.samples["content"]
    assert contents[0] == contents[3] == np.array([0.1, 0.5], dtype=np.float32).tobytes()


def test_other_files_are_left_alone(read: Read) -> None:
    assert read({"a.csv": SMALL, "readme.md": "hello"}).files["path"].tolist() == ["a.csv"]


def test_a_landing_without_any_table_is_empty(read: Read) -> None:
    with pytest.raises(EmptyLanding, match="no table found among 1 landed"):
        read({"readme.md": "hello"})


# features


def test_identifiers_and_texts_are_left_out_with_a_note(read: Read) -> None:
    table = SMALL.assign(OBJECTID=[1, 2, 3], id=[4, 5, 6], remark=["x", "y", "z"])
    found = read({"a.csv": table.to_csv(index=True)})
    assert found.features == ["red", "nir"]
    assert [note.split()[1] for note in found.notes] == [
        "'Unnamed:",
        "'OBJECTID'",
        "'id'",
        "'remark'",
    ]


def test_identifiers_and_texts_of_digits_are_not_features(read: Read) -> None:
    found = read(
        {"a.parquet": SMALL.assign(seen=pd.to_datetime("2024-01-02"), code=["1", "2", "3"])}
    )
    assert found.notes == [
        f"column {name!r} is not numeric and is not a feature" for name in ("seen", "code")
    ]


def test_named_features_are_taken_in_the_order_named_even_an_identifier(read: Read) -> None:
    found = read({"a.csv": SMALL.assign(id=[1, 2, 3])}, declared(features=["nir", "id"]))
    assert (found.features, found.notes) == (["nir", "id"], [])
    assert found.samples["content"][0] == np.array([0.5, 1], dtype=np.float32).tobytes()


def test_columns_that_have_another_role_or_are_excluded_are_not_features(read: Read) -> None:
    table = SMALL.assign(
        farm=[1, 1, 2], fold=["Train ", "TEST", "val"], when="2020-01-01", extra=1.0
    )
    found = read(
        {"a.csv": table}, declared(group="farm", split="fold", time="when", exclude=["extra"])
    )
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
        (["01", "1", "x"], ["01", "1", "x"], [(1, "1"), ("01", "01"), ("x", "x")]),
    ],
    ids=["texts", "whole numbers", "whole floats", "booleans", "mixed", "leading zero"],
)
def test_classes_are_taken_from_the_labels_in_order(
    read: Read, labels: list[Any], names: list[str], classes: list[tuple[Any, str]]
) -> None:
    found = read({"a.csv": pd.concat([SMALL.assign(crop=labels)] * 4)})
    assert [(entry["value"], entry["name"]) for entry in found.classes or []] == classes
    assert found.samples["label"].tolist() == names * 4


@pytest.mark.parametrize(("rows", "numbers"), [(9, True), (10, False)])
def test_whole_numbers_are_classes_if_they_occur_five_times_on_average(
    read: Read, rows: int, numbers: bool
) -> None:
    found = read(
        {"a.csv": pd.DataFrame({"red": np.arange(float(rows)), "crop": [1, *[2] * (rows - 1)]})}
    )
    assert (found.classes is None) == numbers


@pytest.mark.parametrize(
    ("label_is", "labels", "classes", "found_labels"),
    [
        ("class", [10, 2, 2], [2, 10], ["10", "2", "2"]),
        ("class", [0.5, 2.0, 0.5], [2, "0.5"], ["0.5", "2", "0.5"]),
        ("number", [10, 2, 2] * 20, None, [10.0, 2.0, 2.0] * 20),
        ("number", [True, False, True] * 20, None, [1.0, 0.0, 1.0] * 20),
    ],
    ids=["few whole numbers", "fractions", "many whole numbers", "booleans"],
)
def test_a_declared_kind_of_label_takes_precedence(
    read: Read, label_is: str, labels: list[Any], classes: list[Any] | None, found_labels: list[Any]
) -> None:
    table = pd.DataFrame({"red": np.arange(float(len(labels))), "crop": labels})
    found = read({"a.csv": table}, declared(label_is=label_is))
    values = None if found.classes is None else [entry["value"] for entry in found.classes]
    assert values == classes
    assert found.samples["label"].tolist() == found_labels


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ([1.0, 2.0], ["x", "1"]),
        ([True, False], ["x", "1"]),
        ([1, 2], [1.5, 2.0]),
        ([1, 2], ["1", "NA"]),
    ],
)
def test_the_same_class_in_files_of_other_types_is_one_class(
    read: Read, first: list[Any], second: list[Any]
) -> None:
    tables = {
        f"{i}.parquet": SMALL.iloc[:2].assign(crop=crop) for i, crop in enumerate((first, second))
    }
    found = read(tables, declared(label_is="class"))
    values = [str(entry["value"]) for entry in found.classes or []]
    assert len(values) == 3
    assert sorted(set(found.samples["label"])) == sorted(values)


@pytest.mark.parametrize("name", ["NA", "None", "null", "nan", "N/A"])
@pytest.mark.parametrize("others", [["wheat", "wheat"], []], ids=["among others", "alone"])
def test_a_text_that_pandas_takes_for_missing_is_a_class(
    read: Read, name: str, others: list[str]
) -> None:
    lines = "".join(f"0.1,0.5,{crop}\n" for crop in [name, *others])
    found = read({"a.csv": "red,nir,crop\n" + lines})
    assert sorted(entry["name"] for entry in found.classes or []) == sorted({name, *others})
    assert found.samples["label"].tolist() == [name, *others]


@pytest.mark.parametrize("empty", ["", '""', "  "])
def test_an_empty_label_is_missing_beside_one_called_na(read: Read, empty: str) -> None:
    with pytest.raises(
        DataProblems, match=r"column 'crop' has 1 missing value\(s\) \(NaN\), first in data row 2"
    ):
        read({"a.csv": f"red,nir,crop\n0.1,0.5,NA\n0.2,0.6,{empty}\n0.3,0.7,wheat\n"})


def test_a_whole_number_for_a_time_is_a_year_or_a_day(read: Read) -> None:
    found = read({"a.csv": SMALL.assign(when=[2020, 2021, 20220304])}, declared(time="when"))
    assert found.samples["time"].dt.strftime("%Y-%m-%d").tolist() == [
        "2020-01-01",
        "2021-01-01",
        "2022-03-04",
    ]


def test_times_of_different_precision_and_zone_are_read_as_utc(read: Read) -> None:
    when = ["2020-01-01", "2020-01-01T10:00:00+02:00", "2020-01-01 10:00"]
    found = read({"a.csv": SMALL.assign(when=when)}, declared(time="when"))
    assert found.samples["time"].dt.hour.tolist() == [0, 8, 10]


@pytest.mark.parametrize("labels", [["wheat", "maize", "wheat"], [2, 1, 2], [2.0, 1.0, 2.0]])
def test_a_declared_class_may_be_written_as_its_name_or_its_value(
    read: Read, labels: list[Any]
) -> None:
    found = read(
        {"a.csv": SMALL.assign(crop=labels)}, declared({1: "maize", 2: "wheat", 3: "fallow"})
    )
    assert found.samples["label"].tolist() == ["2", "1", "2"]
    assert [entry["value"] for entry in found.classes or []] == [1, 2, 3]


@pytest.mark.parametrize(
    "labels", [[0.5, 1.5, 2.0], list(range(300))], ids=["fractions", "many whole numbers"]
)
def test_a_label_that_is_a_quantity_is_a_number_to_learn(read: Read, labels: list[float]) -> None:
    table = pd.DataFrame({"red": np.linspace(0, 1, len(labels)), "crop": labels})
    found = read({"a.csv": table})
    assert found.classes is None
    assert found.samples["label"].tolist() == labels


# problems


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            SMALL.assign(red=[0.1, np.nan, 0.3]),
            r"column 'red' has 1 missing value\(s\) \(NaN\), first in data row 2",
        ),
        (
            SMALL.assign(crop=pd.Series(["wheat", None, None])),
            r"column 'crop' has 2 missing value\(s\)",
        ),
        (
            SMALL.assign(red=[0.1, np.inf, 0.3]),
            "feature 'red' has values that are infinite or beyond float32",
        ),
        (
            SMALL.assign(red=[0.1, -np.inf, 0.3]),
            "feature 'red' has values that are infinite or beyond float32",
        ),
        (SMALL.assign(red=["low", "mid", "high"]), "feature 'red' is not numeric; encode"),
        (
            SMALL.assign(red=["0.1", "n.d.", "0.3"]),
            r"feature 'red' is not numeric: 1 of 3 .*'n\.d\.' in data row 2;",
        ),
        (SMALL.drop(columns="nir"), "has no column 'nir'; it has red, crop"),
        (SMALL.drop(columns=["nir", "crop"]), "has no column 'crop', 'nir'; it has red"),
        (SMALL.iloc[:0], "has no rows"),
        (
            SMALL.assign(crop=["wheat", "rye", "oats"]),
            "label 'oats', 'rye' is not a declared class",
        ),
        (SMALL.assign(crop=pd.Series([["wheat"]] * 3)), "column 'crop' has lists or structures"),
        ("red,nir,crop,crop\n1,2,wheat,maize\n", "has two columns called 'crop'; rename"),
        ("red,nir,crop,nir \n1,2,wheat,3\n", "has two columns called 'nir'; rename"),
        ("", "cannot be read as a table"),
        ("\n\n", "cannot be read as a table"),
        (
            bytes(range(256)) * 20,
            r"is not UTF-8 text \(invalid start byte at byte 128\); save it as UTF-8",
        ),
        (
            SMALL.to_csv(index=False).encode("utf-16"),
            r"is not UTF-8 text \(.* at byte 0\); save it as UTF-8",
        ),
        ("red,nir,crop\n1,2,wheat\n1,2,wheat,4,5\n", "cannot be read as a table"),
    ],
)
def test_a_bad_table_is_refused_with_its_name_and_the_reason(
    read: Read, content: pd.DataFrame | bytes | str, message: str
) -> None:
    specification = declared({1: "wheat", 2: "maize"}, features=["red", "nir"])
    name = "bad.parquet" if "lists" in message else "bad.csv"
    with pytest.raises(DataProblems, match=rf"landing of fields .*\n.*{name}: .*{message}"):
        read({name: content}, specification)


@pytest.mark.parametrize("name", ["bad.parquet", "bad.geoparquet", "bad.pq"])
def test_a_file_that_is_not_parquet_is_refused_with_its_name(read: Read, name: str) -> None:
    with pytest.raises(DataProblems, match=f"{name}: cannot be read as a table"):
        read({name: b"PAR1 no"})


def test_all_problems_of_all_files_are_in_one_error(read: Read) -> None:
    bad = SMALL.assign(red=[np.nan, np.inf, 0.3], nir="high")
    with pytest.raises(DataProblems) as raised:
        read(
            {"a.csv": bad, "b.csv": SMALL.drop(columns="crop"), "c.csv": SMALL},
            declared(features=["red", "nir"]),
        )
    problems = raised.value.problems
    assert len(problems) == 4
    assert [problem.split(":")[0] for problem in problems] == ["a.csv"] * 3 + ["b.csv"]
    assert all(problem in str(raised.value) for problem in problems)
    assert "4 problem(s); nothing was published" in str(raised.value)


@pytest.mark.parametrize(
    "other",
    [b"\xff\xfe\x00", SMALL.assign(crop=["wheat", "rye", "maize"])],
    ids=["unreadable", "unknown class"],
)
def test_problems_of_different_kinds_are_in_one_error_too(read: Read, other: Any) -> None:
    with pytest.raises(DataProblems) as raised:
        read(
            {"a.csv": SMALL.assign(red=[np.nan, 0.2, 0.3]), "b.csv": other},
            declared({1: "wheat", 2: "maize"}),
        )
    assert sorted(problem.split(":")[0] for problem in raised.value.problems) == ["a.csv", "b.csv"]


def test_blanks_around_column_names_do_no_harm(read: Read) -> None:
    found = read({"a.csv": "red , nir, crop \n1,2,wheat\n3,4,NA\n"})
    assert found.features == ["red", "nir"]
    assert found.samples["label"].tolist() == ["wheat", "NA"]


def test_a_table_without_any_feature_is_refused(read: Read) -> None:
    with pytest.raises(DataProblems, match=r"a\.csv: has no numeric column besides the label"):
        read({"a.csv": SMALL[["crop"]].assign(remark="x")})


def test_a_feature_that_plays_another_part_is_refused(read: Read) -> None:
    with pytest.raises(DataProblems, match="features name crop, which has another role"):
        read({"a.csv": SMALL}, declared(features=["red", "crop"]))


def test_a_text_label_with_too_many_values_is_refused(read: Read) -> None:
    table = pd.DataFrame({"red": np.arange(300.0), "crop": [f"sample {i}" for i in range(300)]})
    with pytest.raises(
        DataProblems, match="'crop' has 300 different values, more than 256; is it the label"
    ):
        read({"a.csv": table})


@pytest.mark.parametrize(
    ("table", "options", "message"),
    [
        (SMALL.assign(crop=[np.inf, 1, 2]), {}, "label 'crop' has infinite values"),
        (SMALL.assign(crop=[np.inf, 0.5, 2]), {}, "label 'crop' has infinite values"),
        (
            SMALL.assign(red=[1e300, 0.2, 0.3]),
            {},
            "feature 'red' has values that are infinite or beyond float32",
        ),
        (
            SMALL.assign(when="soon"),
            {"time": "when"},
            "column 'when' has values that are not a date or time",
        ),
        (
            SMALL.assign(when=["2020", "0000-01-01", "2020"]),
            {"time": "when"},
            "column 'when' has .* is '0000-01-01' in data row 2",
        ),
        (
            SMALL.assign(when=-1),
            {"time": "when"},
            "column 'when' has values that are not a date or time",
        ),
        (
            SMALL.assign(when=0.5),
            {"time": "when"},
            "column 'when' has values that are not a date or time",
        ),
        (
            SMALL.assign(when="01.02.2020"),
            {"time": "when"},
            "column 'when' has values that are not a date or time",
        ),
    ],
    ids=[
        "infinite whole label",
        "infinite label",
        "too large",
        "text for a time",
        "year 0",
        "negative number",
        "number for a time",
        "day or month first",
    ],
)
def test_values_that_cannot_be_meant_are_a_problem_with_its_file(
    read: Read, table: pd.DataFrame, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataProblems, match=rf"a\.csv: {message}") as raised:
        read({"a.csv": table}, declared(**options))
    assert len(raised.value.problems) == 1


def test_a_text_label_that_is_declared_as_a_number_is_refused(read: Read) -> None:
    with pytest.raises(DataProblems, match="column 'crop' is text, but 'label_is: number'"):
        read({"a.csv": SMALL}, declared(label_is="number"))


@pytest.mark.parametrize("label", ["--1", "²"])
def test_a_text_that_resembles_a_number_is_a_class(read: Read, label: str) -> None:
    found = read({"a.csv": SMALL.assign(crop=["x", label, "x"])})
    assert label in [entry["name"] for entry in found.classes or []]


def test_rows_with_one_field_more_than_the_header_are_refused(read: Read) -> None:
    with pytest.raises(DataProblems, match=r"a\.csv: cannot be read as a table"):
        read({"a.csv": "red,nir,crop\n" + "".join(f"{i},{i},{i % 2},{i}\n" for i in range(20))})
