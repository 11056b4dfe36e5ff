"""The planted faults of `make mutations` fit the code, which moves without running them."""

from __future__ import annotations

from pathlib import Path

from benchmarks.planted import PLANTED

ROOT = Path(__file__).parents[1]


def test_every_fault_can_be_planted_and_its_tests_exist() -> None:
    unfit = [f.name for f in PLANTED if (ROOT / f.file).read_text().count(f.before) != 1]
    missing = [
        t for f in PLANTED for t in f.tests if not (ROOT / "mlops_assets_tests" / t).exists()
    ]
    assert (unfit, missing) == ([], [])
