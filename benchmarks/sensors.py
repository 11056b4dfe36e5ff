"""Durations of a sensor's tick: Dagster stops one after 60 s."""

from __future__ import annotations

from benchmarks.landings import CHIP_3KB, add_chips
from benchmarks.options import Options
from benchmarks.processes import BUCKET, Measured, clean_environment, s3_server, take_steps
from benchmarks.tables import print_table

_OBJECTS = 100_000
_VERSIONS = 10_000


def measure(options: Options) -> None:
    """Print seconds and peak memory of ticks over large landings and many data versions."""
    served = options.folder / "s3"
    add_chips(served / BUCKET / "landing", range(_OBJECTS), CHIP_3KB)
    rows = []
    with s3_server(served) as environment:
        for what, url, variables in (
            ("a folder", str(served / BUCKET / "landing"), clean_environment()),
            ("S3", f"s3://{BUCKET}/landing", environment),
        ):
            folder = str(options.folder / what)
            found = take_steps(
                "benchmarks.sensor_steps", "new_data", url, folder, environment=variables
            )
            rows.append(_row(f"`new_data`, {_OBJECTS:,} files in {what}", found))
    found = take_steps(
        "benchmarks.sensor_steps", "new_version", str(_VERSIONS), str(options.folder / "versions")
    )
    rows.append(_row(f"`new_version`, {_VERSIONS:,} data versions", found))
    print_table(
        ("tick", "something new, s", "nothing new, s", "of it our CPU, s", "peak MiB"), rows
    )


def _row(what: str, found: Measured) -> tuple[str, ...]:
    new = "something new"
    same = "nothing new"
    figures = found.seconds[new], found.seconds[same], found.cpu[same]
    return what, *(f"{figure:.2f}" for figure in figures), f"{found.peak_mib or 0:.0f}"
