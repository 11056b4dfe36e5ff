"""The output of a worker, passed on while it is running.

It is data of any size and content, as a trainer prints it.
"""

from __future__ import annotations

import codecs
import io
import os
import sys

from mlops_assets.text.printable import printable

# read at once
CHUNK_BYTES = 1 << 20


class OutputRelay:
    """Passes the output of a worker on to this process's standard error.

    Dagster captures that as the compute log of the step. Control characters are escaped, as they
    are commands to a terminal, and what overwrites a line, as progress bars do, becomes a line of
    its own.
    """

    def __init__(self, descriptor: int, max_backlog: int) -> None:
        """Start at the beginning of the output.

        Args:
            descriptor: of the file that the worker writes.
            max_backlog: bytes that wait to be passed on; of more, only the end is.
        """
        self._descriptor = descriptor
        self._max_backlog = max_backlog
        self._position = 0
        # neither a character nor the end of a line is torn between two chunks
        self._decoder = io.IncrementalNewlineDecoder(
            codecs.getincrementaldecoder("utf-8")("replace"), translate=True
        )

    def pass_on(self) -> None:
        """Pass on the next chunk."""
        behind = os.fstat(self._descriptor).st_size - self._position
        if behind > self._max_backlog:
            left_out = behind - self._max_backlog
            self._position += left_out
            sys.stderr.write(f"\n[{left_out} bytes of output are left out here]\n")
        chunk = os.pread(self._descriptor, CHUNK_BYTES, self._position)
        self._position += len(chunk)
        self._write(self._decoder.decode(chunk))

    def finish(self) -> None:
        """Pass on all that is left, once the worker has exited."""
        # a process that has outlived it may still be writing
        end = os.fstat(self._descriptor).st_size
        while self._position < end:
            self.pass_on()
        self._write(self._decoder.decode(b"", final=True))

    def _write(self, text: str) -> None:
        if text:
            sys.stderr.write(printable(text))
            sys.stderr.flush()
