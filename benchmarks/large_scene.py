"""A Sentinel-2 tile of 10,980 × 10,980 pixels and 12 bands.

It is committed, and sampled as patches and as windows.
"""

from __future__ import annotations

from typing import Any

from benchmarks.landings import add_scene
from benchmarks.options import Options
from benchmarks.reading import Reader
from benchmarks.tables import print_table

SIZE = 10_980
BANDS = 12
_LABELLED = 0.0025  # of the pixels, some 300,000
_BATCH = 256
_PATCHES: dict[str, Any] = {"read": "patches", "size": 5}
_WINDOWS: dict[str, Any] = {"read": "windows", "size": 256}


def measure(options: Options) -> None:
    """Print seconds and peak memory of committing and sampling; then an epoch over the patches."""
    landing = options.folder / "landing"
    add_scene(landing, SIZE, BANDS, _LABELLED)
    rows = []
    readers = []
    for sampling, task in ((_PATCHES, "classification"), (_WINDOWS, "semantic-segmentation")):
        folder = options.folder / sampling["read"]
        folder.mkdir()
        declared = {
            "name": "tile",
            "source": {"url": str(landing), "layout": "scenes", "scenes": sampling},
            "classes": {number: f"crop {number}" for number in range(1, 6)},
            "split": {"method": "spatial_block", "block": 2560},
        }
        readers.append(Reader(folder, declared, task))
        committed = readers[-1].take("commit")
        decoded = readers[-1].take("decode")
        name = f"{sampling['read']} of {sampling['size']} × {sampling['size']}"
        for step, how_much, found in (
            ("commit", f"{committed.facts['samples']:,.0f} samples", committed),
            ("sample into the cache", f"{decoded.facts['mib']:,.0f} MiB", decoded),
        ):
            rows.append(
                (f"{name}: {step}", how_much, f"{found.total:.1f}", f"{found.peak_mib or 0:.0f}")
            )
    print_table((f"{SIZE:,} × {SIZE:,} × {BANDS}, uint16", "how much", "seconds", "peak MiB"), rows)
    readers[0].print_epochs(_BATCH)
