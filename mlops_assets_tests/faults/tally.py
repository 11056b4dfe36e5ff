"""Counts of faults: how many were tried, what held, what the next run repaired, and what failed.

A pytest plugin.

`make faults` prints them. A test of one fault is marked `faults(kind)`, and counts as one that held
if it passes; one that tries many counts each by the fixture `tally`.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

LONG = os.environ.get("FAULTS") == "long"  # as `make faults` sets it; else each test tries few
_COLUMNS = ("tried", "held", "repaired", "failed", "not run")
# of the properties of a test's report, which pytest-xdist passes on
_KIND, _COUNTS = (
    "fault",
    "faults",
)


@dataclass
class Trial:
    """One fault; `outcome` is `held` or `repaired` once that is known."""

    outcome: str = "held"


@dataclass
class Tally:
    """The faults that one test has tried."""

    counts: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    @contextmanager
    def trial(self, what: str) -> Iterator[Trial]:
        """Try one fault; what fails is noted, and the next can be tried."""
        trial = Trial()
        try:
            yield trial
        except AssertionError as error:
            self.failures.append(f"{what}: {error}")
            trial.outcome = "failed"
        except Exception as error:  # noqa: BLE001  a failure like any other
            self.failures.append(f"{what}: {type(error).__name__}: {error}")
            trial.outcome = "failed"
        self.counts[trial.outcome] += 1


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Iterator[Tally]:
    """Counts the faults of a test, and fails it at its end if one failed."""
    found = Tally()
    yield found
    request.node.user_properties.append((_COUNTS, dict(found.counts)))
    assert not found.failures, f"{len(found.failures)} failed:\n" + "\n".join(found.failures)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Note the kind of fault where the report of a test has it."""
    for item in items:
        if mark := item.get_closest_marker("faults"):
            item.user_properties.append((_KIND, mark.args[0]))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the table, if faults were asked for."""
    if not LONG:
        return
    table: dict[str, Counter[str]] = {}
    tests: dict[str, list[pytest.TestReport]] = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport) and _KIND in dict(report.user_properties):
                tests.setdefault(report.nodeid, []).append(report)
    for reports in tests.values():
        properties: dict[str, Any] = {
            name: value for report in reports for name, value in report.user_properties
        }
        table.setdefault(properties[_KIND], Counter()).update(
            _counts(reports, properties.get(_COUNTS))
        )
    terminalreporter.section("faults")
    width = max(map(len, table), default=0)
    rows = [
        ("", *_COLUMNS),
        *((kind, *(counts[name] for name in _COLUMNS)) for kind, counts in sorted(table.items())),
    ]
    rows.append(("all", *(sum(counts[name] for counts in table.values()) for name in _COLUMNS)))
    for kind, *cells in rows:
        terminalreporter.write_line(f"{kind:{width}}" + "".join(f"{cell:>10}" for cell in cells))


def _counts(reports: list[pytest.TestReport], counted: dict[str, int] | None) -> Counter[str]:
    if any(report.skipped for report in reports):
        return Counter({"not run": 1})
    failed = any(report.failed for report in reports)
    found = Counter(counted or ({} if failed else {"held": 1}))
    if failed and not found["failed"]:
        found["failed"] = 1
    found["tried"] = found.total()
    return found
