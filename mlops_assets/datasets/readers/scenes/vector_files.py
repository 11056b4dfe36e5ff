"""Vector files that may come from anyone: which they are, and opening them without side effects.

GDAL opens each with the driver of its format only, and nothing that it names: no other file, no
server. What the features mean is in `vector_labels`.
"""

from __future__ import annotations

import json
import logging
import re
import shutil
import sqlite3
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from mlops_assets.datasets.readers.table_geoparquet import read_geoparquet
from mlops_assets.datasets.specification.source import VECTOR_SUFFIXES
from mlops_assets.storage.scratch import scratch_folder

if TYPE_CHECKING:
    from mlops_assets.datasets.io.geopandas_types import GeoDataFrame
    from mlops_assets.datasets.sources import LandedFile

MAGIC = {".gpkg": b"SQLite format 3\0", ".shp": b"\0\0\x27\x0a", ".fgb": b"fgb\x03fgb"}
HEAD_BYTES = 16
# definitions as SQLite itself stores them in its file, and of the spatial index of a GeoPackage
PLAIN_SQL = (
    r"CREATE (TABLE|VIEW|INDEX|UNIQUE INDEX|TRIGGER)\s|(?i:CREATE VIRTUAL TABLE [^(]+ USING"
    r" rtree\s*\()"
)
# other files of a Shapefile
SIDECARS = (
    ".shx",
    ".dbf",
    ".prj",
    ".cpg",
    ".qix",
    ".sbn",
    ".sbx",
)
# tables with generated columns (2: virtual, 3: stored)
COMPUTED_SQL = """
    SELECT t.name FROM sqlite_master AS t, pragma_table_xinfo(t.name) AS c
    WHERE t.type = 'table' AND c.hidden IN (2, 3)
"""
# functions of GDAL that read files or send requests; `gpkg_ogr_contents` is GDAL's own table
ACTING_SQL = r"(?i)(?<![a-z_])(ogr_|gdal_)|load_extension|fromfile"


def is_vector(path: str) -> bool:
    """Return whether a file of this name is read as vector labels."""
    return path.lower().endswith(VECTOR_SUFFIXES)


def sidecars(path: str, paths: Iterable[str]) -> list[str]:
    """Return the landed files that belong to a Shapefile, in any spelling of their endings."""
    stem, _, suffix = path.rpartition(".")
    if suffix.lower() != "shp":
        return []
    return [p for p in paths if p.rpartition(".")[0] == stem and p[len(stem) :].lower() in SIDECARS]


def unsaved(path: str, files: Mapping[str, LandedFile]) -> str | None:
    """Return why a GeoPackage is incomplete: changes of an open program are in another file."""
    for suffix in ("-wal", "-journal") if path.lower().endswith(".gpkg") else ():
        beside = files.get(path + suffix)
        if beside is not None and beside.size:
            return (
                f"has changes in {PurePosixPath(beside.path).name} that are not in it yet; close"
                " the program that has it open, such as QGIS, or write it anew with ogr2ogr"
            )
    return None


def read_vector(name: str, files: Mapping[str, Path]) -> GeoDataFrame:
    """Read the one layer of a vector file.

    Args:
        name: its name among `files`.
        files: local paths of the file and its sidecars, by name without folders.

    Raises:
        ValueError: it cannot be read, or may read other files.
    """
    from pyogrio.errors import DataLayerError, DataSourceError
    from pyproj.exceptions import CRSError

    with scratch_folder("vector") as folder:
        for own, local in files.items():
            _place(local, folder / own)
        path = folder / name
        read = read_geoparquet if name.lower().endswith("parquet") else _read_layer
        try:
            with _logged_warnings():
                return read(path)
        except (
            CRSError,
            DataLayerError,
            DataSourceError,
            OSError,
            ValueError,
            RecursionError,
        ) as error:
            reason = (
                (str(error) or type(error).__name__)
                .splitlines()[0]
                .partition(";")[0]
                .replace(f"{folder}/", "")
            )
            raise ValueError(
                f"cannot be read as vector labels: {reason}; correct or replace the file"
            ) from error


def _place(local: Path, own: Path) -> None:
    """Give a file its name in a folder.

    A GeoPackage is copied: SQLite resolves links, reads unsaved changes beside the target, and may
    write a log there.
    """
    if own.suffix.lower() == ".gpkg":
        shutil.copyfile(local, own)
    else:
        own.symlink_to(local.resolve())


@contextmanager
def _logged_warnings() -> Iterator[None]:
    """Send GDAL's warnings to the log, where those about rasters are."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        yield
    for warning in found:
        logging.getLogger("pyogrio").warning("%s", warning.message)


def _read_layer(path: Path) -> GeoDataFrame:
    """Read the one layer of a file that has geometry.

    GIS programs keep styles and the like in others.

    Raises:
        ValueError: several layers have geometry.
    """
    import geopandas
    import pyogrio

    source = _only_driver(path)
    layers = [str(layer) for layer, geometry in pyogrio.list_layers(source) if geometry is not None]
    if len(layers) > 1:
        raise ValueError(
            f"has {len(layers)} layers with geometry ({', '.join(layers)}), of which one is allowed"
        )
    frame: GeoDataFrame = geopandas.read_file(
        source, engine="pyogrio", layer=layers[0] if layers else None
    )
    return frame


def _only_driver(path: Path) -> Path | str:
    """Return the name by which only the driver of its format opens a vector file.

    GDAL takes a document that names other files or servers (OGR VRT, WFS) for a vector file,
    whatever its name is, and pyogrio cannot limit it to one driver. Binary formats begin with bytes
    that end a text, so that no driver of documents takes them; GDAL's prefix `GeoJSON:` chooses
    that driver.

    Raises:
        ValueError: it has another format than its ending, or a coordinate reference system by
            URL, which GDAL would request.
    """
    with path.open("rb") as stream:
        head = stream.read(HEAD_BYTES)
    magic = MAGIC.get(path.suffix.lower())
    if magic is None:
        _require_own_crs(path)
        return f"GeoJSON:{path}"
    if not head.startswith(magic):
        raise ValueError(f"it is not a {path.suffix.lower()} file")
    if path.suffix.lower() == ".gpkg":
        _require_plain_tables(path)
    return path


def _require_plain_tables(path: Path) -> None:
    """Check that a GeoPackage has only tables of its own, whose rows are stored.

    Virtual tables of SpatiaLite are other files; rows of views and values of generated columns can
    be without end.

    Raises:
        ValueError: it has other tables, or is damaged.
    """
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)) as database:
            for name, statement in database.execute(
                "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL"
            ):
                if not re.match(PLAIN_SQL, str(statement)) or re.search(ACTING_SQL, str(statement)):
                    raise ValueError(
                        f"{name!r} in it is not a plain table, and may read other files; write it"
                        " as a table"
                    )
            computed = [name for (name,) in database.execute(COMPUTED_SQL)] or _views_read(database)
    except sqlite3.Error as error:
        raise ValueError(f"it is not a valid GeoPackage: {error}") from error
    if computed:
        raise ValueError(
            f"{computed[0]!r} in it is a view, or has a column that is computed; write it as a"
            " table"
        )


def _views_read(database: sqlite3.Connection) -> list[str]:
    """Return the views of a GeoPackage that are layers, or that stand for its own tables."""
    views = [
        str(name)
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'view'")
    ]
    own = [name for name in views if name.lower().startswith("gpkg_")]
    if own or not views:
        return own
    layers = {
        str(name).lower() for (name,) in database.execute("SELECT table_name FROM gpkg_contents")
    }
    return [name for name in views if name.lower() in layers]


def _require_own_crs(path: Path) -> None:
    """Check that GeoJSON is valid, and refers to no coordinate reference system by URL.

    A reference is refused at any place, also where `crs` is given twice.

    Raises:
        ValueError: it is not valid, or has such a reference.
    """
    link = object()

    def kept(pairs: list[tuple[str, object]]) -> object:
        members = [(key.lower(), value) for key, value in pairs]
        if any(key == "crs" and value is link for key, value in members):
            raise ValueError(
                "its 'crs' is a link to another document; name it instead:"
                " urn:ogc:def:crs:EPSG::CODE"
            )
        return (
            link
            if any(key == "type" and str(value).lower() != "name" for key, value in members)
            else None
        )

    try:
        json.loads(path.read_bytes().decode("utf-8-sig"), object_pairs_hook=kept)
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not valid GeoJSON at line {error.lineno}: {error.msg}") from error
