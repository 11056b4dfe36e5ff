"""First and repeated commit with upload, and recall, of 10,000 files of 50 kB.

We and DVC take turns, on the same S3 server.

Both sides have equal copies of the same files on the same disk and start with empty caches; the
files are in the operating system's page cache for both. Counted is the call in a fresh
process, without imports; the commands are counted whole.
"""

from __future__ import annotations

import shutil
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.dvc_peer import DvcRepository, install_dvc
from benchmarks.landings import CHIP_50KB, add_chips, settle
from benchmarks.options import Options
from benchmarks.our_project import OurProject
from benchmarks.processes import BUCKET, Measured, s3_server
from benchmarks.tables import median, print_table

FILES = 10_000
CHANGED = FILES // 100

Step = Callable[[], Measured]


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        what: what is compared.
        step: step whose times they are.
        wanted: how many times faster than DVC we want to be, if there is a goal.
        ours: our side of the step.
        dvc: DVC's side of it.
    """

    what: str
    step: str
    wanted: float | None = None
    ours: str = "ours"
    dvc: str = "dvc"

    def verdict(self, ratio: float) -> str:
        """Return the goal, and whether a ratio misses it."""
        if self.wanted is None:
            return ""
        return f"{self.wanted:g}" if ratio >= self.wanted else f"{self.wanted:g}: **missed**"


_ROWS = (
    Row("folder: commit · `dvc add`", "local", 2.5),
    Row("folder: recall (links) · `dvc checkout`, hard links", "recall", 1.5, "link", "dvc link"),
    Row(
        "folder: recall (links) · `dvc checkout` (copies), both as they come",
        "recall",
        ours="link",
        dvc="dvc copy",
    ),
    Row("folder: recall (copies) · `dvc checkout` (copies)", "recall", 4, "copy", "dvc copy"),
    Row("S3: commit and upload · `dvc add`, `dvc push`", "first", 10),
    Row("S3: … again after 1 % has changed", "1 %", 15),
    Row("S3: … again, nothing has changed", "nothing"),
    Row("S3: recall, nothing cached here · `dvc fetch`, `dvc checkout`", "recall s3", 10),
    Row(
        "command, S3, with process start: `mlops dataset commit` · `dvc add && dvc push`",
        "command",
        5,
    ),
    Row("command, S3, with process start: … again after 1 % has changed", "command 1 %"),
)


class Comparison:
    """The times of both sides for each step, round by round."""

    def __init__(self) -> None:
        self._found: dict[str, dict[str, list[Measured]]] = defaultdict(lambda: defaultdict(list))

    def take(self, what: str, sides: Mapping[str, Step], number: int) -> None:
        """Measure the sides in turns: who begins changes with the round."""
        ordered = list(sides.items())
        for side, step in ordered if number % 2 == 0 else reversed(ordered):
            settle()
            measured = step()
            self._found[what][side].append(measured)
            seconds = ", ".join(f"{name} {taken:.1f} s" for name, taken in measured.seconds.items())
            print(f"round {number + 1}, {what}, {side}: {seconds}", file=sys.stderr, flush=True)

    def row(self, row: Row) -> tuple[str, ...]:
        """Return a row of the table: median seconds of both, their ratio, and peaks of memory."""
        mine, theirs = (self._found[row.step][side] for side in (row.ours, row.dvc))
        ours, dvc = (median(one.total for one in side) for side in (mine, theirs))
        peaks = " / ".join(_peak(side) for side in (mine, theirs))
        ratio = f"{dvc / ours:.1f}"
        return row.what, f"{ours:.2f}", f"{dvc:.2f}", ratio, row.verdict(dvc / ours), peaks


def _peak(rounds: Sequence[Measured]) -> str:
    peaks = [measured.peak_mib for measured in rounds if measured.peak_mib is not None]
    return f"{max(peaks):.0f}" if peaks else "–"


def measure(options: Options) -> None:
    """Print the table of seconds and ratios."""
    install_dvc()
    landing = options.folder / "landing"
    add_chips(landing, range(FILES), CHIP_50KB)
    found = Comparison()
    for number in range(options.rounds):
        folder = options.folder / f"round-{number}"
        with s3_server(folder / "s3") as environment:
            _on_s3(found, landing, folder, environment, number)
            _as_commands(found, landing, folder, environment, number)
        _on_disk(found, landing, folder, number)
        shutil.rmtree(folder)
    header = (
        f"{FILES:,} files × 51 kB, median of {options.rounds} round(s)",
        "ours, s",
        "DVC, s",
        "× faster",
        "wanted",
        "peak MiB, ours / DVC",
    )
    print_table(header, (found.row(row) for row in _ROWS))


def _on_s3(
    found: Comparison, landing: Path, folder: Path, environment: Mapping[str, str], number: int
) -> None:
    ours = OurProject.make(folder / "ours", f"s3://{BUCKET}/ours", environment)
    peer = DvcRepository.make(folder / "dvc", f"s3://{BUCKET}/dvc", environment)
    committing: dict[str, Step] = {
        "ours": ours.commit_in_process,
        "dvc": lambda: peer.take("add", "push"),
    }
    for side in (ours, peer):
        shutil.copytree(landing, side.data)
    found.take("first", committing, number)
    for side in (ours, peer):
        add_chips(side.data, range(CHANGED), CHIP_50KB, seed=1)
    found.take("1 %", committing, number)
    found.take("nothing", committing, number)
    ours.forget_copies()
    peer.forget_data()
    found.take(
        "recall s3", {"ours": ours.recall, "dvc": lambda: peer.take("fetch", "checkout")}, number
    )


def _as_commands(
    found: Comparison, landing: Path, folder: Path, environment: Mapping[str, str], number: int
) -> None:
    ours = OurProject.make(folder / "ours-command", f"s3://{BUCKET}/ours-command", environment)
    ours.declare()
    peer = DvcRepository.make(folder / "dvc-command", f"s3://{BUCKET}/dvc-command", environment)
    committing: dict[str, Step] = {
        "ours": ours.commit,
        "dvc": lambda: peer.commands(("add", peer.data.name), ("push",)),
    }
    for side in (ours, peer):
        shutil.copytree(landing, side.data)
    found.take("command", committing, number)
    for side in (ours, peer):
        add_chips(side.data, range(CHANGED), CHIP_50KB, seed=1)
    found.take("command 1 %", committing, number)


def _on_disk(found: Comparison, landing: Path, folder: Path, number: int) -> None:
    ours = OurProject.make(folder / "ours-local", (folder / "workspace").as_uri())
    peer = DvcRepository.make(folder / "dvc-local", None)
    for side in (ours, peer):
        shutil.copytree(landing, side.data)
    found.take("local", {"ours": ours.commit_in_process, "dvc": lambda: peer.take("add")}, number)
    recalling: dict[str, Step] = {
        "link": ours.recall,
        "dvc copy": lambda: peer.checkout("reflink,copy"),
        "copy": lambda: ours.recall(copy=True),
        "dvc link": lambda: peer.checkout("hardlink"),
    }
    found.take("recall", recalling, number)
