"""The outcome of a quality check, and its form in the report.

Each check is computed in the module of its subject.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import BaseModel, ConfigDict, JsonValue

from mlops_assets.text.json_values import Json, JsonObject

# Format of the report; reports of another format are measured again. Raise it with every change of
# content: a check, the default of a threshold, a sampling, a figure.
FORMAT = 3


@dataclass(frozen=True)
class Check:
    """The outcome of one check.

    A failed `blocking` check stops the following steps; any other is a warning.

    Attributes:
        name: one of `CHECKS`.
        passed: whether the check passed.
        description: the finding, and the remedy.
        blocking: whether training must not continue.
        values: figures behind the outcome.
    """

    name: str
    passed: bool
    description: str
    blocking: bool = True
    values: JsonObject = field(default_factory=dict)


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
    "label_noise": CheckKind("Few labels contradict the other samples.", False),
    "shift": CheckKind(
        "Classes, features and bands are distributed as in the version before.", False
    ),
}


# of a version whose dataset declares what is to be mapped
RESEMBLES_TARGET = "resembles_target"
TARGET_CHECK = CheckKind(
    "Test samples are as far from training samples as the area that is to be mapped.", False
)


def outcome(name: str, passed: bool, description: str, **values: Json) -> Check:
    """Return the outcome of one of `CHECKS`, which defines whether it blocks."""
    return Check(name, passed, description, CHECKS[name].blocking, values)


class WrittenCheck(BaseModel):
    """The outcome of one check in a report; further keys are its figures.

    Attributes:
        name: of the check.
        passed: whether it passed.
        description: the finding, and the remedy.
        blocking: None in early releases, which did not write it.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str
    passed: bool
    description: str
    blocking: bool | None = None


class Report(BaseModel):
    """The content of `quality.json` of any format; further keys are the measurements.

    Attributes:
        checks: outcomes, by the thresholds in force when it was written.
        format: see `FORMAT`; None in early releases.
        thresholds: by which it was judged; None in early releases.
        digest: of the data version.
        figures: names of its figures.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    checks: list[WrittenCheck]
    format: int | None = None
    thresholds: dict[str, JsonValue] | None = None
    digest: str = ""
    figures: list[str] = []


def written_checks(report: Report) -> list[Check]:
    """Return the outcomes in a report, as they were when it was written."""
    return [
        Check(
            entry.name,
            entry.passed,
            entry.description,
            CHECKS[entry.name].blocking if entry.blocking is None else entry.blocking,
            entry.model_extra or {},
        )
        for entry in report.checks
    ]
