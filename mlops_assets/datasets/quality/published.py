"""The quality report of a data version as it was published.

Light to import, for commands that only show a version. `verdict` judges a report by other
thresholds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_assets.datasets.quality.checks import FORMAT, Check, Report, written_checks
from mlops_assets.errors import IntegrityError, StorageError
from mlops_assets.paths import version_folder
from mlops_assets.registry.files.verified_read import read_published

if TYPE_CHECKING:
    from mlops_assets.datasets.specification.dataset import QualityThresholds
    from mlops_assets.datasets.versions.contents import ClassName
    from mlops_assets.registry import DataVersion, Registry
    from mlops_assets.storage import Workspace


def report_key(row: DataVersion) -> str:
    """Return the key of the report of a data version."""
    return f"{version_folder(row.dataset, row.version)}/quality.json"


def published_report(workspace: Workspace, registry: Registry, row: DataVersion) -> Report | None:
    """Return the report of a data version.

    It is None if the version was not assessed, or its report is not as it was published.
    """
    try:
        content = read_published(workspace, registry, report_key(row))
    except (StorageError, IntegrityError):
        return None
    return Report.model_validate_json(content)


def checks_of(
    report: Report, classes: list[ClassName] | None, thresholds: QualityThresholds | None
) -> list[Check]:
    """Return the checks of a report, judged again if it was judged by other thresholds.

    Args:
        report: the report.
        classes: of the data version.
        thresholds: to judge by; without them, or for a report of another format, the checks are
            returned as written.
    """
    written = written_checks(report)
    if thresholds is None or report.format != FORMAT:
        return written
    if report.thresholds == thresholds.model_dump(mode="json"):
        return written
    from mlops_assets.datasets.quality.verdict import Measurements, judge

    measured = Measurements.model_validate(report.model_extra)
    return [
        *(check for check in written if check.name == "readable"),
        *judge(measured, written, classes, thresholds),
    ]
