"""The manifest of a data version: one row per file, encoded as stac-geoparquet.

`commit` decides which files belong to a version.

Every row is a STAC Item for one file (https://radiantearth.github.io/stac-geoparquet-spec/), so
DuckDB, GeoPandas and rustac open the manifest directly. Columns have STAC's names where it has one:
`path` is the asset's `file:local_path`, `sha256` its `file:checksum`, `crs` is `proj:code` (or
`proj:wkt2`), and so on; the rest is called `mlops:…`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mlops_assets.datasets.io.media_types import media_types
from mlops_assets.datasets.versions.contents import FILE_COLUMNS, ascends, unknown
from mlops_assets.paths import OBJECTS, PACKS, object_href
from mlops_assets.storage.checksums import MULTIHASH_SHA256
from mlops_assets.storage.packs import Place

if TYPE_CHECKING:
    import pandas as pd

MAIN_ROLES = ("image", "table")  # what samples are read from; labels and sidecars come with them
COLUMNS = ["path", "sha256", "size", "href", "pack", "offset", *FILE_COLUMNS[1:]]
STAC_VERSION = "1.1.0"
STAC_GEOPARQUET_VERSION = "1.1.0"
EXTENSIONS = [
    f"https://stac-extensions.github.io/{name}/schema.json"
    for name in ("file/v2.1.0", "projection/v2.0.0", "version/v1.2.0")
]
ASSET_ROLES = {
    "image": ["data"],
    "labels": ["labels"],
    "table": ["data"],
    "sidecar": ["metadata"],
    "catalog": ["metadata"],
}
# STAC's; others are equal
DATA_TYPES = {
    "complex64": "cfloat32",
    "complex128": "cfloat64",
    "complex_int16": "cint16",
}
# what `proj:code` takes; other texts are WKT
CRS_CODE = re.compile("[A-Za-z0-9_]+:[A-Za-z0-9_.-]+")
BBOX = ("xmin", "ymin", "xmax", "ymax")
WORKSPACE = "../../../"  # from datasets/<name>/<version>/ to where keys begin
_UNSAFE = re.compile("[^A-Za-z0-9_.-]")
_MAX_ID = 100  # characters; ids become names of files
_ROWS_AT_ONCE = 1 << 16  # bounds the memory that geometries take; also a good size of a row group
TIME_COLUMNS = ["datetime", "start_datetime", "mlops:datetime_is"]
# which manifests of earlier releases lack
_BANDS = {
    "band_names": "mlops:band_names",
    "bands": "mlops:bands",
    "masked": "mlops:masked",
    "scales": "mlops:scales",
    "offsets": "mlops:offsets",
    "remarks": "mlops:remarks",
}
_OFFSET = "mlops:offset"  # which they lack, too; null where the bytes are no part of a pack
_TEXT, _WHOLE, _REAL, _TIME = pa.string(), pa.int64(), pa.float64(), pa.timestamp("us", "UTC")
PACKED_FILES = pa.schema(
    {"path": _TEXT, "sha256": _TEXT, "size": _WHOLE, "pack": _TEXT, "offset": _WHOLE}
)


def write_manifest(
    sink: IO[bytes],
    rows: pd.DataFrame,
    dataset: str,
    version: str,
    created: datetime,
    interval: Sequence[datetime | None] = (None, None),
) -> None:
    """Write the manifest file of a data version, sorted by path.

    The same rows, in any order, give the same bytes.

    Args:
        sink: where the content of `manifest.parquet` goes, in row groups.
        rows: one row a file, with the columns `COLUMNS`; all but `path`, `sha256` and `size` may be
            missing or null. `href` is null when the bytes are in the object store, else the URL the
            file is kept by reference at. `pack` is the sha256 (hex) of the pack that the bytes are
            in, from `offset` on; both are null for a single object. `bbox` is west, south, east,
            north in degrees; west > east across the antimeridian. `source` is the URL of the STAC
            Item that the file was described by.
        dataset: name of the dataset.
        version: the data version, `v1`.
        created: when the version was published; a file without `datetime` is not younger.
        interval: first and last time as declared, for files without `datetime`. An Item needs a
            moment: theirs is the first, else the last (`mlops:datetime_is` is then `latest`), else
            `created` (`unknown`).
    """
    constants = {
        "collection": f"{dataset}-{version}",
        "version": version,
        "links": [
            {
                "rel": "collection",
                "type": "application/json",
                "href": f"{WORKSPACE}catalog/datasets/{dataset}/{version}/collection.json",
            }
        ],
        "since": interval[0],
        "until": (interval[1] or created) if interval[0] else None,
        "nominal": interval[0] or interval[1] or created,
        "nominal_is": None,
    }
    if interval[0] is None:
        constants["nominal_is"] = "unknown" if interval[1] is None else "latest"
    order = None
    if not ascends(rows["path"]):
        order = rows["path"].argsort(kind="stable").to_numpy()
    schema = _items(rows.iloc[:0].reindex(columns=COLUMNS), np.empty((0, 4)), constants).schema
    bounds = _Bounds()
    with pq.ParquetWriter(sink, schema, compression="zstd") as writer:
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            place = slice(start, start + _ROWS_AT_ONCE)
            part = rows.iloc[place if order is None else order[place]].reindex(columns=COLUMNS)
            boxes = _boxes(part["bbox"])
            bounds.add(boxes)
            writer.write_table(_items(part, boxes, constants))
            pa.default_memory_pool().release_unused()
        stac = {"version": STAC_GEOPARQUET_VERSION}
        writer.add_key_value_metadata(
            {"geo": json.dumps(bounds.metadata()), "stac-geoparquet": json.dumps(stac)}
        )


def read_manifest(content: bytes, columns: Sequence[str] = COLUMNS) -> pd.DataFrame:
    """Return the rows of a manifest file, sorted by path.

    Args:
        content: the manifest file.
        columns: some of `COLUMNS`; others are not decoded.

    Returns:
        These columns. Unknown is NaN in texts and in `nodata`, `<NA>` in `offset`, `part`,
        `height`, `width` and `count` (Int64), NaT in `datetime` (UTC), and None in `masked`, and in
        `transform`, `bbox`, `band_names`, `bands`, `scales`, `offsets` and `remarks`, which are
        lists otherwise.
    """
    import pandas as pd

    file = pq.ParquetFile(pa.BufferReader(content))
    rows = file.metadata.num_rows
    present = set(file.schema_arrow.names)

    def read(*names: str) -> pa.Table:
        return file.read(columns=list(names)).combine_chunks()

    def asset(name: str) -> pa.Array:
        assets = read(f"assets.data.{name}")["assets"]
        return pc.struct_field(pc.struct_field(assets, "data"), name)

    def column(values: pa.Array | pa.ChunkedArray) -> pd.Series:
        table = pa.table([values], [""])
        frame: pd.DataFrame = table.to_pandas(types_mapper={_WHOLE: pd.Int64Dtype()}.get)
        return frame[""]

    def listed(values: pa.Array | pa.ChunkedArray) -> pd.Series:
        if values.null_count == rows:
            return unknown(rows)
        return pd.Series(values.to_pylist(), dtype=object)

    def described(stored: str) -> pd.Series:
        return listed(read(stored)[0] if stored in present else pa.nulls(rows))

    # column by column, as all at once in Arrow take several times the memory of the result
    decoded: dict[str, Callable[[], pd.Series]] = {
        "path": lambda: column(asset("file:local_path")),
        "sha256": lambda: column(_sha256(asset("file:checksum"))),
        "size": lambda: pd.Series(asset("file:size").to_numpy()),
        "href": lambda: column(_references(asset("href"))),
        "pack": lambda: column(_packs(asset("href"))),
        "offset": lambda: column(
            read(_OFFSET)[0] if _OFFSET in present else pa.nulls(rows, _WHOLE)
        ),
        "role": lambda: column(read("mlops:role")[0]),
        "scene": lambda: column(read("mlops:scene")[0]),
        "part": lambda: column(read("mlops:part")[0]),
        "height": lambda: column(pc.list_element(read("proj:shape")[0], 0)),
        "width": lambda: column(pc.list_element(read("proj:shape")[0], 1)),
        "count": lambda: column(read("mlops:count")[0]),
        "dtype": lambda: column(read("data_type")[0]).replace(
            {v: k for k, v in DATA_TYPES.items()}
        ),
        "nodata": lambda: column(read("nodata")[0]),
        "crs": lambda: column(pc.coalesce(*read("proj:code", "proj:wkt2").columns)),
        "datetime": lambda: column(
            file_times(read(*(name for name in TIME_COLUMNS if name in present)))
        ),
        "source": lambda: column(read("mlops:source")[0]),
        "transform": lambda: listed(read("proj:transform")[0]),
        "bbox": lambda: listed(_lists(read("bbox")[0])),
        **{name: partial(described, stored) for name, stored in _BANDS.items()},
    }
    frame = {name: decoded[name]() for name in columns}
    return pd.DataFrame(frame, columns=list(columns), copy=False)


def checksums(content: bytes) -> Iterator[tuple[pa.Array, pa.Array]]:
    """Yield paths and checksums (hex) of the files in a manifest, in order, some at a time.

    Args:
        content: the manifest file.
    """
    file = pq.ParquetFile(pa.BufferReader(content))
    columns = [f"assets.data.{name}" for name in ("file:local_path", "file:checksum")]
    for group in range(file.metadata.num_row_groups):
        table = file.read_row_group(group, columns=columns, use_threads=False)
        asset = pc.struct_field(table["assets"].combine_chunks(), "data")
        texts = pc.struct_field(asset, "file:checksum")
        yield (
            pc.struct_field(asset, "file:local_path"),
            _sha256(texts),
        )


def files_with(content: bytes, sha256: str) -> pd.DataFrame:
    """Return the rows of a manifest file that have a checksum; of the others little is decoded.

    Args:
        content: the manifest file.
        sha256: of the files' bytes.

    Returns:
        The columns `path`, `sha256`, `size` and `role`.
    """
    leaves = ("file:local_path", "file:checksum", "file:size")
    wanted = [*(f"assets.data.{leaf}" for leaf in leaves), "mlops:role"]
    table = pq.ParquetFile(pa.BufferReader(content)).read(columns=wanted)
    asset = pc.struct_field(table["assets"], "data")
    found = pc.equal(pc.struct_field(asset, "file:checksum"), f"{MULTIHASH_SHA256}{sha256}")
    columns = {"path": pc.struct_field(asset, "file:local_path")}
    columns |= {"size": pc.struct_field(asset, "file:size"), "role": table["mlops:role"]}
    frame: pd.DataFrame = pa.table(columns).filter(found).to_pandas()
    return frame.assign(sha256=sha256)


def knows_bands(content: bytes) -> bool:
    """Return whether a manifest file states how the bands of its files are called and read."""
    return set(_BANDS.values()) <= set(pq.read_schema(pa.BufferReader(content)).names)


def single_objects(content: bytes) -> NDArray[np.bytes_]:
    """Return the checksums of a manifest's files that are single objects, sorted.

    Args:
        content: of the manifest file.
    """
    file = pq.ParquetFile(pa.BufferReader(content))
    table = file.read(columns=["assets.data.href", "assets.data.file:checksum"])
    asset = pc.struct_field(table["assets"].combine_chunks(), "data")
    single = pc.starts_with(pc.struct_field(asset, "href"), WORKSPACE + OBJECTS)
    checksums = pc.struct_field(asset, "file:checksum").filter(single)
    texts = _sha256(checksums)
    return np.sort(texts.to_numpy(zero_copy_only=False).astype("S64"))


def packed_objects(content: bytes) -> dict[str, Place]:
    """Return the places of a manifest's files that are in packs, by checksum.

    Args:
        content: of the manifest file.
    """
    table = packed_files(content)
    places = map(Place, table["pack"].to_pylist(), table["offset"].to_pylist())
    return dict(zip(table["sha256"].to_pylist(), places, strict=True))


def packed_files(content: bytes) -> pa.Table:
    """Return the columns `PACKED_FILES` of the files that are in packs of this workspace.

    Args:
        content: of the manifest file.
    """
    file = pq.ParquetFile(pa.BufferReader(content))
    fields = ("file:local_path", "file:checksum", "file:size", "href")
    if _OFFSET not in file.schema_arrow.names:  # of a release without packs
        return PACKED_FILES.empty_table()
    table = file.read(columns=[*(f"assets.data.{name}" for name in fields), _OFFSET])
    table = table.combine_chunks().filter(pc.is_valid(table[_OFFSET]))
    asset = pc.struct_field(table["assets"], "data")
    path, checksum, size, href = (pc.struct_field(asset, name) for name in fields)
    sha256 = _sha256(checksum)
    found = pa.table([path, sha256, size, _packs(href), table[_OFFSET]], schema=PACKED_FILES)
    return found.filter(pc.is_valid(found["pack"]))  # others are in packs of other workspaces


def file_times(table: pa.Table) -> pa.ChunkedArray | pa.Array:
    """Return each file's own time, null where the time of its Item is declared or nominal.

    Args:
        table: the columns `TIME_COLUMNS` of a manifest; older ones lack the last.
    """
    nominal = pc.is_valid(table["start_datetime"])
    if TIME_COLUMNS[-1] in table.column_names:
        nominal = pc.or_(nominal, pc.is_valid(table[TIME_COLUMNS[-1]]))
    # a scalar would import pandas, which commands that only show go without
    unknown = pa.nulls(len(nominal), _TIME)
    return pc.if_else(nominal, unknown, table["datetime"])


def item_id(path: str) -> str:
    """Return an id that is safe in URLs, and unique in its version.

    It does not depend on the other files. A path in which something had to be replaced or cut off
    gets the start of its own sha256 behind it.
    """
    name = _UNSAFE.sub("_", path)[:_MAX_ID]
    return name if name == path else f"{name}-{hashlib.sha256(path.encode()).hexdigest()[:12]}"


def footprints(boxes: NDArray[np.float64]) -> NDArray[np.object_]:
    """Return boxes as polygons, None where a number is not finite.

    Args:
        boxes: west, south, east, north, degrees, of shape (n, 4). West > east means across the
            antimeridian; such a box becomes two polygons that meet at it (RFC 7946, 3.1.9), not one
            around the world.
    """
    import shapely

    west, south, east, north = boxes.T
    geometries = np.full(len(boxes), None, dtype=object)
    plain, crossing = _plain(boxes), west > east
    geometries[plain] = shapely.box(*boxes[plain].T)
    if crossing.any():
        eastern = shapely.box(west[crossing], south[crossing], 180.0, north[crossing])
        western = shapely.box(-180.0, south[crossing], east[crossing], north[crossing])
        geometries[crossing] = shapely.multipolygons(np.stack([eastern, western], axis=1))
    return geometries


def _plain(boxes: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which boxes are known and do not cross the antimeridian."""
    return np.isfinite(boxes).all(axis=1) & (boxes[:, 0] <= boxes[:, 2])


class _Bounds:
    """The metadata of all geometries for GeoParquet: their types, and the box around them."""

    def __init__(self) -> None:
        self.crossing = False
        self.box = [np.inf, np.inf, -np.inf, -np.inf]

    def add(self, boxes: NDArray[np.float64]) -> None:
        self.crossing |= bool((boxes[:, 0] > boxes[:, 2]).any())
        low, high = np.split(np.vstack([self.box, boxes[_plain(boxes)]]), 2, axis=1)
        self.box = [*low.min(axis=0).tolist(), *high.max(axis=0).tolist()]

    def metadata(self) -> dict[str, object]:
        """Return the metadata `geo` of GeoParquet 1.1.

        No CRS in it means longitude and latitude (OGC:CRS84).

        rustac 0.9 fails on null geometries of no type, and on null ones among those of two types:
        so it is `Polygon` where all are null, and "not known" where some cross the antimeridian;
        GeoParquet allows both.
        """
        column: dict[str, object] = {
            "encoding": "WKB",
            "geometry_types": [] if self.crossing else ["Polygon"],
            "covering": {"bbox": {side: ["bbox", side] for side in BBOX}},
        }
        if not self.crossing and np.isfinite(self.box).all():
            column["bbox"] = self.box
        return {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}


def _items(rows: pd.DataFrame, boxes: NDArray[np.float64], constants: dict[str, Any]) -> pa.Table:
    """The rows as STAC Items, one column a field."""
    import pandas as pd
    import shapely

    def same(value: object, kind: pa.DataType) -> pa.Array:
        return pa.array([value] * len(rows), kind)

    def where_undated(value: object, kind: pa.DataType) -> pa.Array:
        return pc.if_else(undated, pa.scalar(value, kind), pa.scalar(None, kind))

    link = pa.struct([("rel", _TEXT), ("href", _TEXT), ("type", _TEXT)])
    known = np.isfinite(boxes).all(axis=1)
    crs = _column(rows["crs"], _TEXT)
    moments = _column(pd.to_datetime(rows["datetime"], utc=True).dt.as_unit("us"), _TIME)
    code = pc.match_substring_regex(crs, f"^({CRS_CODE.pattern})$")
    undated = pc.is_null(moments)
    return pa.table(
        {
            "type": same("Feature", _TEXT),
            "stac_version": same(STAC_VERSION, _TEXT),
            "stac_extensions": same(EXTENSIONS, pa.list_(_TEXT)),
            "id": pa.array(
                [f"{constants['collection']}-{item_id(path)}" for path in rows["path"]], _TEXT
            ),
            "geometry": pa.array(shapely.to_wkb(footprints(boxes)), pa.binary()),
            "bbox": pa.StructArray.from_arrays(
                [pa.array(side) for side in boxes.T], BBOX, mask=pa.array(~known)
            ),
            "links": same(constants["links"], pa.list_(link)),
            "assets": pa.StructArray.from_arrays([_assets(rows)], ["data"]),
            "collection": same(constants["collection"], _TEXT),
            "datetime": pc.if_else(undated, pa.scalar(constants["nominal"], _TIME), moments),
            "start_datetime": where_undated(constants["since"], _TIME),
            "end_datetime": where_undated(constants["until"], _TIME),
            "version": same(constants["version"], _TEXT),
            "proj:code": pc.if_else(code, crs, pa.scalar(None, _TEXT)),
            "proj:wkt2": pc.if_else(code, pa.scalar(None, _TEXT), crs),
            "proj:shape": _pairs(_column(rows["height"], _WHOLE), _column(rows["width"], _WHOLE)),
            "proj:transform": _column(rows["transform"], pa.list_(_REAL)),
            "data_type": _column(rows["dtype"].replace(DATA_TYPES), _TEXT),
            "nodata": _column(rows["nodata"], _REAL),
            "mlops:datetime_is": where_undated(constants["nominal_is"], _TEXT),
            "mlops:count": _column(rows["count"], _WHOLE),
            "mlops:role": _column(rows["role"], _TEXT),
            "mlops:scene": _column(rows["scene"], _TEXT),
            "mlops:part": _column(rows["part"], _WHOLE),
            "mlops:source": _column(rows["source"], _TEXT),
            "mlops:band_names": _column(rows["band_names"], pa.list_(_TEXT)),
            "mlops:bands": _column(rows["bands"], pa.list_(_WHOLE)),
            "mlops:masked": _column(rows["masked"], pa.bool_()),
            "mlops:scales": _column(rows["scales"], pa.list_(_REAL)),
            "mlops:offsets": _column(rows["offsets"], pa.list_(_REAL)),
            "mlops:remarks": _column(rows["remarks"], pa.list_(_TEXT)),
            _OFFSET: _column(rows["offset"], _WHOLE),
        }
    )


def _assets(rows: pd.DataFrame) -> pa.StructArray:
    sha256 = _column(rows["sha256"], _TEXT)
    roles = [ASSET_ROLES.get(role, ["data"]) for role in rows["role"]]
    fields = {
        "href": pc.coalesce(_column(rows["href"], _TEXT), _stored(sha256, rows["pack"])),
        "type": _column(media_types(rows["path"]), _TEXT),
        "roles": pa.array(roles, pa.list_(_TEXT)),
        "file:checksum": pc.binary_join_element_wise(MULTIHASH_SHA256, sha256, ""),
        "file:size": _column(rows["size"], _WHOLE),
        "file:local_path": _column(rows["path"], _TEXT),
    }
    return pa.StructArray.from_arrays(list(fields.values()), list(fields))


def _stored(sha256: pa.Array, packs: pd.Series) -> pa.Array:
    """The hrefs of objects: `object_href` of each, without a Python object each."""
    names = packs.astype("category").cat
    folders = [WORKSPACE + object_href("", pack) for pack in names.categories]
    codes = pa.array(names.codes, pa.int32())
    codes = pc.if_else(pc.less(codes, 0), None, codes)
    start, rest = pc.utf8_slice_codeunits(sha256, 0, 2), pc.utf8_slice_codeunits(sha256, 2)
    single = pc.binary_join_element_wise(f"{WORKSPACE}{OBJECTS}", start, rest, "/")
    packed = pc.binary_join_element_wise(pa.array(folders, _TEXT).take(codes), sha256, "")
    return pc.coalesce(packed, single)


def _sha256(checksums: pa.Array) -> pa.Array:
    """The SHA-256 (hex) of multihashes."""
    return pc.utf8_slice_codeunits(checksums, len(MULTIHASH_SHA256))


def _references(hrefs: pa.ChunkedArray) -> pa.Array:
    """The hrefs of files that are kept by reference, null for those in the object store."""
    return pc.if_else(pc.starts_with(hrefs, WORKSPACE), pa.scalar(None, _TEXT), hrefs)


def _packs(hrefs: pa.ChunkedArray) -> pa.Array:
    """The sha256 of the packs that hrefs lead into, null for all others."""
    parts = pc.extract_regex(
        hrefs, f"^{re.escape(WORKSPACE + PACKS)}/(?P<start>..)/(?P<rest>[^/]*)\\.zip/"
    )
    return pc.binary_join_element_wise(
        pc.struct_field(parts, "start"), pc.struct_field(parts, "rest"), ""
    )


def _column(values: pd.Series, kind: pa.DataType) -> pa.Array:
    if values.isna().all():  # of no type of its own
        return pa.nulls(len(values), kind)
    column = pa.array(values, kind, from_pandas=True)
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _boxes(column: pd.Series) -> NDArray[np.float64]:
    """Boxes as an array of shape (n, 4), NaN where unknown."""
    lists = _column(column, pa.list_(_REAL))
    boxes = np.full((len(column), 4), np.nan)
    boxes[lists.is_valid().to_numpy(zero_copy_only=False)] = (
        lists.flatten().to_numpy().reshape(-1, 4)
    )
    return boxes


def _lists(boxes: pa.ChunkedArray) -> pa.Array:
    """A struct column of boxes as lists."""
    flat = np.stack([pc.struct_field(boxes, side).to_numpy() for side in BBOX], axis=1).ravel()
    offsets = pa.array(np.arange(0, len(flat) + 1, 4, dtype=np.int32))
    return pa.ListArray.from_arrays(
        offsets, pa.array(flat), mask=pc.is_null(boxes).combine_chunks()
    )


def _pairs(first: pa.Array, second: pa.Array) -> pa.Array:
    """Two columns of whole numbers as one of lists; null where either is."""
    unknown = pc.or_(pc.is_null(first), pc.is_null(second))
    flat = np.stack(
        [pc.fill_null(first, 0).to_numpy(), pc.fill_null(second, 0).to_numpy()], axis=1
    ).ravel()
    offsets = pa.array(np.arange(0, len(flat) + 1, 2, dtype=np.int32))
    return pa.ListArray.from_arrays(offsets, pa.array(flat, _WHOLE), mask=unknown)
