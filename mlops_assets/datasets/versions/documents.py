"""Documents of a data version, read and written as bytes.

Their content is defined in `version_document`, `manifest` and `contents`.
"""

from __future__ import annotations

import json
from typing import IO, TYPE_CHECKING

from mlops_assets.datasets.versions.contents import SAMPLE_COLUMNS
from mlops_assets.datasets.versions.version_document import VersionDocument
from mlops_assets.paths import version_folder

if TYPE_CHECKING:
    import pandas as pd

    from mlops_assets.registry import DataVersion, Registry
    from mlops_assets.storage import Workspace

_ROWS_AT_ONCE = 1 << 16  # bounds the memory that writing takes


def published_documents(
    workspace: Workspace, registry: Registry, row: DataVersion
) -> tuple[VersionDocument, bytes, bytes]:
    """Return a data version's `version.json`, read, and its manifest and samples as Parquet.

    Raises:
        IntegrityError: one is not as it was published.
    """
    from mlops_assets.registry.files.verified_read import read_published

    folder = version_folder(row.dataset, row.version)
    names = ("version.json", "manifest.parquet", "samples.parquet")
    document, manifest, samples = (
        read_published(workspace, registry, f"{folder}/{name}") for name in names
    )
    return VersionDocument.model_validate_json(document), manifest, samples


def json_bytes(document: object) -> bytes:
    """Return a document as readable, canonical JSON."""
    return (json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def write_samples(sink: IO[bytes], samples: pd.DataFrame, numbers: bool) -> None:
    """Write samples as Parquet whose columns have the same types whatever is known of them.

    Args:
        sink: where the content of `samples.parquet` goes, in row groups.
        samples: with `SAMPLE_COLUMNS`, those that are unknown throughout may be missing.
        numbers: whether labels are numbers, not classes.
    """
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {
        "row": pa.int64(),
        "column": pa.int64(),
        "longitude": pa.float64(),
        "latitude": pa.float64(),
        "time": pa.timestamp("us", "UTC"),
        "label": pa.float64() if numbers else pa.string(),
    }
    schema = pa.schema([(column, types.get(column, pa.string())) for column in SAMPLE_COLUMNS])

    def part(start: int) -> pa.Table:
        frame = samples.iloc[start : start + _ROWS_AT_ONCE].reindex(columns=SAMPLE_COLUMNS)
        frame["time"] = pd.to_datetime(frame["time"], utc=True)
        return pa.Table.from_pandas(frame, schema, preserve_index=False)

    first = part(0)
    with pq.ParquetWriter(sink, first.schema) as writer:
        writer.write_table(first)
        for start in range(_ROWS_AT_ONCE, len(samples), _ROWS_AT_ONCE):
            writer.write_table(part(start))
