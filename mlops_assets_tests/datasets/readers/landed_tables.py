"""Tables for the contract of the layouts.

CSV with places and times, Parquet, GeoParquet with numbers to learn.
"""

from __future__ import annotations

from pathlib import Path

import geopandas
import numpy as np
import pandas as pd

from mlops_assets.testing.readers import ReaderCase, Truth
from mlops_assets_tests.datasets.readers.ground import BOUNDS, CLASSES

FIRST_ROWS, MORE_ROWS = 30, 10  # of the file that grows, and of each further one


def rows() -> pd.DataFrame:
    """Samples on a 100 m grid, four a farm."""
    rng, count = np.random.default_rng(0), 400
    number = np.arange(count)
    return pd.DataFrame(
        {
            "red": rng.random(count).round(4),
            "nir": rng.random(count).round(4),
            "crop": rng.choice([1, 2], count),
            "height": rng.random(count).round(3) * 30,
            "farm": [f"farm {i // 4}" for i in number],
            "when": pd.date_range("2020-01-01", periods=count, tz="UTC"),
            "x": 500_000.0 + 100 * (number % 20),
            "y": 4_700_000.0 - 100 * (number // 20),
        }
    )


def files(count: int) -> dict[str, pd.DataFrame]:
    """One file that gets longer with `count`, and as many others."""
    table = rows()
    parts = {"a": table.iloc[: FIRST_ROWS * count // 3]}
    for number in range(count):
        start = 200 + number * MORE_ROWS
        parts[f"sub/b{number}"] = table.iloc[start : start + MORE_ROWS]
    return parts


def truth(tables: dict[str, pd.DataFrame], label: str) -> Truth:
    found = Truth()
    for path, table in tables.items():
        found.values[path] = table[["red", "nir"]].to_numpy(dtype=np.float32)
        found.labels[path] = table[label].tolist()
        found.files[path] = {"role": "table"}
    return found


def located(tables: dict[str, pd.DataFrame]) -> dict[str, geopandas.GeoDataFrame]:
    return {
        path: geopandas.GeoDataFrame(
            table.drop(columns=["x", "y"]),
            geometry=geopandas.points_from_xy(table["x"], table["y"]),
            crs="EPSG:32630",
        )
        for path, table in tables.items()
    }


def add_boxes(found: Truth, tables: dict[str, geopandas.GeoDataFrame]) -> Truth:
    for path, table in tables.items():
        found.files[path]["bbox"] = table.to_crs("EPSG:4326").total_bounds.tolist()
    return found


def land_csv(folder: Path, count: int) -> Truth:
    tables = {f"{path}.csv": table for path, table in files(count).items()}
    places = located(tables)
    (folder / "sub").mkdir(parents=True, exist_ok=True)
    for path, table in places.items():
        degrees = table.geometry.to_crs("EPSG:4326")
        columns = table.drop(columns="geometry").assign(
            crop=table["crop"].map(CLASSES), longitude=degrees.x, latitude=degrees.y
        )
        columns.to_csv(folder / path, index=False)
    found = add_boxes(truth(tables, "crop"), places)
    found.labels = {
        path: [CLASSES[value] for value in labels] for path, labels in found.labels.items()
    }
    return found


def land_parquet(folder: Path, count: int) -> Truth:
    tables = {f"{path}.parquet": table for path, table in files(count).items()}
    (folder / "sub").mkdir(parents=True, exist_ok=True)
    for path, table in tables.items():
        table[["crop", "nir", "farm", "red"]].to_parquet(folder / path)
    return truth(tables, "crop")


def land_geoparquet(folder: Path, count: int) -> Truth:
    tables = {f"{path}.geoparquet": table for path, table in files(count).items()}
    places = located(tables)
    (folder / "sub").mkdir(parents=True, exist_ok=True)
    for path, table in places.items():
        table.to_parquet(folder / path)
    return add_boxes(truth(tables, "height"), places)


FEATURES = ["red", "nir"]
TABLE = {"features": FEATURES, "group": "farm"}
PLACES = {"longitude": "longitude", "latitude": "latitude"}
BLOCKS = {"spatial_block": {"block": 500, "buffer": 100}}
TABLES = [
    ReaderCase(
        "csv",
        {"layout": "table", "table": {"label": "crop", "time": "when", **TABLE, **PLACES}},
        land_csv,
        "row",
        {"random": {}, "group": {}, **BLOCKS},
        FEATURES,
        found_classes={"land": "land", "water": "water"},
        bounds=BOUNDS,
        timed=True,
    ),
    ReaderCase(
        "parquet",
        {"layout": "table", "table": {"label": "crop", **TABLE}},
        land_parquet,
        "row",
        {"random": {}, "group": {}},
        FEATURES,
        classes=CLASSES,
    ),
    ReaderCase(
        "geoparquet",
        {"layout": "table", "table": {"label": "height", **TABLE}},
        land_geoparquet,
        "row",
        {"random": {}, "group": {}, **BLOCKS},
        FEATURES,
        bounds=BOUNDS,
    ),
]
