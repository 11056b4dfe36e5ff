"""A Sentinel-2 tile of 10,980 × 10,980 pixels and 12 bands: frozen, and sampled as patches and as windows."""

from __future__ import annotations

import json
import shutil
from typing import Any

from benchmarks.landings import add_scene
from benchmarks.options import Options
from benchmarks.processes import clean_environment, take_steps
from benchmarks.reading import print_epochs
from benchmarks.tables import print_table

SIZE, BANDS = 10_980, 12
_LABELLED = 0.0025  # of the pixels, some 300,000
_KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "patches of 5 × 5": ("classification", {"read": "patches", "size": 5}),
    "windows of 256 × 256": ("semantic-segmentation", {"read": "windows", "size": 256}),
}


def measure(options: Options) -> None:
    """Print seconds and peak memory of freezing and sampling; then an epoch over the patches."""
    landing = options.folder / "landing"
    add_scene(landing, SIZE, BANDS, _LABELLED)
    rows, epochs = [], None
    for name, (task, sampling) in _KINDS.items():
        folder = options.folder / sampling["read"]
        folder.mkdir()
        declared = {
            "name": "tile",
            "source": {"url": str(landing), "layout": "scenes", "scenes": sampling},
            "classes": {number: f"crop {number}" for number in range(1, 6)},
            "split": {"method": "spatial_block", "block": 2560},
        }
        (folder / "tile.json").write_text(json.dumps(declared))
        environment = clean_environment(MLOPS_WORKSPACE=str(folder / "workspace"))

        def take(step: str, folder=folder, task=task, environment=environment):  # type: ignore[no-untyped-def]
            return take_steps(
                "benchmarks.reading_steps", step, str(folder / "tile.json"), task, environment=environment
            )

        for what, step in (("freeze", "freeze"), ("sample into the cache", "decode")):
            found = take(step)
            count = f"{found.facts['samples']:,.0f} samples" if step == "freeze" else f"{found.facts['mib']:,.0f} MiB"
            rows.append((f"{name}: {what}", count, f"{found.total:.1f}", f"{found.peak_mib or 0:.0f}"))
        if sampling["read"] == "patches":
            epochs = take("epochs")
        shutil.rmtree(folder / "workspace")
    print_table((f"{SIZE:,} × {SIZE:,} × {BANDS}, uint16", "how much", "seconds", "peak MiB"), rows)
    if epochs is not None:
        print_epochs(epochs)
