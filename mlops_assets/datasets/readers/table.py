"""Layout `table`: CSV, TSV, Parquet and GeoParquet files whose rows are samples.

Values of columns are checked in `table_columns`.
"""

from __future__ import annotations

import csv
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mlops_assets.datasets.readers.table_columns import (
    column_problems,
    feature_matrix,
    find_classes,
    find_features,
    lost_in_float32,
    repeated_ids,
    times_of,
    values_by_text,
    zoneless_times,
)
from mlops_assets.datasets.readers.table_geoparquet import read_geoparquet
from mlops_assets.datasets.readers.table_memory import require_believable_size
from mlops_assets.datasets.readers.table_places import (
    LATITUDE,
    LONGITUDE,
    middles,
    places_of,
    require_known_crs,
)
from mlops_assets.datasets.readers.table_roles import (
    one_spelling,
    role_columns,
    texts_of,
    to_numbers,
    without_missing_numbers,
)
from mlops_assets.datasets.sources.snapshot import Landed
from mlops_assets.datasets.specification.dataset import DatasetSpecification
from mlops_assets.datasets.specification.source import UTF_8, TableLayout
from mlops_assets.datasets.versions.contents import ClassName, Contents, FileRow, file_rows
from mlops_assets.datasets.versions.extents import enclosing
from mlops_assets.datasets.versions.sample_shape import RowShape
from mlops_assets.errors import DataProblems, EmptyLanding, SpecificationError

if TYPE_CHECKING:
    from mlops_assets.datasets.versions.committed_dataset import CommittedDataset

TEXT_SUFFIXES = (".csv", ".tsv", ".txt", ".data", ".dat", ".trn", ".tst")
PARQUET_SUFFIXES = (".parquet", ".geoparquet", ".pq")


def is_table(path: str) -> bool:
    """Return whether a file of this name is read as a table."""
    return path.lower().endswith(TEXT_SUFFIXES + PARQUET_SUFFIXES)


def read_table(local: Path, name: str, layout: TableLayout) -> pd.DataFrame:
    """Read one table; columns that have a role are text.

    Args:
        local: local path of the file.
        name: its landed name, whose ending names the format.
        layout: the declared layout.

    Raises:
        ValueError: it cannot be read; the message has the reason.
    """
    try:
        if name.lower().endswith(PARQUET_SUFFIXES):
            table = _read_parquet(local)
            return table.assign(
                **{c: texts_of(table[c]) for c in role_columns(layout) if c in table}
            )
        return _read_text(local, layout)
    except UnicodeDecodeError as error:
        wanted = "UTF-8" if layout.encoding == UTF_8 else layout.encoding
        raise ValueError(
            f"is not {wanted} text ({error.reason} at byte {error.start}); save it as {wanted}, or"
            " declare 'encoding'"
        ) from error
    except (OSError, ValueError, pd.errors.ParserWarning) as error:
        raise ValueError(
            f"cannot be read as a table: {str(error).splitlines()[0]}; correct or replace the file"
        ) from error


def _read_parquet(local: Path) -> pd.DataFrame:
    """Return a Parquet table.

    The geometry of GeoParquet becomes the columns `LONGITUDE` and `LATITUDE`.
    """
    schema = pq.read_schema(local)
    decimals = [field.name for field in schema if pa.types.is_decimal(field.type)]
    if b"geo" not in (schema.metadata or {}):
        require_believable_size(local)
        return pd.read_parquet(local).astype(dict.fromkeys(decimals, "float64"))
    found = read_geoparquet(local)
    if found.crs is None:
        raise ValueError("its geometry has no coordinate reference system; set one")
    longitude, latitude = middles(found.geometry)
    rows = pd.DataFrame(found.drop(columns=found.geometry.name)).astype(
        dict.fromkeys(decimals, "float64")
    )
    return rows.assign(**{LONGITUDE: longitude, LATITUDE: latitude})


def _require_different_names(local: Path, name: str, layout: TableLayout) -> None:
    """Refuse a table in which a column's name could mean two.

    Versions made before this check are still read.

    Raises:
        ValueError: it cannot be read, or has two columns of one name.
    """
    if name.lower().endswith(PARQUET_SUFFIXES):
        names = pd.Series(pq.read_schema(local).names)
    elif layout.columns:
        names = pd.Series(layout.columns)
    else:
        options = _text_options(local, layout)
        names = (
            pd.read_csv(local, **options, header=None, nrows=1, dtype="str")
            .iloc[0]
            .dropna()
            .str.strip()
        )
    twice = sorted(set(names[names.duplicated()]))
    if twice:
        raise ValueError(
            f"has two columns called {', '.join(map(repr, twice))}; rename or remove one of them"
        )


def _text_options(local: Path, layout: TableLayout) -> dict[str, Any]:
    delimiter = layout.delimiter or _delimiter(local, layout)
    return {
        "sep": r"\s+" if delimiter == " " else delimiter,
        "skipinitialspace": True,
        "decimal": layout.decimal,
        "encoding": layout.encoding,
        "index_col": False,  # else pandas makes an index of surplus fields, and all columns shift
    }


def _read_text(local: Path, layout: TableLayout) -> pd.DataFrame:
    options = _text_options(local, layout)
    if layout.columns:
        options |= {"names": layout.columns, "header": None}
    texts = {column for column in (*role_columns(layout), layout.time) if column}
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)  # more fields than columns
        header = pd.read_csv(local, **options, nrows=0).columns
        as_written = [column for column in header if str(column).strip() in texts]
        options["dtype"] = dict.fromkeys(as_written, "str")
        # types are found once for the whole file
        table: pd.DataFrame = pd.read_csv(local, **options, low_memory=False)
    # a class may be called NA (Namibia); only an empty field is missing
    if table[as_written].isna().any(axis=None):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", pd.errors.ParserWarning)
            read_again: pd.DataFrame = pd.read_csv(local, **options, keep_default_na=False)
        table[as_written] = read_again[as_written]
    table.columns = pd.Index([str(column).strip() for column in table.columns])
    for column in texts & set(table.columns):
        table[column] = texts_of(table[column])
    unnamed = [c for c in table.columns if str(c).startswith("Unnamed: ") and table[c].isna().all()]
    return table.drop(columns=unnamed)  # what a delimiter at the end of each line makes


def contents(landed: Landed, specification: DatasetSpecification) -> Contents:
    """Find the rows of all tables; see `Layout.contents`.

    Args:
        landed: the files of the landing.
        specification: the declared dataset, with its table layout.

    Returns:
        One sample a row; places in degrees (WGS 84) and times in UTC where the tables have them.

    Raises:
        EmptyLanding: no landed file is a table.
        DataProblems: every problem found, each with its file and the remedy.
        StorageError: files cannot be fetched.
    """
    layout = specification.source.table_layout
    require_known_crs(layout)
    tables: dict[str, pd.DataFrame] = {}
    problems: list[str] = []
    found = [file for file in landed.files if is_table(file.path)]
    landed.fetch_all(found)
    for file in found:
        try:
            table = read_table(landed.local(file), file.path, layout)
            _require_different_names(landed.local(file), file.path, layout)
            tables[file.path] = table
        except ValueError as error:
            problems.append(f"{file.path}: {error}")
    if not tables and not problems:
        raise EmptyLanding(
            f"no table found among {len(landed.files)} landed file(s); "
            f"tables end in {', '.join(TEXT_SUFFIXES + PARQUET_SUFFIXES)}"
        )
    _refuse(specification, [] if tables else problems)
    _spell_roles(tables, layout, bool(specification.classes))
    features, notes = find_features(tables, layout, problems)
    well = {}
    for path, table in tables.items():
        wrong = column_problems(path, table, layout, features)
        problems += wrong
        if not wrong:
            well[path] = table
    problems += repeated_ids(well, layout)
    notes += [*lost_in_float32(well, features), *zoneless_times(well, layout)]
    classes = find_classes(well, layout, specification.classes, problems) if well else None
    _refuse(specification, problems)
    samples = pd.concat(
        [_samples(path, table, layout, features, classes) for path, table in tables.items()]
    )
    return Contents(
        samples=samples.reset_index(drop=True),
        files=file_rows([_file(path, samples[samples["path"] == path]) for path in tables]),
        classes=classes,
        features=features,
        input=RowShape(),
        notes=notes,
    )


def _spell_roles(tables: dict[str, pd.DataFrame], layout: TableLayout, classes: bool) -> None:
    """Give each value of a role one spelling in all tables."""
    for role in role_columns(layout):
        columns = {path: table[role] for path, table in tables.items() if role in table}
        if role == layout.label and layout.label_is != "class" and not classes:
            columns = without_missing_numbers(columns, layout.decimal)
        for path, column in one_spelling(columns, layout.decimal).items():
            tables[path] = tables[path].assign(**{role: column})


def read(
    committed: CommittedDataset, path: str, places: NDArray[np.int64], view: str
) -> NDArray[np.float32]:
    """Read rows of a table; see `Layout.read`.

    Args:
        committed: the data version.
        path: landed path of the table.
        places: int64 of shape (n, 2); the first column is the row in the table.
        view: always `row`.

    Returns:
        Float32 of shape (n, features), in the units of the table.

    Raises:
        ValueError: the file cannot be read.
        StorageError: the file cannot be fetched.
    """
    table = read_table(
        committed.local_path(path), path, committed.specification.source.table_layout
    )
    return np.asarray(feature_matrix(table, committed.document.features)[places[:, 0]])


def read_mask(
    committed: CommittedDataset, path: str, places: NDArray[np.int64], view: str
) -> NDArray[np.bool_]:
    """Return that every value is valid, as tables have no masks; see `Layout.read_mask`.

    Args:
        committed: the data version.
        path: landed path of the table.
        places: int64 of shape (n, 2).
        view: always `row`.

    Returns:
        Bool of shape (n, features), all true.
    """
    return np.ones((len(places), len(committed.document.features)), dtype=bool)


def read_labels(
    committed: CommittedDataset, path: str, places: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Refuse: rows have no label raster, see `Layout.read_labels`.

    Args:
        committed: the data version.
        path: landed path of the table.
        places: int64 of shape (n, 2).

    Raises:
        SpecificationError: always.
    """
    raise SpecificationError(f"{committed.reference} is a table; its labels are in the samples")


def _file(path: str, samples: pd.DataFrame) -> FileRow:
    """Return the manifest row of a table.

    It has a bounding box if all rows have a place, and a time if all rows have the same.
    """
    row: FileRow = {"path": path, "role": "table"}
    if "longitude" in samples and samples["longitude"].notna().all():
        places = samples[["longitude", "latitude"]].to_numpy(dtype=np.float64)
        row["bbox"] = enclosing(np.hstack([places, places]))
    if "time" in samples and samples["time"].nunique() == 1:
        row["datetime"] = samples["time"].iloc[0]
    return row


def _refuse(specification: DatasetSpecification, problems: list[str]) -> None:
    if problems:
        raise DataProblems(f"landing of {specification.name}", problems)


def _delimiter(local: Path, layout: TableLayout) -> str:
    delimiters = ",;\t| ".replace(layout.decimal, "")  # the decimal mark is in every line, too
    encoding = "utf-8-sig" if layout.encoding == UTF_8 else layout.encoding
    with local.open(encoding=encoding, newline="") as stream:
        head = stream.read(65536)
    lines = [line for line in head.splitlines() if line.strip()][:50]
    try:
        return (
            csv.Sniffer()
            .sniff("\n".join(lines[:-1] if len(lines) > 2 else lines), delimiters=delimiters)
            .delimiter
        )
    except csv.Error:
        return delimiters[0]


def _samples(
    path: str,
    table: pd.DataFrame,
    layout: TableLayout,
    features: list[str],
    classes: list[ClassName] | None,
) -> pd.DataFrame:
    if classes is None:
        label: pd.Series = to_numbers(table[layout.label], layout.decimal)
    else:
        label = table[layout.label].map(values_by_text(classes))
    matrix = np.ascontiguousarray(feature_matrix(table, features))
    found = pd.DataFrame(
        {
            "path": path,
            "row": np.arange(len(table)),
            "column": -1,
            "label": label.to_numpy(),
            "group": table[layout.group].to_numpy(dtype=object) if layout.group else None,
            "content": [row.tobytes() for row in matrix],
        }
    )
    if layout.split:
        found["declared_split"] = table[layout.split].str.lower().to_numpy()
    if layout.time:
        found["time"] = times_of(table[layout.time]).to_numpy()
    places = places_of(table, layout)
    if places is not None:
        found["longitude"], found["latitude"] = places
    return found
