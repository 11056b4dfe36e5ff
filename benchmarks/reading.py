"""An epoch over the decoded cache, beside bare loops over the same file with NumPy."""

from __future__ import annotations

import json

from benchmarks.landings import CHIP_50KB, add_chips
from benchmarks.options import Options
from benchmarks.processes import Measured, clean_environment, take_steps
from benchmarks.tables import print_table

_CHIPS = 10_000


def measure(options: Options) -> None:
    """Print the seconds of an epoch over 10,000 chips in each way, and the share of the bare loop's speed."""
    add_chips(options.folder / "landing", range(_CHIPS), CHIP_50KB)
    declared = options.folder / "chips.json"
    source = {"url": str(options.folder / "landing"), "layout": "image_folder"}
    declared.write_text(json.dumps({"name": "chips", "source": source}))
    environment = clean_environment(MLOPS_WORKSPACE=str(options.folder / "workspace"))
    frozen, decoded, epochs = (
        take_steps("benchmarks.reading_steps", step, str(declared), "classification", environment=environment)
        for step in ("freeze", "decode", "epochs")
    )
    print(f"{_CHIPS:,} chips frozen in {frozen.total:.1f} s, decoded once in {decoded.total:.1f} s.\n")
    print_epochs(epochs)


def print_epochs(epochs: Measured) -> None:
    """Print the table of `benchmarks.reading_steps epochs`."""
    names = {"raw": "in order, as stored", "float32": "in order, float32", "loader": "shuffled, float32 tensors"}
    rows = []
    for way, name in names.items():
        ours, bare = epochs.seconds[f"ours, {way}"], epochs.seconds[f"bare, {way}"]
        rows.append((name, f"{ours:.3f}", f"{bare:.3f}", f"{bare / ours:.0%}"))
    size = f"{epochs.facts['samples']:,.0f} samples, {epochs.facts['mib']:,.0f} MiB"
    print_table((f"an epoch over {size}", "ours, s", "bare NumPy, s", "share of its speed"), rows)
