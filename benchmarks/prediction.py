"""Maps of whole scenes: beside bare ONNX Runtime on the same windows in memory, and peak memory.

The network is convolutional, so that a margin of windows is discarded.
"""

from __future__ import annotations

from benchmarks.options import Options
from benchmarks.processes import Measured, take_steps
from benchmarks.tables import median, print_table

# side of the scene in pixels, bands, channels of the network
_FAST = (4096, 4, 64)
_LARGE = ((10_980, 4, 4), (10_980, 12, 4))
# sides of scenes whose cost is planned
_PLANNED = (1024, 2048, 4096)
_WANTED_SPEED = 0.8
_WANTED_DESCRIBED_SPEED = 0.7
_WANTED_PLAN = 0.3
_WANTED_MIB = 2048


def measure(options: Options) -> None:
    """Print CPU seconds of a map and of the bare windows; then the memory of Sentinel-2 tiles."""
    rounds = [_steps(options, *_FAST, "bare") for _ in range(options.rounds)]
    bare = median(own.cpu["bare"] for own in rounds)
    ours = median(own.cpu["map"] for own in rounds)
    described = median(own.cpu["applicability"] for own in rounds)
    windows, gflop = rounds[0].facts["windows"], rounds[0].facts["gflop"]
    print_table(
        ["what", "CPU s", "of bare speed", "wanted"],
        [
            [f"ONNX Runtime, {windows:.0f} windows of {gflop:.1f} GFLOP", f"{bare:.1f}", "1", ""],
            ["`make_map`", f"{ours:.1f}", f"{bare / ours:.2f}", f"{_WANTED_SPEED}"],
            [
                "`make_map`, with applicability",
                f"{described:.1f}",
                f"{bare / described:.2f}",
                f"{_WANTED_DESCRIBED_SPEED}",
            ],
        ],
    )
    rows = []
    for side, bands, channels in _LARGE:
        found = _steps(options, side, bands, channels)
        planned = found.facts["planned_mib"]
        rows.append(
            [
                f"{side:,}² × {bands}",
                f"{found.cpu['map']:.0f}",
                f"{found.peak_mib:,.0f}",
                f"{planned:,.0f}",
            ]
        )
    print_table(["scene", "CPU s", f"peak MiB (wanted: {_WANTED_MIB:,})", "planned MiB"], rows)
    rows = []
    for side in _PLANNED:
        runs = [_steps(options, side, *_FAST[1:]) for _ in range(options.rounds)]
        real = median(run.seconds["map"] for run in runs)
        planned = median(run.facts["planned_s"] for run in runs)
        rows.append(
            [
                f"{side:,}² × {_FAST[1]}",
                f"{planned:.1f}",
                f"{real:.1f}",
                f"{planned / real - 1:+.0%}",
            ]
        )
    print_table(
        ["scene", "planned s", "measured s", f"difference (wanted: ±{_WANTED_PLAN:.0%})"], rows
    )


def _steps(options: Options, side: int, bands: int, channels: int, *what: str) -> Measured:
    arguments = (str(options.folder), str(side), str(bands), str(channels), *what)
    return take_steps("benchmarks.prediction_steps", *arguments)
