"""Layout `table`: CSV, TSV, Parquet and GeoParquet files whose rows are samples.

Reads and checks; splitting and freezing are elsewhere.
"""

from __future__ import annotations

import csv
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api import types as kinds

from mlops_assets.datasets.contents import ClassName, Contents
from mlops_assets.datasets.landing import LandedFile
from mlops_assets.datasets.specification import DatasetSpecification, TableLayout
from mlops_assets.errors import DataProblems, EmptyLanding

TEXT_SUFFIXES = (".csv", ".tsv", ".txt", ".data", ".dat", ".trn", ".tst")
PARQUET_SUFFIXES = (".parquet", ".geoparquet", ".pq")
# What spreadsheets and GIS exports add to the measurements; numbers, but not features.
IDENTIFIERS = {"", "id", "fid", "ogc_fid", "objectid", "gid", "index", "unnamed: 0"}
MAX_CLASSES = 256
LEAST_SAMPLES_A_CLASS = 5  # whole numbers that occur less often on average are measurements, not classes


def is_table(path: str) -> bool:
    """Say whether a file of this name is read as a table."""
    return path.lower().endswith(TEXT_SUFFIXES + PARQUET_SUFFIXES)


def read_table(local: Path, name: str, layout: TableLayout) -> pd.DataFrame:
    """Read one table; `name` is its landed name, whose ending tells the format.

    Raises:
        ValueError: it cannot be read; the message has the reason.
    """
    try:
        if name.lower().endswith(PARQUET_SUFFIXES):
            return pd.read_parquet(local)
        return _read_text(local, layout)
    except UnicodeDecodeError as error:
        raise ValueError(f"is not UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8") from error
    except (OSError, ValueError, pd.errors.ParserWarning) as error:
        raise ValueError(f"cannot be read as a table: {str(error).splitlines()[0]}") from error


def _read_text(local: Path, layout: TableLayout) -> pd.DataFrame:
    delimiter = layout.delimiter or _delimiter(local, layout.decimal)
    options: dict[str, Any] = {
        "sep": r"\s+" if delimiter == " " else delimiter,
        "skipinitialspace": True,
        "decimal": layout.decimal,
        "index_col": False,  # else pandas makes an index of surplus fields, and all columns shift
    }
    if layout.columns:
        options |= {"names": layout.columns, "header": None}
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)  # more fields than columns
        table: pd.DataFrame = pd.read_csv(local, **options)
    table.columns = pd.Index([str(column).strip() for column in table.columns])
    absent = table[layout.label].isna() if layout.label in table else pd.Series(dtype=bool)
    if absent.any() and (absent.all() or not kinds.is_numeric_dtype(table[layout.label])):
        # a class may be called NA (Namibia) or None; only an empty field is missing
        texts = pd.read_csv(local, **options, dtype=str, keep_default_na=False)
        text = texts.iloc[:, table.columns.get_loc(layout.label)]
        table[layout.label] = text.where(text.str.strip() != "")
    unnamed = [c for c in table.columns if str(c).startswith("Unnamed: ") and table[c].isna().all()]
    return table.drop(columns=unnamed)  # what a delimiter at the end of each line makes


def feature_matrix(table: pd.DataFrame, features: list[str]) -> NDArray[np.float32]:
    """Return the features of a table, float32 of shape (rows, features)."""
    with np.errstate(over="ignore"):  # what does not fit float32 becomes infinite, which is refused on reading
        return table[features].to_numpy(dtype=np.float32)


def read_contents(files: list[LandedFile], specification: DatasetSpecification) -> Contents:
    """Read and check every table of a landing.

    Raises:
        EmptyLanding: no file is a table.
        DataProblems: every problem found, each with its file and the remedy.
    """
    layout = specification.source.table_layout
    tables: dict[str, pd.DataFrame] = {}
    problems: list[str] = []
    for file in files:
        if is_table(file.path):
            try:
                tables[file.path] = read_table(file.local, file.path, layout)
            except ValueError as error:
                problems.append(f"{file.path}: {error}")
    if not tables and not problems:
        raise EmptyLanding(
            f"no table found among {len(files)} landed file(s); "
            f"tables end in {', '.join(TEXT_SUFFIXES + PARQUET_SUFFIXES)}"
        )
    _refuse(specification, [] if tables else problems)
    first = next(iter(tables))
    features, notes = _features(tables[first], layout, problems, first)
    well = {}
    for path, table in tables.items():
        found = _check_table(path, table, layout, features)
        problems += found
        if not found:
            well[path] = table
    classes = _classes(well, layout, specification.classes, problems) if well else None
    _refuse(specification, problems)
    samples = pd.concat([_samples(path, table, layout, features, classes) for path, table in tables.items()])
    return Contents(
        samples=samples.reset_index(drop=True),
        paths=list(tables),
        classes=classes,
        features=features,
        input={"kind": "row", "size": 1},
        notes=notes,
    )


def _refuse(specification: DatasetSpecification, problems: list[str]) -> None:
    if problems:
        raise DataProblems(f"landing of {specification.name}", problems)


def _delimiter(local: Path, decimal: str) -> str:
    delimiters = ",;\t| ".replace(decimal, "")  # the decimal mark is in every line, too
    with local.open(encoding="utf-8-sig", newline="") as stream:
        head = stream.read(65536)
    lines = [line for line in head.splitlines() if line.strip()][:50]
    try:
        return csv.Sniffer().sniff("\n".join(lines[:-1] if len(lines) > 2 else lines), delimiters=delimiters).delimiter
    except csv.Error:
        return delimiters[0]


def _features(table: pd.DataFrame, layout: TableLayout, problems: list[str], path: str) -> tuple[list[str], list[str]]:
    played = {layout.label, layout.group, layout.split, layout.time}
    if layout.features != "*":
        both = sorted(set(layout.features) & played)
        if both:
            problems.append(f"features name {', '.join(both)}, which plays another part; take it out of the features")
        return list(layout.features), []
    candidates = [str(column) for column in table.columns if column not in played and column not in layout.exclude]
    numeric = [c for c in candidates if kinds.is_numeric_dtype(table[c])]
    features = [c for c in numeric if c.strip().lower() not in IDENTIFIERS]
    notes = [f"column {c!r} looks like an identifier and is not a feature; name it in 'features' to use it"
             for c in numeric if c not in features]  # fmt: skip
    notes += [f"column {c!r} is not numeric and is not a feature" for c in candidates if c not in numeric]
    if not features:
        problems.append(f"{path}: has no numeric column besides the label; name the feature columns")
    return features, notes


def _check_table(path: str, table: pd.DataFrame, layout: TableLayout, features: list[str]) -> list[str]:
    needed = [layout.label, *features, *(c for c in (layout.group, layout.split, layout.time) if c)]
    missing = [column for column in needed if column not in table.columns]
    if missing:
        has = ", ".join(map(str, table.columns[:20]))
        return [f"{path}: has no column {', '.join(map(repr, missing))}; it has {has}"]
    problems = []
    if table.empty:
        problems.append(f"{path}: has no rows; remove the file or fill it")
    for column in needed:
        absent = table[column].isna()
        if absent.any():
            problems.append(
                f"{path}: column {column!r} has {int(absent.sum())} missing value(s) (NaN), first in data row "
                f"{int(absent.argmax()) + 1}; fill them, remove the rows, or leave the column out of 'features'"
            )
    if layout.time and _times(table[layout.time]).isna().any():
        problems.append(f"{path}: column {layout.time!r} has values that are no date or time; write them as ISO 8601")
    if kinds.is_float_dtype(table[layout.label]) and np.isinf(table[layout.label]).any():
        problems.append(f"{path}: label {layout.label!r} has infinite values; correct or remove the rows")
    for column in features:
        if not kinds.is_numeric_dtype(table[column]):
            problems.append(f"{path}: feature {column!r} is not numeric; encode it as numbers or leave it out")
        elif np.isinf(feature_matrix(table, [column])).any():
            problems.append(
                f"{path}: feature {column!r} has values that are infinite or beyond float32; replace or rescale them"
            )
    return problems


def _times(values: pd.Series) -> pd.Series:
    """Points in time, UTC; NaT for what is not ISO 8601. A whole number is a year or a day, never nanoseconds."""
    text = values.astype(str) if kinds.is_numeric_dtype(values) else values
    return pd.to_datetime(text, utc=True, format="ISO8601", errors="coerce")


def _label_text(values: pd.Series) -> pd.Series:
    """Label values as text, so that 1, 1.0 and '1' are one class."""
    if kinds.is_float_dtype(values):
        return values.map(lambda v: str(int(v)) if float(v).is_integer() else str(v))
    if kinds.is_bool_dtype(values):
        values = values.astype("int64")
    return values.astype(str).str.strip()


def _classes(
    tables: Mapping[str, pd.DataFrame],
    layout: TableLayout,
    declared: Mapping[int | str, str] | None,
    problems: list[str],
) -> list[ClassName] | None:
    label = layout.label
    values = pd.concat([table[label] for table in tables.values()])
    if declared:
        names = {str(value): str(value) for value in declared} | {name: str(value) for value, name in declared.items()}
        for path, table in tables.items():
            unknown = sorted(set(_label_text(table[label])) - set(names))
            if unknown:
                problems.append(
                    f"{path}: label {', '.join(map(repr, unknown[:10]))} is no declared class; "
                    "add it to 'classes' or correct the data"
                )
        return [{"value": value, "name": name} for value, name in declared.items()]
    numeric = kinds.is_numeric_dtype(values)
    if layout.label_is == "number":
        if not numeric:
            problems.append(f"column {label!r} is text, but 'label_is: number'; correct the data or the declaration")
        return None
    texts = pd.concat([_label_text(table[label]) for table in tables.values()])  # file by file, as samples are labelled
    found = sorted(texts.unique(), key=lambda v: (not _is_integer(v), int(v) if _is_integer(v) else 0, v))
    if layout.label_is is None and numeric:
        whole = all(_is_integer(v) for v in found)
        if not whole or len(found) > MAX_CLASSES or len(values) / len(found) < LEAST_SAMPLES_A_CLASS:
            return None
    if len(found) > MAX_CLASSES:
        problems.append(
            f"column {label!r} has {len(found)} different values, more than {MAX_CLASSES}; is it the label? "
            "Declare 'classes' if it is"
        )
    return [{"value": int(v) if _is_integer(v) else v, "name": v} for v in found]


def _is_integer(text: str) -> bool:
    """Say whether a text is a whole number in its usual spelling; '01' is not, as it would be confused with '1'."""
    return re.fullmatch(r"0|-?[1-9][0-9]*", text) is not None


def _samples(
    path: str, table: pd.DataFrame, layout: TableLayout, features: list[str], classes: list[ClassName] | None
) -> pd.DataFrame:
    if classes is None:
        label: pd.Series = table[layout.label].astype("float64")
    else:
        values = {entry["name"]: str(entry["value"]) for entry in classes}
        values |= {str(entry["value"]): str(entry["value"]) for entry in classes}
        label = _label_text(table[layout.label]).map(values)
    matrix = np.ascontiguousarray(feature_matrix(table, features))
    found = pd.DataFrame(
        {
            "path": path,
            "row": np.arange(len(table)),
            "column": -1,
            "label": label.to_numpy(),
            "group": table[layout.group].astype(str).to_numpy() if layout.group else None,
            "content": [row.tobytes() for row in matrix],
        }
    )
    if layout.split:
        found["declared_split"] = table[layout.split].astype(str).str.strip().str.lower().to_numpy()
    if layout.time:
        found["time"] = _times(table[layout.time]).to_numpy()
    return found
