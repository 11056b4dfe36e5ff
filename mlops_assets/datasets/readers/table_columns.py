"""Columns of a table: features, label, times and places, and why one cannot be used.

Tables are read in `table`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api import types as kinds

from mlops_assets.datasets.readers.table_places import (
    LATITUDE,
    LONGITUDE,
    place_columns,
    place_problems,
)
from mlops_assets.datasets.readers.table_roles import (
    are_numbers,
    have_decimal_commas,
    one_spelling,
    texts_of,
    to_numbers,
)
from mlops_assets.datasets.specification.source import TableLayout
from mlops_assets.datasets.versions.contents import ClassName

# Columns that spreadsheets and GIS exports add to the measurements: numbers, but not features.
IDENTIFIERS = {"", "id", "fid", "ogc_fid", "objectid", "gid", "index", "unnamed: 0"}
NOT_NUMERIC = "is not numeric and is not a feature"
LOST_TO_TEXTS = f"{NOT_NUMERIC}: "  # in notes on columns that are mostly numbers
MAX_CLASSES = 256
ROWS_COMPARED = 10_000  # of each file, for what float32 loses
MIN_KEPT = 0.95  # of different values: a few collide by chance
MIN_SAMPLES_A_CLASS = (
    5  # whole numbers that occur less often on average are measurements, not classes
)


def feature_matrix(table: pd.DataFrame, features: list[str]) -> NDArray[np.float32]:
    """Return the features of a table, float32 of shape (rows, features).

    Args:
        table: with the columns of the features.
        features: names of the columns, in order.
    """
    # what does not fit float32 becomes infinite, which is refused on reading
    with np.errstate(over="ignore"):
        return table[features].to_numpy(dtype=np.float32)


def find_features(
    tables: Mapping[str, pd.DataFrame], layout: TableLayout, problems: list[str]
) -> tuple[list[str], list[str]]:
    """Return the feature columns, and notes on columns that are not features.

    Candidates are the columns of the first table. One is a feature if it is numeric in all tables
    that have it.

    Args:
        tables: by their landed paths.
        layout: the declared layout.
        problems: extended if there is no feature column.
    """
    taken = {layout.label, LONGITUDE, LATITUDE, *_roles(layout)}
    if layout.features != "*":
        both = sorted(set(layout.features) & taken)
        if both:
            problems.append(
                f"features name {', '.join(both)}, which has another role; remove it from the"
                " features"
            )
        return list(layout.features), []
    path, first = next(((p, t) for p, t in tables.items() if len(t)), next(iter(tables.items())))
    candidates = [
        str(column)
        for column in first.columns
        if column not in taken and column not in layout.exclude
    ]
    columns = {
        name: {p: table[name] for p, table in tables.items() if name in table}
        for name in candidates
    }
    columns = {
        name: {p: values for p, values in found.items() if len(values)}
        for name, found in columns.items()
    }
    numeric = [c for c in candidates if all(map(kinds.is_numeric_dtype, columns[c].values()))]
    features = [c for c in numeric if c.strip().lower() not in IDENTIFIERS]
    notes = [
        f"column {c!r} looks like an identifier and is not a feature; name it in 'features' to"
        " use it"
        for c in numeric
        if c not in features
    ]
    for column in (c for c in candidates if c not in numeric):
        texts = _texts_among(columns[column])
        remedy = "; correct them, or name 'features'" if texts else ""
        notes.append(f"column {column!r} {NOT_NUMERIC}{texts}{remedy}")
    if not features:
        others = "".join(f"; {note}" for note in notes[:5])
        problems.append(
            f"{path}: has no numeric column besides the label{others}; name the feature columns"
        )
    return features, notes


def _texts_among(columns: Mapping[str, pd.Series]) -> str:
    """Return the texts that keep a mostly numeric column of all files from being numeric.

    Empty if the column is text altogether.
    """
    wrong = {
        path: (v.notna() & pd.to_numeric(v, errors="coerce").isna()).to_numpy()
        for path, v in columns.items()
    }
    if all(have_decimal_commas(values.dropna()) for values in columns.values()):
        return ": its numbers have a decimal comma, so declare \"decimal: ','\""
    count = sum(int(found.sum()) for found in wrong.values())
    rows = sum(map(len, columns.values()))
    if not 0 < count <= rows / 2:  # not text at all, such as dates, or little else
        return ""
    path, found = next((path, found) for path, found in wrong.items() if found.any())
    first = int(found.argmax())
    others = sum(bool(found.any()) for found in wrong.values()) - 1
    where = f"{path} and {others} other file(s)" if others else path
    return (
        f": {count} of {rows} values ({count / rows:.1%}) in {where} are not numbers, the first is "
        f"{str(columns[path].iloc[first])[:40]!r} in data row {first + 1}"
    )


def lost_in_float32(tables: Mapping[str, pd.DataFrame], features: list[str]) -> list[str]:
    """Return notes on features whose values differ in digits that float32 lacks.

    Models read features as float32.
    """
    notes = []
    for column in features:
        values = pd.concat(
            [table[column].head(ROWS_COMPARED) for table in tables.values()]
            or [pd.Series(dtype=float)]
        )
        different = values.nunique()
        left = values.astype("float32").nunique()
        if left < MIN_KEPT * different:
            notes.append(
                f"column {column!r}: {different} different values become {left} in float32, in"
                " which features are read; subtract an offset, or leave it out"
            )
    return notes


def zoneless_times(tables: Mapping[str, pd.DataFrame], layout: TableLayout) -> list[str]:
    """Return a note if there are times of the day without a zone."""
    if not layout.time:
        return []
    texts = pd.concat(
        [table[layout.time].astype(str) for table in tables.values()] or [pd.Series(dtype=str)]
    )
    zoneless = texts.str.contains(r"\d[T ]\d") & ~texts.str.contains(r"(?:Z|[+-]\d\d(?::?\d\d)?)$")
    return (
        [f"column {layout.time!r}: times without a zone are taken as UTC"] if zoneless.any() else []
    )


def _roles(layout: TableLayout) -> list[str]:
    """Return the columns that have a role besides the label."""
    named = (layout.group, layout.split, layout.time, layout.id)
    return [*(column for column in named if column), *place_columns(layout)]


def column_problems(
    path: str, table: pd.DataFrame, layout: TableLayout, features: list[str]
) -> list[str]:
    """Return why columns of a table cannot be used in their roles.

    Args:
        path: landed path of the table.
        table: all its columns.
        layout: the declared layout.
        features: names of the feature columns.
    """
    needed = [layout.label, *features, *_roles(layout)]
    missing = [column for column in needed if column not in table.columns]
    if missing:
        has = ", ".join(map(str, table.columns[:20]))
        return [f"{path}: has no column {', '.join(map(repr, missing))}; it has {has}"]
    problems = []
    if table.empty:
        return [f"{path}: has no rows; remove the file or fill it"]
    for column in needed:
        absent = table[column].isna()
        if absent.any():
            leave_out = ", remove the rows, or leave the column out of 'features'"
            remedy = leave_out if column in features else " or remove the rows"
            problems.append(
                f"{path}: column {column!r} has {int(absent.sum())} missing value(s) (NaN), first"
                f" in data row {int(absent.argmax()) + 1}; fill them{remedy}"
            )
    wrong = (
        (times_of(table[layout.time]).isna() & table[layout.time].notna()).to_numpy()
        if layout.time
        else np.array(())
    )
    if wrong.any():
        first = int(wrong.argmax())
        problems.append(
            f"{path}: column {layout.time!r} has values that are not a date or time; write them as"
            f" ISO 8601: the first is {str(table[layout.time].iloc[first])[:40]!r} in data row"
            f" {first + 1}"
        )
    problems += place_problems(path, table, layout)
    for column in features:
        if not kinds.is_numeric_dtype(table[column]):
            texts = _texts_among({path: table[column]})
            problems.append(
                f"{path}: feature {column!r} is not numeric{texts}; encode it as numbers or leave"
                " it out"
            )
        elif np.isinf(feature_matrix(table, [column])).any():
            problems.append(
                f"{path}: feature {column!r} has values that are infinite or beyond float32;"
                " replace or rescale them"
            )
    return problems


def repeated_ids(tables: Mapping[str, pd.DataFrame], layout: TableLayout) -> list[str]:
    """Return a problem for identifiers that occur more than once, within a file or in two."""
    if not layout.id or not tables:
        return []
    ids = pd.concat(
        [pd.DataFrame({"id": t[layout.id], "path": path}) for path, t in tables.items()]
    )
    again = ids[ids["id"].duplicated(keep=False)]
    return [
        f"{', '.join(sorted(set(where)))}: sample id {name!r} occurs {len(where)} times; keep one"
        " or correct the id"
        for name, where in again.groupby("id")["path"].apply(list).head(20).items()
    ]


def times_of(values: pd.Series) -> pd.Series:
    """Return points in time, UTC, with NaT where a value is not ISO 8601.

    A whole number is a year or a day, never nanoseconds.
    """
    text = values.astype(str) if kinds.is_numeric_dtype(values) else values
    if isinstance(text.dtype, pd.StringDtype):  # pandas makes a time of "-1" and of a year 0
        # not a regular expression, which pandas matches value by value
        year = text.str.lstrip().str[:4]
        text = text.where(year.str.isdigit() & (year.str.len() == 4) & (year != "0000"))
    return pd.to_datetime(text, utc=True, format="ISO8601", errors="coerce")


def values_by_text(classes: Sequence[ClassName]) -> dict[str, str]:
    """Return the value of each class as text, by its name and by its value.

    Both are also keys in the spelling that columns get: a class declared as "true" is 1 in them.
    """
    found: dict[str, str] = {}
    for written in (
        [entry["name"] for entry in classes],
        [str(entry["value"]) for entry in classes],
    ):
        texts = texts_of(pd.Series(written, dtype="str"))
        spelled = one_spelling({"": texts})[""]
        for entry, text, spelling in zip(classes, texts, spelled, strict=True):
            found |= {key: str(entry["value"]) for key in (spelling, text) if isinstance(key, str)}
    return found


def find_classes(
    tables: Mapping[str, pd.DataFrame],
    layout: TableLayout,
    declared: Mapping[int | str, str] | None,
    problems: list[str],
) -> list[ClassName] | None:
    """Return the classes in the order of their indices, or None where the label is a number.

    Args:
        tables: by their landed paths; at least one.
        layout: the declared layout.
        declared: names of the classes by their values, if they are declared.
        problems: extended with labels that are not a declared class, or not numbers.
    """
    label = layout.label
    decimal = layout.decimal
    if declared:
        classes: list[ClassName] = [
            {"value": value, "name": name} for value, name in declared.items()
        ]
        names = values_by_text(classes)
        for path, table in tables.items():
            unknown = sorted(set(table[label]) - set(names))
            if unknown:
                problems.append(
                    f"{path}: label {', '.join(map(repr, unknown[:10]))} is not a declared class; "
                    "add it to 'classes' or correct the data"
                )
        return classes
    values = pd.concat([table[label] for table in tables.values()])
    numeric = are_numbers(values, decimal)
    if layout.label_is == "number" and not numeric:
        problems.append(
            f"column {label!r} is text, but 'label_is: number'; correct the data or the declaration"
        )
        return None
    found = sorted(
        values.unique(), key=lambda v: (not is_integer(v), int(v) if is_integer(v) else 0, v)
    )
    if (
        not numeric
        and layout.label_is != "class"
        and decimal == "."
        and have_decimal_commas(values)
    ):
        problems.append(
            f"column {label!r} has numbers with a decimal comma, such as {found[0]!r}; declare"
            " \"decimal: ','\", or 'label_is: class' if they are names"
        )
    if numeric and layout.label_is != "class":
        numbers = to_numbers(pd.Series(found, dtype="str"), decimal)
        rare = len(found) > MAX_CLASSES or len(values) / len(found) < MIN_SAMPLES_A_CLASS
        if layout.label_is == "number" or rare or not (numbers % 1 == 0).all():
            problems += [
                f"{path}: label {label!r} has infinite values; correct or remove the rows"
                for path, table in tables.items()
                if np.isinf(to_numbers(table[label], decimal)).any()
            ]
            return None
    if len(found) > MAX_CLASSES:
        problems.append(
            f"column {label!r} has {len(found)} different values, more than {MAX_CLASSES}; is it"
            " the label? Declare 'classes' if it is"
        )
    return [{"value": int(v) if is_integer(v) else v, "name": v} for v in found]


def is_integer(text: str) -> bool:
    """Return whether a text is a whole number in its usual spelling.

    '01' is not, as it would be confused with '1'.
    """
    return re.fullmatch(r"0|-?[1-9][0-9]*", text) is not None
