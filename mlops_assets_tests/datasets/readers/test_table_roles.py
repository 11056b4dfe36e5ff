"""Label, group, id and split are used as written, and a value is spelt alike in all files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlops_assets.datasets.readers.table_roles import one_spelling, texts_of
from mlops_assets.datasets.versions.contents import Contents
from mlops_assets.errors import DataProblems
from mlops_assets.testing.reader_cases import read_landing
from mlops_assets_tests.conftest import table_specification
from mlops_assets_tests.datasets.readers.landing import write_tables

Files = dict[str, pd.DataFrame | bytes | str]
COMPOSED, DECOMPOSED = "Gr\u00fcnland", "Gru\u0308nland"


def landed(
    folder: Path, files: Files, classes: dict[int | str, str] | None = None, **options: Any
) -> Contents:
    write_tables(folder, files)
    table = {"label": "crop", **options}
    source = {"url": "landing", "layout": "table", "table": table}
    return read_landing(folder, table_specification(source=source, classes=classes))


def text(*values: str, column: str = "crop", **others: str) -> str:
    """A CSV of 300 rows in which these values of a column take turns."""
    columns = {
        "red": np.arange(300) / 300,
        column: np.resize(np.array(values, dtype=object), 300),
        **others,
    }
    return pd.DataFrame(columns).to_csv(index=False)


# values of one column in each of several files (texts of a CSV, or a typed column of Parquet) → how
# they are spelled
SPELLINGS: dict[str, tuple[list[list[Any]], set[str]]] = {
    "whole numbers with a gap in one file": ([["17", "5"], ["17.0", "5.0", ""]], {"17", "5"}),
    "floats of Parquet": ([["17"], [17.0, np.nan]], {"17"}),
    "a code in another file": ([["007"], ["007", "K7"]], {"007", "K7"}),
    "a gap in one, a code in another": ([["17.0", ""], ["17", "K7"]], {"17", "K7"}),
    "leading zeros": ([["007", "070", "700"]], {"007", "070", "700"}),
    "exponents": ([["1E2", "100", "2E3"]], {"1E2", "100", "2E3"}),
    "signs and zeros at the end": ([["+5", "5.10"], ["5", "5.1", "-0"]], {"5", "5.1", "0"}),
    "large identifiers": (
        [["9007199254740993"], ["9007199254740992"]],
        {"9007199254740993", "9007199254740992"},
    ),
    "words for what is missing": (
        [["NA", "MZ"], ["nan", "None", "null", "-"]],
        {"NA", "MZ", "nan", "None", "null", "-"},
    ),
    "accents": ([[COMPOSED], [DECOMPOSED]], {COMPOSED}),
    "truths": ([["True", "false"], [True, False]], {"1", "0"}),
    "truths among numbers": ([["True", "FALSE"], ["2"]], {"1", "0", "2"}),
    "truths among words": ([["True", "unknown"], [True, False]], {"1", "0", "unknown"}),
    "truths among words only": ([["True", "unknown"]], {"True", "unknown"}),
    "days of a typed column": (
        [["2024-01-02"], [pd.Timestamp(2024, 1, 2), pd.NaT]],
        {"2024-01-02"},
    ),
    "short floats": ([["0.1"], list(np.array([0.1], dtype="float32"))], {"0.1"}),
    "bytes": ([["wheat"], [b"wheat"]], {"wheat"}),
    "dates": ([["2024-01-02", "2024-1-2"]], {"2024-01-02", "2024-1-2"}),
    "underscores": ([["1_000", "1000"]], {"1_000", "1000"}),
}


def test_a_value_has_one_spelling_in_all_files() -> None:
    wrong = {}
    for what, (files, expected) in SPELLINGS.items():
        columns = {str(number): texts_of(pd.Series(values)) for number, values in enumerate(files)}
        spelled = one_spelling(columns)
        found = {value for column in spelled.values() for value in column.dropna()}
        missing = [column.isna().sum() for column in columns.values()] != [
            c.isna().sum() for c in spelled.values()
        ]
        if found != expected or missing:
            wrong[what] = found
    assert wrong == {}


def test_a_decimal_comma_is_read_in_roles_too(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {"red": [1.5, 2.5] * 20, "crop": ["1,5", "2"] * 20, "farm": ["3,0", "3"] * 20}
    )
    found = landed(
        tmp_path,
        {"a.csv": table.to_csv(index=False, sep=";", decimal=",")},
        decimal=",",
        group="farm",
    )
    assert found.classes is None
    assert (found.samples["label"].tolist()[:2], set(found.samples["group"])) == ([1.5, 2.0], {"3"})


def test_types_are_not_guessed_piece_by_piece(tmp_path: Path) -> None:
    rows = 12_000  # more than pandas reads at once of a table of this width
    labels = [*np.resize(["010", "020", "030"], rows - 10), *["10A"] * 10]
    wide = pd.DataFrame(np.zeros((rows, 150), dtype=np.int8)).add_prefix("f").assign(crop=labels)
    found = landed(tmp_path, {"a.csv": wide.to_csv(index=False)})
    assert [entry["name"] for entry in found.classes or []] == ["010", "020", "030", "10A"]


def test_labels_are_classes_as_they_are_written(tmp_path: Path) -> None:
    files: Files = {"a.csv": text("007", "070", "700")}
    found = landed(tmp_path, files)
    assert {entry["name"] for entry in found.classes or []} == {"007", "070", "700"}
    declared = landed(tmp_path, files, {"007": "wheat", "070": "rye", "700": "maize"})
    assert declared.samples["label"].tolist() == found.samples["label"].tolist()


@pytest.mark.parametrize("classes", [{1: COMPOSED, 2: "field"}, {1: DECOMPOSED, 2: "field"}])
def test_declared_classes_are_found_however_accents_are_written(
    tmp_path: Path, classes: dict[int | str, str]
) -> None:
    found = landed(tmp_path, {"a.csv": text(COMPOSED, "field", DECOMPOSED)}, classes)
    assert set(found.samples["label"]) == {"1", "2"}


@pytest.mark.parametrize(
    "classes", [{"true": "forest", "false": "bare"}, {1: "True", 0: "False"}, {1: "x", 0: "y"}]
)
def test_declared_classes_are_found_however_truths_are_written(
    tmp_path: Path, classes: dict[int | str, str]
) -> None:
    found = landed(tmp_path, {"a.csv": text("True", "False"), "b.csv": text("1", "0")}, classes)
    first, second = (str(value) for value in classes)
    assert found.samples["label"].tolist() == [first, second] * 300


def test_numbers_to_learn_are_those_that_are_written(tmp_path: Path) -> None:
    found = landed(tmp_path, {"a.csv": "red,crop\n1,0.1\n2,1e-4\n3,123456.789012345678\n"})
    assert found.classes is None
    assert found.samples["label"].tolist() == [0.1, 1e-4, 123456.789012345678]


@pytest.mark.parametrize("missing", ["NA", "nan", "", "n/a"])
def test_a_number_to_learn_that_is_missing_is_a_problem(tmp_path: Path, missing: str) -> None:
    with pytest.raises(DataProblems, match="column 'crop' has 1 missing value"):
        landed(tmp_path, {"a.csv": f"red,crop\n1,0.1\n2,{missing}\n3,0.3\n"})


def test_a_declared_encoding_is_read(tmp_path: Path) -> None:
    content = text(COMPOSED, "Acker").encode("cp1252")
    found = landed(tmp_path, {"a.csv": content}, encoding="cp1252")
    assert {entry["name"] for entry in found.classes or []} == {COMPOSED, "Acker"}
    with pytest.raises(DataProblems, match=r"is not UTF-8 text .*declare 'encoding'"):
        landed(tmp_path, {"a.csv": content})


def test_lost_values_are_noted(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {
            "northing": 5_312_345 + np.arange(300) / 100,
            "red": np.arange(300) / 300,
            "green": ["0.5"] * 299 + ["n.d."],
            "seen": ["2024-01-02T10:00"] * 300,
            "crop": np.resize(["wheat", "rye"], 300),
        }
    )
    found = landed(tmp_path, {"a.csv": table.to_csv(index=False)}, time="seen")
    assert found.features == ["northing", "red"]
    said = "\n".join(found.notes)
    assert "column 'northing': 300 different values become 7 in float32" in said
    assert (
        "'green' is not numeric and is not a feature: 1 of 300 values (0.3%) in a.csv are not"
        " numbers" in said
    )
    assert "the first is 'n.d.' in data row 300" in said
    assert "column 'seen': times without a zone are taken as UTC" in said
    assert "'red'" not in said


@pytest.mark.parametrize("names", ["ab", "ba"])
def test_a_column_with_a_text_in_one_file_is_named_with_the_share_of_all_rows(
    tmp_path: Path, names: str
) -> None:
    whole = pd.DataFrame(
        {"red": np.arange(100) / 100, "green": "0.5", "crop": np.resize(["wheat", "rye"], 100)}
    )
    files = {
        f"{names[0]}.csv": whole,
        f"{names[1]}.csv": whole.assign(green=["n.d.", *["0.5"] * 99]),
    }
    found = landed(tmp_path, {name: table.to_csv(index=False) for name, table in files.items()})
    assert found.features == ["red"]
    assert found.notes == [
        "column 'green' is not numeric and is not a feature: 1 of 200 values (0.5%) in"
        f" {names[1]}.csv are not numbers, the first is 'n.d.' in data row 1; correct them, or name"
        " 'features'"
    ]
