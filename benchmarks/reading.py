"""An epoch over the decoded cache, beside bare loops over the same file with NumPy.

And one that is streamed from a bucket, beside bare requests for the same ranges of bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from benchmarks.landings import CHIP_50KB, add_chips
from benchmarks.options import Options
from benchmarks.processes import (
    BUCKET,
    Measured,
    clean_environment,
    range_server,
    s3_server,
    take_steps,
)
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
    _measure_streaming(options.folder, source)


def _measure_streaming(folder: Path, source: Mapping[str, object]) -> None:
    """Print the seconds of an epoch over the chips in a bucket, without a local cache."""
    settings = {
        "MLOPS_WORKSPACE": f"s3://{BUCKET}",
        "MLOPS_REGISTRY": f"sqlite:///{folder / 'registry.db'}",
        "MLOPS_CACHE": str(folder / "none"),
        "MLOPS_READING": "stream",
    }
    declared = {"name": "chips", "source": source}
    with s3_server(folder / "s3") as environment:
        Reader(folder, declared, "classification", environment | settings).take("commit")
    with range_server(folder / "s3") as environment:
        streamed = Reader(folder, declared, "classification", environment | settings).take(
            "stream", str(_BATCH)
        )
    mib = streamed.facts["mib"]
    bare = streamed.seconds["bare"]
    names = {
        "bare": "`obstore.get_range` of the same ranges, 16 threads, nothing else",
        "hashed": "… and sha256 of the files in them",
        "batches": "`batches`, in order, float32",
        "runs": '`loader(shuffle="runs")`, float32 tensors',
        "samples": "`loader`, any order, float32 tensors",
    }
    rows = [
        (
            name,
            f"{streamed.seconds[way]:.2f}",
            f"{mib / streamed.seconds[way]:,.0f}",
            f"{bare / streamed.seconds[way]:.0%}",
            f"{streamed.cpu[way]:.2f}",
        )
        for way, name in names.items()
    ]
    print_table(
        (
            f"an epoch over {streamed.facts['samples']:,.0f} samples in packs, {mib:,.0f} MiB",
            "seconds",
            "MiB/s",
            "share of bare",
            "CPU s of the client",
        ),
        rows,
    )
    print(f"Peak memory of the client: {streamed.peak_mib or 0:,.0f} MiB.\n")


class Reader:
    """A dataset in a workspace of its own, and the processes that read it."""

    def __init__(
        self,
        folder: Path,
        declared: Mapping[str, object],
        task: str,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._declared = folder / "declared.json"
        self._task = task
        self._declared.write_text(json.dumps(declared))
        self._environment = environment or clean_environment(
            MLOPS_WORKSPACE=str(folder / "workspace")
        )

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
