"""Labels as somebody sends them: a table of a file, or JSON, checked but not matched yet.

The columns are `id` (of a request), `row` (of a sample in it), `label`, and `time` (of the label);
each other column is one that live metrics are divided by. Requests are not read here.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops_assets.datasets.readers.table_columns import times_of
from mlops_assets.datasets.readers.table_memory import require_believable_size
from mlops_assets.datasets.readers.table_roles import have_decimal_commas, texts_of
from mlops_assets.errors import StorageError, TruthRefused
from mlops_assets.monitoring.truth.texts import objects_of
from mlops_assets.text.json_values import Json
from mlops_assets.text.listing import named
from mlops_assets.text.strict_json import parse_json

MAX_BYTES = 256 << 20  # of a file, which is held in memory
MAX_LABELS = 5_000_000
MAX_SLICES = 16  # columns that metrics are divided by
MAX_TEXT = 255  # characters of an id or a value
MAX_NAMED = 5  # problems, ids in a message
MAX_ROW = 2**31 - 1  # as it is stored
NO_ROW = -1
OWN_COLUMNS = ("id", "row", "label", "time")
PARQUET = (".parquet", ".pq")
JSON_LINES = (".jsonl", ".ndjson")
TEXTS = (".csv", ".tsv", ".txt")
_DELIMITERS = ",;\t|"


@dataclass(frozen=True)
class LabelTable:
    """Labels of requests, in the order in which they were sent.

    Attributes:
        source: where they are from, for messages.
        ids: of requests, (n,), text.
        rows: number of the sample in its request, (n,); `NO_ROW` where none is given.
        labels: as they were written, (n,), text.
        times: of the labels, UTC, (n,), datetime64[us]; NaT where none is given.
        slices: other columns: name → text, (n,), None where there is none.
        decimal: decimal mark of numbers.
    """

    source: str
    ids: NDArray[np.object_]
    rows: NDArray[np.int64]
    labels: NDArray[np.object_]
    times: NDArray[np.datetime64]
    slices: Mapping[str, NDArray[np.object_]]
    decimal: str = "."

    def __len__(self) -> int:
        """Number of labels."""
        return len(self.ids)

    def place(self, position: int) -> str:
        """Return a label for messages, counted from 1."""
        row = self.rows[position]
        within = "" if row == NO_ROW else f", row {row}"
        return f"label {position + 1} (id {self.ids[position]!r}{within})"


def read_label_file(path: Path) -> LabelTable:
    """Read a file of labels: CSV, Parquet or JSON lines, by the ending of its name.

    Raises:
        StorageError: it cannot be opened.
        TruthRefused: it is too large, cannot be read, or its values are not valid.
    """
    suffix = path.suffix.lower()
    if suffix not in TEXTS + PARQUET + JSON_LINES:
        raise TruthRefused(
            f"{path.name} is not a file of labels: its name must end in"
            f" {', '.join(TEXTS + PARQUET + JSON_LINES)}"
        )
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise TruthRefused(
                f"{path.name} has {size:,} bytes; {MAX_BYTES:,} are read at once, so divide it into"
                " several files"
            )
        table = _read(path, suffix)
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise TruthRefused(
            f"{path.name} is not UTF-8 text ({error.reason} at byte {error.start}); save it as"
            " UTF-8"
        ) from error
    # the errors of pyarrow and pandas are ValueErrors, too
    except (ValueError, pd.errors.ParserWarning) as error:
        reason = next(iter(str(error).splitlines()), "its content is not valid")
        raise TruthRefused(f"{path.name} cannot be read as a table: {reason}") from error
    return label_table(table, path.name)


def read_entries(entries: Sequence[Json], source: str) -> LabelTable:
    """Return labels that were sent as JSON objects.

    Args:
        entries: objects of `id`, `label` and the other columns.
        source: for messages.

    Raises:
        TruthRefused: one of them is not an object of texts and numbers, or its values are not
            valid.
    """
    for number, entry in enumerate(entries, start=1):
        if not isinstance(entry, dict):
            raise TruthRefused(f"{source}: label {number} is not an object with 'id' and 'label'")
        for name, value in entry.items():
            if isinstance(value, dict | list):
                raise TruthRefused(
                    f"{source}: label {number} has a list or an object as {name[:MAX_TEXT]!r}; give"
                    " a text or a number"
                )
    columns = dict.fromkeys(name for entry in entries if isinstance(entry, dict) for name in entry)
    if len(columns) > len(OWN_COLUMNS) + MAX_SLICES:
        raise _too_many_columns(source, len(columns))
    cells = {
        name: [entry.get(name) if isinstance(entry, dict) else None for entry in entries]
        for name in columns
    }
    return label_table(pd.DataFrame(cells, dtype=object), source)


def label_table(table: pd.DataFrame, source: str) -> LabelTable:
    """Return checked labels.

    Args:
        table: its columns, texts or values.
        source: for messages.

    Raises:
        TruthRefused: a column is missing or there twice, or a value is not valid; the first
            problems are named.
    """
    table.columns = pd.Index([str(name).strip() for name in table.columns])
    _require_columns(table, source)
    if len(table) > MAX_LABELS:
        raise TruthRefused(
            f"{source} has {len(table):,} labels; {MAX_LABELS:,} are added at once, so divide it"
        )
    try:
        texts = {name: texts_of(table[name]) for name in table.columns}
    except (UnicodeDecodeError, ValueError) as error:
        raise TruthRefused(f"{source}: {error}; give a text or a number") from error
    problems: list[str] = []
    for name in ("id", "label"):
        problems += _named(texts[name].isna(), f"has no {name}")
    for name, column in texts.items():
        long = column.str.len().gt(MAX_TEXT).fillna(False)
        problems += _named(long, f"has more than {MAX_TEXT} characters as {name!r}")
        unprintable = {text for text in column.dropna().unique() if not text.isprintable()}
        problems += _named(column.isin(unprintable), f"has unprintable characters as {name!r}")
    rows = _rows(texts.get("row"), len(table), problems)
    times = _times(texts.get("time"), len(table), problems)
    refuse(source, problems)
    return LabelTable(
        source,
        objects_of(texts["id"]),
        rows,
        objects_of(texts["label"]),
        times,
        {name: objects_of(texts[name]) for name in table.columns if name not in OWN_COLUMNS},
        table.attrs.get("decimal", "."),
    )


def refuse(source: str, problems: Sequence[str]) -> None:
    """Refuse labels that have problems.

    Raises:
        TruthRefused: there is one; the first are named.
    """
    if not problems:
        return
    more = len(problems) - MAX_NAMED
    listed = "\n".join(f"  - {problem}" for problem in problems[:MAX_NAMED])
    and_more = f"\n  - and {more} more" if more > 0 else ""
    raise TruthRefused(
        f"{source} has {len(problems)} problem(s); no label was added. Correct and add it again:\n"
        f"{listed}{and_more}"
    )


def _read(path: Path, suffix: str) -> pd.DataFrame:
    if suffix in JSON_LINES:
        lines = [line for line in path.read_text("utf-8-sig").splitlines() if line.strip()]
        if len(lines) > MAX_LABELS:
            raise ValueError(f"it has more than {MAX_LABELS:,} lines")
        return _of_lines(lines)
    if suffix in PARQUET:
        require_believable_size(path)
        return pd.read_parquet(path)
    return _read_csv(path)


def _of_lines(lines: Sequence[str]) -> pd.DataFrame:
    found: list[dict[str, Json]] = []
    for number, line in enumerate(lines, start=1):
        try:
            value = parse_json(line)
        except ValueError as error:
            raise ValueError(f"line {number} is not valid JSON: {error}") from error
        if not isinstance(value, dict):
            raise ValueError(f"line {number} is not an object with 'id' and 'label'")
        found.append(value)
    columns = dict.fromkeys(name for entry in found for name in entry)
    if len(columns) > len(OWN_COLUMNS) + MAX_SLICES:
        raise ValueError(f"it has {len(columns)} different names of columns")
    return pd.DataFrame(
        {name: [entry.get(name) for entry in found] for name in columns}, dtype=object
    )


def _read_csv(path: Path) -> pd.DataFrame:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        header = stream.readline(1 << 16)
    # the header has `id` and `label` by themselves only if it is divided at the right character
    delimiter = next(
        (
            mark
            for mark in _DELIMITERS
            if {"id", "label"} <= {name.strip().strip('"') for name in header.split(mark)}
        ),
        ",",
    )
    options: dict[str, Any] = {
        "sep": delimiter,
        "encoding": "utf-8-sig",
        "skipinitialspace": True,
        # else pandas makes an index of surplus fields, and all columns shift
        "index_col": False,
        "dtype": "str",
        # a class may be called NA; only an empty field is missing
        "keep_default_na": False,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        names = pd.read_csv(path, **options, header=None, nrows=1)
        table: pd.DataFrame = pd.read_csv(path, **options)
    written = [] if names.empty else [str(name).strip() for name in names.iloc[0]]
    if len(set(written)) < len(written):
        raise ValueError("two columns have the same name")
    if delimiter != "," and "label" in table and have_decimal_commas(table["label"]):
        table.attrs["decimal"] = ","
    return table


def _require_columns(table: pd.DataFrame, source: str) -> None:
    names = list(table.columns)
    if missing := [name for name in ("id", "label") if name not in names]:
        raise TruthRefused(
            f"{source} has no column {' and no column '.join(map(repr, missing))}; it has"
            f" {named([name[:MAX_TEXT] for name in names]) or 'none'}; name the request in 'id' and"
            " the class or number in 'label'"
        )
    if len(set(names)) < len(names):
        raise TruthRefused(f"{source}: two columns have the same name; rename or remove one")
    if len(names) > len(OWN_COLUMNS) + MAX_SLICES:
        raise _too_many_columns(source, len(names))
    for name in names:
        if not 0 < len(name) <= MAX_TEXT or not name.isprintable():
            raise TruthRefused(
                f"{source}: column {name[:MAX_TEXT]!r} cannot be used; take 1 to {MAX_TEXT}"
                " printable characters"
            )


def _too_many_columns(source: str, columns: int) -> TruthRefused:
    return TruthRefused(
        f"{source} has {columns} columns; beside {', '.join(OWN_COLUMNS)} there may be {MAX_SLICES}"
        " that live metrics are divided by"
    )


def _named(wrong: pd.Series, what: str) -> list[str]:
    return [f"label {position + 1} {what}" for position in np.flatnonzero(wrong.to_numpy(bool))]


def _rows(texts: pd.Series | None, count: int, problems: list[str]) -> NDArray[np.int64]:
    if texts is None:
        return np.full(count, NO_ROW)
    valid = texts.str.fullmatch(r"[0-9]{1,10}").fillna(False).to_numpy(bool)
    found = np.full(count, NO_ROW)
    found[valid] = texts[valid].astype("int64").to_numpy()
    wrong = (texts.notna().to_numpy(bool) & ~valid) | (found > MAX_ROW)
    problems += [
        f"label {position + 1} has {str(texts.iloc[position])[:40]!r} as 'row', which is not the"
        " number of a sample in its request, counted from 0"
        for position in np.flatnonzero(wrong)
    ]
    return found


def _times(texts: pd.Series | None, count: int, problems: list[str]) -> NDArray[np.datetime64]:
    if texts is None:
        return np.full(count, np.datetime64("NaT", "us"))
    found = times_of(texts)
    problems += _named(texts.notna() & found.isna(), "has a 'time' that is not ISO 8601")
    return np.asarray(found.dt.tz_convert(None), dtype="datetime64[us]")
