"""Small files that would become very large, or end the process.

Each is refused within two gigabytes of memory.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import rasterio

from mlops_assets.datasets.readers.table_memory import require_believable_size
from mlops_assets_tests import interpreter

READ = """
import resource, sys
from pathlib import Path
resource.setrlimit(resource.RLIMIT_DATA, (2 << 30, 2 << 30))
from mlops_assets.errors import MlopsError
path = Path(sys.argv[1])
try:
    if path.suffix == ".parquet":
        from mlops_assets.datasets.readers.table import read_table
        from mlops_assets.datasets.specification.source import TableLayout
        read_table(path, path.name, TableLayout(label="label"))
    elif path.suffix == ".npy":
        from mlops_assets.datasets.io.npy import npy_facts
        npy_facts(path)
    elif path.suffix == ".onnx":
        from mlops_assets.models.export.uploaded_onnx import read_sent
        read_sent(path, (1,), "regression", 0)
    else:
        from mlops_assets.datasets.io.rasters import open_raster
        with open_raster(path):
            pass
except (ValueError, MlopsError) as error:
    print("refused:", error)
"""


def repeated_numbers(folder: Path) -> Path:
    path, zeros = folder / "x.parquet", pa.table({"label": np.zeros(2_000_000, dtype=np.int64)})
    with pq.ParquetWriter(path, zeros.schema, use_dictionary=False, compression="zstd") as writer:
        for _ in range(40):
            writer.write_table(zeros)
    return path


def repeated_text(folder: Path) -> Path:
    text = pa.DictionaryArray.from_arrays(
        pa.array([0] * 2_000, pa.int32()), pa.array(["x" * 1_000_000])
    )
    pq.write_table(
        pa.table({"label": text}),
        folder / "x.parquet",
        dictionary_pagesize_limit=1 << 30,
        store_schema=False,
    )
    return folder / "x.parquet"


def repeated_prefix(folder: Path) -> Path:
    encoding = {"label": "DELTA_BYTE_ARRAY"}
    table = pa.table({"label": ["x" * 1_000_000] * 600})
    pq.write_table(table, folder / "x.parquet", use_dictionary=False, column_encoding=encoding)
    return folder / "x.parquet"


def nested_columns(folder: Path) -> Path:
    kind = pa.int32()
    for _ in range(300):
        kind = pa.struct([("a", kind)])
    pq.write_table(pa.table({"label": pa.nulls(1, kind)}), folder / "x.parquet")
    return folder / "x.parquet"


def nested_header(folder: Path) -> Path:
    header = f"{{'descr':'<f4','fortran_order':False,'shape':({'-' * 9_000}1,)}}".encode()
    (folder / "x.npy").write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header)
    return folder / "x.npy"


def varint(value: int) -> bytes:
    found = b""
    while value > 127:
        found += bytes([value & 127 | 128])
        value >>= 7
    return found + bytes([value])


def empty_nodes(folder: Path) -> Path:
    graph = b"\x0a\x00" * 3_000_000
    (folder / "x.onnx").write_bytes(b"\x08\x08\x3a" + varint(len(graph)) + graph)
    return folder / "x.onnx"


def nested_graphs(folder: Path) -> Path:
    graph = b""
    for _ in range(5_000):
        for field in (b"\x32", b"\x2a", b"\x0a"):  # the graph of an attribute of a node of a graph
            graph = field + varint(len(graph)) + graph
    (folder / "x.onnx").write_bytes(b"\x08\x08\x3a" + varint(len(graph)) + graph)
    return folder / "x.onnx"


def one_tile(folder: Path) -> Path:
    path, size = folder / "x.tif", 33_024
    profile = {"width": size, "height": size, "count": 1, "dtype": "uint8", "crs": "EPSG:32632"}
    transform = rasterio.Affine(10, 0, 500_000, 0, -10, 5_000_000)
    tiles = {
        "tiled": True,
        "blockxsize": size,
        "blockysize": size,
        "sparse_ok": True,
        "compress": "deflate",
    }
    with rasterio.open(path, "w", driver="GTiff", transform=transform, **profile, **tiles):
        pass
    with path.open("ab") as stream:  # enough for the pixels to be believed
        stream.write(b"\0" * 400_000)
    return path


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (repeated_numbers, "in memory"),
        (repeated_text, "in memory"),
        (repeated_prefix, "in memory"),
        (nested_columns, "too deeply nested"),
        (nested_header, "cannot be read as an array"),
        (empty_nodes, "more than 1,000,000 nodes"),
        (nested_graphs, "is not an ONNX file"),
        (one_tile, "which are read whole"),
    ],
)
def test_a_small_file_that_would_become_large_is_refused(
    made: Callable[[Path], Path], said: str, tmp_path: Path
) -> None:
    path = made(tmp_path)
    done = interpreter.run(["-c", READ, str(path)])
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("refused:") and said in done.stdout


def test_tables_that_people_have_are_believed(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number, columns in enumerate(
        (
            {
                "label": rng.choice(["wheat", "maize"], 100_000),
                "scene": ["S2A_20210101"] * 100_000,
                "b": np.zeros(100_000),
            },
            {"label": [None, "a", None]},
            {"label": pa.array([], pa.string())},
            {"label": ["x" * 1_000_000] * 20, "bytes": [b"x" * 100] * 20},
            {"label": ["a"], "list": [["a" * 1_000_000] * 1_000]},
        )
    ):
        pq.write_table(pa.table(columns), tmp_path / f"{number}.parquet")
        require_believable_size(tmp_path / f"{number}.parquet")
