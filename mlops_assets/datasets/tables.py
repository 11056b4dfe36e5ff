"""Layout `table`: CSV, TSV, Parquet and GeoParquet files whose rows are samples.

Reads and checks; splitting and freezing are elsewhere.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api import types as kinds

from mlops_assets.datasets.contents import ClassName, Contents
from mlops_assets.datasets.landing import LandedFile
from mlops_assets.datasets.specification import DatasetSpecification, TableLayout
from mlops_assets.errors import DataProblems, EmptyLanding

TEXT_SUFFIXES = (".csv", ".tsv", ".txt", ".data")
PARQUET_SUFFIXES = (".parquet", ".geoparquet", ".pq")
# What spreadsheets and GIS exports add to the measurements; numbers, but not features.
IDENTIFIERS = {"", "id", "fid", "ogc_fid", "objectid", "gid", "index", "unnamed: 0"}
MAX_CLASSES = 256


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
        delimiter = layout.delimiter or _delimiter(local)
        options = {"names": layout.columns, "header": None} if layout.columns else {}
        return pd.read_csv(local, sep=delimiter, skipinitialspace=True, **options)  # type: ignore[call-overload, no-any-return]
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError, ValueError) as error:
        raise ValueError(f"cannot be read as a table: {str(error).splitlines()[0]}") from error


def feature_matrix(table: pd.DataFrame, features: list[str]) -> NDArray[np.float32]:
    """Return the features of a table, float32 of shape (rows, features)."""
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
    _refuse(specification, problems)
    first = next(iter(tables))
    features, notes = _features(tables[first], layout, problems, first)
    for path, table in tables.items():
        problems += _check_table(path, table, layout, features)
    _refuse(specification, problems)
    classes = _classes(tables, layout.label, specification.classes, problems)
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


def _delimiter(local: Path) -> str:
    with local.open(encoding="utf-8-sig", newline="") as stream:
        head = stream.read(65536)
    lines = [line for line in head.splitlines() if line.strip()][:50]
    try:
        return csv.Sniffer().sniff("\n".join(lines[:-1] if len(lines) > 2 else lines), delimiters=",;\t| ").delimiter
    except csv.Error:
        return ","


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
    for column in features:
        if not kinds.is_numeric_dtype(table[column]):
            problems.append(f"{path}: feature {column!r} is not numeric; encode it as numbers or leave it out")
        elif np.isinf(table[column].to_numpy(dtype=np.float64, na_value=np.nan)).any():
            problems.append(f"{path}: feature {column!r} has infinite values; replace them or remove the rows")
    return problems


def _label_text(values: pd.Series) -> pd.Series:
    """Label values as text, so that 1, 1.0 and '1' are one class."""
    if (kinds.is_float_dtype(values) and bool((values == values.round()).all())) or kinds.is_bool_dtype(values):
        values = values.astype("int64")
    return values.astype(str).str.strip()


def _classes(
    tables: Mapping[str, pd.DataFrame], label: str, declared: Mapping[int | str, str] | None, problems: list[str]
) -> list[ClassName] | None:
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
    text = _label_text(values)
    found = sorted(text.unique(), key=lambda v: (not v.lstrip("-").isdigit(), int(v) if v.lstrip("-").isdigit() else v))
    if kinds.is_numeric_dtype(values) and (len(found) > MAX_CLASSES or not all(v.lstrip("-").isdigit() for v in found)):
        return None
    if len(found) > MAX_CLASSES:
        problems.append(
            f"column {label!r} has {len(found)} different texts, more than {MAX_CLASSES}; is it the label? "
            "Declare 'classes' if it is"
        )
    return [{"value": int(v) if v.lstrip("-").isdigit() else v, "name": v} for v in found]


def _samples(
    path: str, table: pd.DataFrame, layout: TableLayout, features: list[str], classes: list[ClassName] | None
) -> pd.DataFrame:
    if classes is None:
        label: pd.Series = table[layout.label].astype("float64")
    else:
        by_name = {entry["name"]: str(entry["value"]) for entry in classes}
        label = _label_text(table[layout.label]).map(lambda text: by_name.get(text, text))
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
        found["time"] = pd.to_datetime(table[layout.time], utc=True).to_numpy()
    return found
