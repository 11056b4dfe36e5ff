"""Files that have logged requests, read part by part: segments, and the file of a day.

A segment may end in a batch that is cut short, as its writer was killed; what is before it counts.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from mlops_assets.errors import IntegrityError
from mlops_assets.serving.request_log.rows import SCHEMA

# by which rows are sorted and distinguished
KEYS = ["time", "writer", "request", "row"]

log = logging.getLogger(__name__)


class Source(Protocol):
    """A file with rows of the log."""

    def keys(self) -> Iterator[pa.Table]:
        """Yield the columns `KEYS` of each part."""
        ...

    def part(self, number: int) -> pa.Table:
        """Return all columns of a part."""
        ...


class SegmentSource:
    """A segment: an Arrow IPC stream."""

    def __init__(self, path: Path, name: str, stack: ExitStack) -> None:
        """Open the file.

        Args:
            path: of the file.
            name: of the segment, for messages.
            stack: closes it.
        """
        self._file = stack.enter_context(pa.OSFile(str(path)))
        self._name = name
        self._offsets: list[int] = []

    def keys(self) -> Iterator[pa.Table]:
        """Yield the columns `KEYS` of each whole batch."""
        self._file.seek(0)
        self._offsets = []
        try:
            if not pa.ipc.read_schema(self._file).equals(SCHEMA):
                log.warning("segment %s is left out: it has other columns", self._name)
                return
        except (pa.ArrowInvalid, OSError, EOFError):
            log.warning("segment %s is left out: it has no beginning", self._name)
            return
        while True:
            offset = self._file.tell()
            try:
                batch = self._read()
            except EOFError:
                return
            except (pa.ArrowInvalid, OSError) as error:
                log.warning("segment %s is read up to byte %d: %s", self._name, offset, error)
                return
            self._offsets.append(offset)
            yield pa.Table.from_batches([batch]).select(KEYS)

    def _read(self) -> pa.RecordBatch:
        message = pa.ipc.read_message(self._file)
        batch = pa.ipc.read_record_batch(message, SCHEMA)
        batch.validate(full=True)
        return batch

    def part(self, number: int) -> pa.Table:
        """Return all columns of a batch."""
        self._file.seek(self._offsets[number])
        return pa.Table.from_batches([self._read()])


class DaySource:
    """The file of a day."""

    def __init__(self, path: Path, name: str, stack: ExitStack) -> None:
        """Open the file.

        Args:
            path: of the file.
            name: its key, for messages.
            stack: closes it.

        Raises:
            IntegrityError: it is not a file of the log.
        """
        try:
            self._file = stack.enter_context(pq.ParquetFile(path))
        except (pa.ArrowInvalid, OSError) as error:
            raise IntegrityError(f"{name} cannot be read: {error}") from error
        if not self._file.schema_arrow.remove_metadata().equals(SCHEMA):
            raise IntegrityError(f"{name} has other columns than the request log of this release")

    def keys(self) -> Iterator[pa.Table]:
        """Yield the columns `KEYS` of each row group."""
        for number in range(self._file.num_row_groups):
            yield self._file.read_row_group(number, columns=KEYS).select(KEYS)

    def part(self, number: int) -> pa.Table:
        """Return all columns of a row group."""
        return self._file.read_row_group(number).replace_schema_metadata(None)
