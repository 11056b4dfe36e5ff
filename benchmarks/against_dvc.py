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

    def row(self, ours: tuple[str, str], peers: tuple[str, str]) -> tuple[str, ...]:
        """Return a row: median seconds of both, their ratio, and the peak memory of both."""
        mine, theirs = (self._found[what][side] for what, side in (ours, peers))
        seconds = median(m.total for m in mine), median(m.total for m in theirs)
        peaks = " / ".join(_peak(side) for side in (mine, theirs))
        return f"{seconds[0]:.2f}", f"{seconds[1]:.2f}", f"{seconds[1] / seconds[0]:.1f}", peaks


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
    link = ("recall", "link")
    copy = ("recall", "copy")
    dvc_copy = ("recall", "dvc copy")
    dvc_link = ("recall", "dvc link")
    rows = [
        ("S3: commit and upload · `dvc add`, `dvc push`", *_pair(found, "first")),
        ("S3: … again after 1 % has changed", *_pair(found, "1 %")),
        ("S3: … again, nothing has changed", *_pair(found, "nothing")),
        (
            "S3: recall, nothing cached here · `dvc fetch`, `dvc checkout`",
            *_pair(found, "recall s3"),
        ),
        ("folder: commit · `dvc add`", *_pair(found, "local")),
        (
            "folder: recall (links) · `dvc checkout` (copies), both as they come",
            *found.row(link, dvc_copy),
        ),
        (
            "folder: recall (links) · `dvc checkout`, `cache.type hardlink`",
            *found.row(link, dvc_link),
        ),
        ("folder: recall (copies) · `dvc checkout` (copies)", *found.row(copy, dvc_copy)),
        ("command, S3: `mlops dataset commit` · `dvc add && dvc push`", *_pair(found, "command")),
        ("command, S3: … again after 1 % has changed", *_pair(found, "command 1 %")),
    ]
    header = (
        f"{FILES:,} files × 51 kB, median of {options.rounds} round(s)",
        "ours, s",
        "DVC, s",
        "× faster",
        "peak MiB, ours / DVC",
    )
    print_table(header, rows)


def _pair(found: Comparison, what: str) -> tuple[str, ...]:
    return found.row((what, "ours"), (what, "dvc"))


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
