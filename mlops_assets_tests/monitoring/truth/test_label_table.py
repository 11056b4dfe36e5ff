"""Files of labels as people save them, and those that are refused."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from mlops_assets.errors import StorageError, TruthRefused
from mlops_assets.monitoring.truth import label_table
from mlops_assets.monitoring.truth.label_table import (
    MAX_SLICES,
    NO_ROW,
    read_entries,
    read_label_file,
)
from mlops_assets.text.json_values import Json

EXPECTED = [("007", NO_ROW, "wheat", "NA"), ("b 8", 2, "1,5", None)]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("comma.csv", 'id,row,label,region\n007,,wheat,NA\nb 8,2,"1,5",\n'),
        ("excel.csv", "\ufeffid;row;label;region\r\n007;;wheat;NA\r\nb 8;2;1,5;\r\n"),
        ("tabs.tsv", "id\trow\tlabel\tregion\n007\t\twheat\tNA\nb 8\t2\t1,5\t\n"),
        ("spaces.csv", ' id , row,"label", region\n 007 ,, wheat , NA\n b 8,2,"1,5",\n'),
        (
            "lines.jsonl",
            '\ufeff{"id": "007", "label": "wheat", "region": "NA"}\n\n'
            '{"id": "b 8", "row": 2, "label": "1,5"}\n',
        ),
    ],
)
def test_forms_of_a_file(tmp_path: Path, name: str, content: str) -> None:
    path = tmp_path / name
    path.write_bytes(content.encode())
    table = read_label_file(path)
    rows = zip(table.ids, table.rows, table.labels, table.slices["region"], strict=True)
    assert list(rows) == EXPECTED


def test_parquet_keeps_its_types(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "id": pd.Series([7, 8], dtype="int64"),
            # whole numbers beside a missing one
            "row": [None, 2.0],
            "label": [1.0, 2.5],
            "time": pd.to_datetime(pd.Series(["2026-11-02T10:00:00+01:00", None]), utc=True),
            "region": [None, "n"],
        }
    )
    frame.to_parquet(tmp_path / "labels.parquet")
    table = read_label_file(tmp_path / "labels.parquet")
    assert table.ids.tolist() == ["7", "8"] and table.labels.tolist() == ["1", "2.5"]
    assert table.rows.tolist() == [NO_ROW, 2]
    assert str(table.times[0]) == "2026-11-02T09:00:00.000000" and pd.isna(table.times[1])
    assert table.slices["region"].tolist() == [None, "n"]


def test_decimal_commas_of_a_file_with_semicolons(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id;label\na;1,5\nb;2\n")
    assert read_label_file(tmp_path / "a.csv").decimal == ","
    (tmp_path / "b.csv").write_text("id;label\na;1.5\nb;2\n")
    assert read_label_file(tmp_path / "b.csv").decimal == "."


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.csv", b"", "cannot be read as a table"),
        ("empty.jsonl", b"", "no column 'id' and no column 'label'; it has none"),
        ("header.csv", b"id,labels\na,1\n", "no column 'label'; it has id, labels"),
        ("twice.csv", b"id,label,label\na,1,2\n", "two columns have the same name"),
        ("surplus.csv", b"id,label\na,1,2\n", "cannot be read as a table"),
        ("utf16.csv", "id,label\na,1\n".encode("utf-16"), "is not UTF-8 text"),
        ("nothing.csv", b"id,label\na,\n,b\n", "label 2 has no id"),
        ("row.csv", b"id,row,label\na,-1,b\n", "'-1' as 'row'"),
        ("row.csv", b"id,row,label\na,99999999999,b\n", "'99999999999' as 'row'"),
        ("row.csv", b"id,row,label\na,3000000000,b\n", "'3000000000' as 'row'"),
        ("row.csv", "id,row,label\na,\u0663,b\n".encode(), "as 'row'"),
        ("time.csv", b"id,label,time\na,b,yesterday\n", "a 'time' that is not ISO 8601"),
        ("long.csv", b"id,label\na," + b"x" * 300 + b"\n", "more than 255 characters as 'label'"),
        ("table.parquet", b"PAR1", "cannot be read as a table"),
        ("lines.jsonl", b'{"id": "a"}\n{"id"\n', "line 2 is not valid JSON"),
        ("lines.jsonl", b'{"id": "a", "id": "b"}\n', "line 1 is not valid JSON: .*member twice"),
        ("lines.jsonl", b"[1]\n", "line 1 is not an object"),
        ("lines.jsonl", b'{"id": "a", "label": ["b"]}\n', "lists or structures"),
        ("labels.xlsx", b"PK", "must end in .csv"),
        ("nul.csv", b"id,label\na,b\x00c\n", "unprintable"),
    ],
)
def test_a_file_that_is_not_labels(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TruthRefused, match=message):
        read_label_file(tmp_path / name)


def test_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StorageError, match="cannot be read: No such file"):
        read_label_file(tmp_path / "none.csv")
    path = tmp_path / "large.csv"
    with path.open("wb") as file:
        # a gigabyte, of which nothing is read
        file.truncate(1 << 30)
    with pytest.raises(TruthRefused, match="1,073,741,824 bytes; 268,435,456 are read at once"):
        read_label_file(path)
    monkeypatch.setattr(label_table, "MAX_LABELS", 2)
    few: list[Json] = [{"id": str(number), "label": "x"} for number in range(3)]
    with pytest.raises(TruthRefused, match="3 labels; 2 are added at once"):
        read_entries(few, "labels")
    wide = {f"c{number}": "x" for number in range(MAX_SLICES + 1)}
    with pytest.raises(TruthRefused, match=f"there may be {MAX_SLICES}"):
        read_entries([{"id": "a", "row": 0, "label": "b", "time": None, **wide}], "labels")


def test_many_problems_are_counted_and_some_named() -> None:
    with pytest.raises(
        TruthRefused, match=r"(?s)100 problem.*label 5 has no label\n  - and 95 more"
    ):
        read_entries([{"id": "a", "label": None}] * 100, "labels")
