"""Checks of a data version.

How each is computed is in the module of its subject.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Report = Mapping[str, Any]  # `quality.json`
# Of the report: another number, and reports that are there are not taken up again. Raise it with
# every change of what is found or written down: a check, a threshold's default, a draw, a figure.
FORMAT = 3


@dataclass(frozen=True)
class Check:
    """The outcome of one check.

    A failed `blocking` check stops what comes after; any other is a warning.

    Attributes:
        name: one of `CHECKS`.
        passed: whether all is well.
        description: what was found, and what to do about it.
        blocking: whether training must not continue.
        values: the numbers behind it.
    """

    name: str
    passed: bool
    description: str
    blocking: bool = True
    values: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class CheckKind:
    """The subject of a check, and whether it blocks."""

    description: str
    blocking: bool


CHECKS: Mapping[str, CheckKind] = {
    "readable": CheckKind("Files have their published checksums.", True),
    "labels": CheckKind(
        "Labels are declared classes that are trained on, or finite numbers.", True
    ),
    "leakage": CheckKind("No test or validation sample is seen in training.", True),
    "classes_in_each_split": CheckKind(
        "Every class reaches every split; rare ones may not.", False
    ),
    "class_balance": CheckKind(
        "Classes are not too unequal, and have like shares in all splits.", False
    ),
    "valid_values": CheckKind("Few values of each band are missing, nodata or saturated.", False),
    "duplicates": CheckKind("Few samples are copies of each other, exact or nearly so.", False),
    "distance_between_splits": CheckKind(
        "Test samples are not next door to training samples.", False
    ),
    "label_noise": CheckKind("Few labels contradict what the other samples say.", False),
    "shift": CheckKind(
        "Classes, features and bands are distributed as in the version before.", False
    ),
}


def outcome(name: str, passed: bool, description: str, **values: Any) -> Check:
    """Return the outcome of one of `CHECKS`; whether it blocks is said there."""
    return Check(name, passed, description, CHECKS[name].blocking, values)


def written_checks(report: Report) -> list[Check]:
    """Return the outcomes that a report has, as they were when it was written."""
    known = ("name", "passed", "description", "blocking")
    return [
        Check(
            name=entry["name"],
            passed=entry["passed"],
            description=entry["description"],
            blocking=entry["blocking"],
            values={name: value for name, value in entry.items() if name not in known},
        )
        for entry in report["checks"]
    ]
