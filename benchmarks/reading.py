"""An epoch over the decoded cache, beside bare loops over the same file with NumPy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from benchmarks.landings import CHIP_50KB, add_chips
from benchmarks.options import Options
from benchmarks.processes import Measured, clean_environment, take_steps
from benchmarks.tables import print_table

_CHIPS = 10_000
_BATCH = 64


def measure(options: Options) -> None:
    """Print the seconds of an epoch over 10,000 chips in each way, and the share of bare speed."""
    add_chips(options.folder / "landing", range(_CHIPS), CHIP_50KB)
    source = {"url": str(options.folder / "landing"), "layout": "image_folder"}
    reader = Reader(options.folder, {"name": "chips", "source": source}, "classification")
    committed = reader.take("commit")
    decoded = reader.take("decode")
    print(
        f"{_CHIPS:,} chips committed in {committed.total:.1f} s,"
        f" decoded once in {decoded.total:.1f} s.\n"
    )
    reader.print_epochs(_BATCH)


class Reader:
    """A dataset in a workspace of its own, and the processes that read it."""

    def __init__(self, folder: Path, declared: Mapping[str, object], task: str) -> None:
        self._declared = folder / "declared.json"
        self._task = task
        self._declared.write_text(json.dumps(declared))
        self._environment = clean_environment(MLOPS_WORKSPACE=str(folder / "workspace"))

    def take(self, step: str, *options: str) -> Measured:
        """Take a step of `benchmarks.reading_steps` in a fresh process."""
        arguments = (step, str(self._declared), self._task, *options)
        return take_steps("benchmarks.reading_steps", *arguments, environment=self._environment)

    def print_epochs(self, batch: int) -> None:
        """Measure an epoch over the training split in each way, and print the table."""
        epochs = self.take("epochs", str(batch))
        names = {
            "raw": "in order, as stored",
            "float32": "in order, float32",
            "prepared": "in order, half of the bands, standardised",
            "loader": "shuffled, float32 tensors",
            "prepared loader": "shuffled, half of the bands, standardised, tensors",
        }
        rows = []
        for way, name in names.items():
            ours = epochs.seconds[f"ours, {way}"]
            bare = epochs.seconds[f"bare, {way}"]
            worked = epochs.cpu[f"bare, {way}"] / epochs.cpu[f"ours, {way}"]
            rows.append((name, f"{ours:.3f}", f"{bare:.3f}", f"{bare / ours:.0%}", f"{worked:.0%}"))
        size = (
            f"{epochs.facts['samples']:,.0f} samples, {epochs.facts['mib']:,.0f} MiB, batches of"
            f" {batch}"
        )
        print_table(
            (
                f"an epoch over {size}",
                "ours, s",
                "bare NumPy, s",
                "share of its speed",
                "… by CPU seconds",
            ),
            rows,
        )
