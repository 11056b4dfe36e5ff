"""The quality report of a data version as it was published.

Light to load: commands that only show a version read it. It is judged by other thresholds in
`verdict`.
"""

from __future__ import annotations

import json
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
    """Return where the report of a data version lies."""
    return f"{version_folder(row.dataset, row.version)}/quality.json"


def published_report(workspace: Workspace, registry: Registry, row: DataVersion) -> Report | None:
    """Return the report of a data version.

    It is None if the version was not assessed, or its report is not as it was published.
    """
    try:
        report: Report = json.loads(read_published(workspace, registry, report_key(row)))
    except (StorageError, IntegrityError):
        return None
    return report


def checks_of(
    report: Report, classes: list[ClassName] | None, thresholds: QualityThresholds | None
) -> list[Check]:
    """Return the checks of a report, judged anew if it was judged by other thresholds.

    Args:
        report: the report.
        classes: of the data version.
        thresholds: what to judge by; as written if not given, or if the report is of another
            release.
    """
    written = written_checks(report)
    if thresholds is None or report.get("format") != FORMAT:
        return written
    if report["thresholds"] == thresholds.model_dump(mode="json"):
        return written
    from mlops_assets.datasets.quality.verdict import judge

    return [
        *(check for check in written if check.name == "readable"),
        *judge(report, classes, thresholds),
    ]
