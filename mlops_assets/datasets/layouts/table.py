"""Layout `table`: CSV, TSV, Parquet and GeoParquet files whose rows are samples.

Finding samples and reading them; what a column may hold is checked in `columns`.
"""

from __future__ import annotations

import csv
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pandas.api import types as kinds

from mlops_assets.datasets.contents import ClassName, Contents, file_rows
from mlops_assets.datasets.landed import Landed
from mlops_assets.datasets.layouts.columns import (
    LATITUDE,
    LONGITUDE,
    column_problems,
    feature_matrix,
    find_classes,
    find_features,
    label_text,
    repeated_ids,
    times_of,
)
from mlops_assets.datasets.source import TableLayout
from mlops_assets.datasets.specification import DatasetSpecification
from mlops_assets.errors import DataProblems, EmptyLanding, SpecificationError

if TYPE_CHECKING:
    from mlops_assets.datasets.versions import FrozenDataset

TEXT_SUFFIXES = (".csv", ".tsv", ".txt", ".data", ".dat", ".trn", ".tst")
PARQUET_SUFFIXES = (".parquet", ".geoparquet", ".pq")


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
            return _read_parquet(local)
        return _read_text(local, layout)
    except UnicodeDecodeError as error:
        raise ValueError(f"is not UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8") from error
    except (OSError, ValueError, pd.errors.ParserWarning) as error:
        raise ValueError(
            f"cannot be read as a table: {str(error).splitlines()[0]}; correct or replace the file"
        ) from error


def _read_parquet(local: Path) -> pd.DataFrame:
    """A Parquet table; the geometry of a GeoParquet one becomes the columns `LONGITUDE` and `LATITUDE`."""
    if b"geo" not in (pq.read_schema(local).metadata or {}):
        return pd.read_parquet(local)
    import geopandas

    found = geopandas.read_parquet(local)
    if found.crs is None:
        raise ValueError("its geometry has no coordinate reference system; set one")
    # the centre of the box, as a centroid in degrees would be wrong and one in metres depends on the projection
    bounds = found.geometry.to_crs("EPSG:4326").bounds
    return pd.DataFrame(found.drop(columns=found.geometry.name)).assign(
        **{LONGITUDE: (bounds["minx"] + bounds["maxx"]) / 2, LATITUDE: (bounds["miny"] + bounds["maxy"]) / 2}
    )


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


def contents(landed: Landed, specification: DatasetSpecification) -> Contents:
    """See `Layout.contents`."""
    layout = specification.source.table_layout
    tables: dict[str, pd.DataFrame] = {}
    problems: list[str] = []
    found = [file for file in landed.files if is_table(file.path)]
    landed.fetch_all(found)
    for file in found:
        try:
            tables[file.path] = read_table(landed.local(file), file.path, layout)
        except ValueError as error:
            problems.append(f"{file.path}: {error}")
    if not tables and not problems:
        raise EmptyLanding(
            f"no table found among {len(landed.files)} landed file(s); "
            f"tables end in {', '.join(TEXT_SUFFIXES + PARQUET_SUFFIXES)}"
        )
    _refuse(specification, [] if tables else problems)
    first = next(iter(tables))
    features, notes = find_features(tables[first], layout, problems, first)
    well = {}
    for path, table in tables.items():
        wrong = column_problems(path, table, layout, features)
        problems += wrong
        if not wrong:
            well[path] = table
    problems += repeated_ids(well, layout)
    classes = find_classes(well, layout, specification.classes, problems) if well else None
    _refuse(specification, problems)
    samples = pd.concat([_samples(path, table, layout, features, classes) for path, table in tables.items()])
    return Contents(
        samples=samples.reset_index(drop=True),
        files=file_rows([_file(path, samples[samples["path"] == path]) for path in tables]),
        classes=classes,
        features=features,
        input={"kind": "row", "size": 1},
        notes=notes,
    )


def read(frozen: FrozenDataset, path: str, places: NDArray[np.int64], view: str) -> NDArray[np.float32]:
    """See `Layout.read`."""
    table = read_table(frozen.local_path(path), path, frozen.specification.source.table_layout)
    return np.asarray(feature_matrix(table, frozen.document["features"])[places[:, 0]])


def read_labels(frozen: FrozenDataset, path: str, places: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rows have no label raster.

    Raises:
        SpecificationError: always.
    """
    raise SpecificationError(f"{frozen.reference} is a table; its labels are in the samples")


def _file(path: str, samples: pd.DataFrame) -> dict[str, Any]:
    """Facts of one table: where its rows are, if they say so, and when, if all are of one moment."""
    row: dict[str, Any] = {"path": path, "role": "table"}
    if "longitude" in samples and samples["longitude"].notna().all():
        x, y = samples["longitude"], samples["latitude"]
        row["bbox"] = [float(x.min()), float(y.min()), float(x.max()), float(y.max())]
    if "time" in samples and samples["time"].nunique() == 1:
        row["datetime"] = samples["time"].iloc[0]
    return row


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


def _samples(
    path: str, table: pd.DataFrame, layout: TableLayout, features: list[str], classes: list[ClassName] | None
) -> pd.DataFrame:
    if classes is None:
        label: pd.Series = table[layout.label].astype("float64")
    else:
        values = {entry["name"]: str(entry["value"]) for entry in classes}
        values |= {str(entry["value"]): str(entry["value"]) for entry in classes}
        label = label_text(table[layout.label]).map(values)
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
        found["time"] = times_of(table[layout.time]).to_numpy()
    longitude, latitude = layout.longitude or LONGITUDE, layout.latitude or LATITUDE
    if longitude in table and latitude in table:
        found["longitude"] = table[longitude].to_numpy(dtype=np.float64)
        found["latitude"] = table[latitude].to_numpy(dtype=np.float64)
    return found
