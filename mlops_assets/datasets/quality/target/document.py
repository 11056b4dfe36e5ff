"""The document of a target area, `target_area.json` beside the data version, and its check.

Light to import, for commands that only show a version.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, JsonValue

from mlops_assets.datasets.quality.checks import RESEMBLES_TARGET, TARGET_CHECK, Check
from mlops_assets.errors import IntegrityError, StorageError
from mlops_assets.paths import version_folder
from mlops_assets.registry.files.verified_read import read_published

if TYPE_CHECKING:
    from mlops_assets.registry import DataVersion, Registry
    from mlops_assets.storage import Workspace

# Format of the document; those of another format are measured again.
FORMAT = 1
UNITS = {"m": (1.0, "m"), "km": (1000.0, "km"), "sd": (1.0, "standard deviations")}


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class Distribution(_Frozen):
    """Distances to the nearest training sample: how many, their mean and percentiles."""

    count: int
    mean: float
    percentiles: dict[str, float]

    @property
    def median(self) -> float:
        """The 50th percentile."""
        return self.percentiles["50"]


class Space(_Frozen):
    """Distances on the ground, or between the values of bands.

    Attributes:
        unit: `m`, or `sd`: standard deviations of training.
        sample: of training samples, from the nearest other one.
        test: of test samples.
        target: of points of the target area.
        wasserstein: distance between `test` and `target`, the W of kNNDM.
        difference: `wasserstein` as a share of the larger mean.
    """

    unit: str
    sample: Distribution
    test: Distribution
    target: Distribution
    wasserstein: float
    difference: float

    def text(self, value: float) -> str:
        """Return a distance with its unit."""
        scale, unit = UNITS["km" if self.unit == "m" and value >= 1000 else self.unit]
        return f"{value / scale:.3g} {unit}"


class TriedBlock(_Frozen):
    """A division by spatial blocks that was tried: their side and the W that it gives, metres."""

    block: float
    wasserstein: float


class TargetReport(_Frozen):
    """The content of `target_area.json`.

    Attributes:
        format: see `FORMAT`.
        data_version: `dataset@version`.
        digest: of the data version.
        target_area: as declared.
        measured_on: digest of the data version, the area and the listed scenes.
        scenes: URLs of those that were read.
        points: number of points of the area that were drawn.
        geographic: distances on the ground; null if unknown.
        bands: distances between the values of bands; null if unknown.
        unknown: why distances are unknown, by `geographic` and `bands`.
        blocks: divisions that were tried, of the samples whose place is known.
        passed: outcome of the check.
        description: the finding, and the remedy.
    """

    format: int
    data_version: str
    digest: str
    target_area: dict[str, JsonValue]
    measured_on: str
    scenes: list[str] = []
    points: int
    geographic: Space | None = None
    bands: Space | None = None
    unknown: dict[str, str] = {}
    blocks: list[TriedBlock] = []
    passed: bool = True
    description: str = ""

    @property
    def check(self) -> Check:
        """The outcome, with the figures behind it."""
        values: dict[str, JsonValue] = dict(self.unknown)
        for name, space in (("geographic", self.geographic), ("bands", self.bands)):
            if space is not None:
                values |= {
                    f"{name}_wasserstein": space.wasserstein,
                    f"{name}_difference": space.difference,
                    f"{name}_unit": space.unit,
                    f"{name}_median_sample": space.sample.median,
                    f"{name}_median_test": space.test.median,
                    f"{name}_median_target": space.target.median,
                }
        return Check(
            RESEMBLES_TARGET, self.passed, self.description, TARGET_CHECK.blocking, {**values}
        )


def document_key(row: DataVersion) -> str:
    """Return the key of the document of a data version."""
    return f"{version_folder(row.dataset, row.version)}/target_area.json"


def published_target(
    workspace: Workspace, registry: Registry, row: DataVersion
) -> TargetReport | None:
    """Return the document of a data version.

    It is None if no target area was compared with it, or it is not as it was published.
    """
    try:
        content = read_published(workspace, registry, document_key(row))
    except (StorageError, IntegrityError):
        return None
    return TargetReport.model_validate_json(content)


def judged(report: TargetReport, max_difference: float) -> tuple[bool, str]:
    """Return whether test samples resemble the area, and the finding with a remedy in words."""
    found = []
    passed = True
    if report.geographic is not None:
        space = report.geographic
        apart = space.difference > max_difference
        passed &= not apart
        found.append(_finding(space, "lie") + (f": {_remedy(report, space)}" if apart else ""))
    if report.bands is not None:
        space = report.bands
        apart = space.difference > max_difference
        passed &= not apart
        remedy = (
            "the scores say little about pixels unlike training: take samples there, or map less"
            if space.target.mean > space.test.mean
            else "the scores are of samples less like training than the map is"
        )
        found.append(_finding(space, "differ in their bands by") + (f": {remedy}" if apart else ""))
    found += [
        f"cannot tell {'on the ground' if name == 'geographic' else 'between bands'}: {reason}"
        for name, reason in report.unknown.items()
    ]
    return passed, "; ".join(found)


def _finding(space: Space, verb: str) -> str:
    return (
        f"test samples {verb} {space.text(space.test.median)} from the nearest training sample"
        f" (median), the map's pixels {space.text(space.target.median)}"
        f" (W {space.text(space.wasserstein)})"
    )


def _remedy(report: TargetReport, space: Space) -> str:
    nearer = space.test.mean < space.target.mean
    text = (
        "the scores promise more than the map keeps"
        if nearer
        else "the scores are of places farther from training than the map's"
    )
    best = min(report.blocks, key=lambda tried: tried.wasserstein, default=None)
    if best is None or best.wasserstein >= 0.9 * space.wasserstein:
        text += "; blocks of other sizes come no nearer"
    else:
        text += (
            f"; 'split: {{method: spatial_block, block: {best.block:g}}}' gives W"
            f" {space.text(best.wasserstein)}"
        )
    return f"{text}; or take samples in the area" if nearer else text
