"""What a run has printed: its kept log, or what Dagster has captured of it so far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mlops_assets.errors import MlopsError
from mlops_assets.paths import run_log_key
from mlops_assets.registry import Run
from mlops_assets.registry.files.verified_read import read_published
from mlops_assets.store import Store
from mlops_assets.text.printable import printable_log

MAX_BYTES = 256 << 10  # in one response: the end

# (id of a Dagster run, its step, first byte, bytes at most) → bytes, and the number of the next
Captured = Callable[[str, str, int, int], tuple[bytes, int]]


@dataclass(frozen=True)
class RunOutput:
    """A part of what a run has printed.

    Attributes:
        text: without control characters.
        first: number of its first byte; of a long output, what is before it is left out.
        next: number of the byte to ask for next.
        complete: whether the run has ended; the text is the end of its kept log then, whatever was
            asked for.
        notice: why there is no text, or where it is from; empty if nothing need be known.
    """

    text: str
    first: int
    next: int
    complete: bool
    notice: str = ""


def run_output(store: Store, run_id: str, first: int, captured: Captured) -> RunOutput:
    """Return what a run has printed, from a byte on; of more than 256 KiB, the end.

    Args:
        store: has the run.
        run_id: its id, or the beginning of it.
        first: number of the first byte.
        captured: reads what Dagster has captured of its runs.

    Raises:
        NotFound: there is no such run.
        IntegrityError: the log is not as it was published.
    """
    run = store.registry.run(run_id)
    key = run_log_key(run.run_id)
    if store.registry.files_at(key):
        content = read_published(store.workspace, store.registry, key)
        # the kept log has places of its own: whoever has followed the run gets it anew
        start = max(0, len(content) - MAX_BYTES)
        return RunOutput(_text(content[start:]), start, len(content), complete=True)
    if run.status != "running":
        return RunOutput("", first, first, True, "The run has printed nothing that was kept.")
    if run.source != "platform" or run.orchestration_run is None:
        return RunOutput(
            "", first, first, False, "The run is external; its output is where it runs."
        )
    return _captured(run, first, captured)


def _captured(run: Run, first: int, captured: Captured) -> RunOutput:
    try:
        step = f"{run.model}__trained_model"
        content, end = captured(str(run.orchestration_run), step, first, MAX_BYTES)
    except MlopsError as error:
        return RunOutput("", first, first, False, f"The output cannot be shown: {error}")
    # a character or line that is not complete yet comes with the next bytes
    whole = content.rfind(b"\n") + 1 if content else 0
    start = end - len(content)
    return RunOutput(_text(content[:whole]), start, start + whole, False)


def _text(content: bytes) -> str:
    return printable_log(content.decode(errors="replace"))
