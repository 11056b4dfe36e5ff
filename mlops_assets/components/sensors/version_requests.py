"""Runs for data versions: each version is requested once, oldest first.

A version has its run if one was planned for it, whoever started that. Dagster's queue bounds how
many run at once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import dagster as dg

from mlops_assets.components.sensors.run_reports import has_failed, latest_run, report
from mlops_assets.text.listing import named

# runs whose state the reason of a tick gives
MAX_NAMED = 3


@dataclass(frozen=True)
class VersionTarget:
    """What is to be made of each version of a dataset.

    Attributes:
        dataset: its name.
        asset: the last asset of the run; a version is done once it has this partition.
        run_key: prefix of the run keys, the same for every daemon.
        advice: what to do about failed runs.
    """

    dataset: str
    asset: dg.AssetKey
    run_key: str
    advice: str


def request_versions(
    context: dg.SensorEvaluationContext,
    target: VersionTarget,
    versions: Sequence[str],
    left: Mapping[str, str | None],
) -> dg.SensorResult:
    """Request a run for each version that is not done and has none.

    The cursor is the list of versions that were requested and are not done: of one whose run was
    deleted, no further run is requested.

    Args:
        context: of the tick.
        target: what is to be made.
        versions: all, oldest first.
        left: versions that are not requested, each with the reason if the tick is to name it.
    """
    done = context.instance.get_materialized_partitions(target.asset)
    missing = [version for version in versions if version not in done]
    runs = {version: latest_run(context.instance, target.asset, version) for version in missing}
    asked = set(json.loads(context.cursor) if context.cursor else []).intersection(missing)
    asked -= left.keys()
    new = [
        version
        for version in missing
        if runs[version] is None and version not in asked and version not in left
    ]
    if not new:
        found = {version: run for version, run in runs.items() if run and not run.is_success}
        reasons = _reports(context.instance, found, target.advice)
        waiting = [version for version in missing if runs[version] is None]
        for why in dict.fromkeys(left[version] for version in waiting if left.get(version)):
            those = [version for version in waiting if left.get(version) == why]
            reasons.append(f"{named(those)}: {why}")
        return dg.SensorResult(
            skip_reason="; ".join(reasons) or f"no new version of {target.dataset}"
        )
    context.update_cursor(json.dumps([v for v in versions if v in asked.union(new)]))
    return dg.SensorResult(
        [
            dg.RunRequest(
                run_key=f"{target.run_key}{target.dataset}@{version}",
                partition_key=version,
            )
            for version in new
        ]
    )


def _reports(
    instance: dg.DagsterInstance, runs: Mapping[str, dg.DagsterRun], advice: str
) -> list[str]:
    """Return the state of each run, those that failed first and newest version first."""
    failed = [version for version, run in runs.items() if has_failed(run)][::-1]
    reasons = [f"{version}: {report(instance, runs[version])}" for version in failed[:MAX_NAMED]]
    if failed[MAX_NAMED:]:
        reasons.append(f"also failed: {named(failed[MAX_NAMED:])}")
    if failed:
        reasons.append(advice)
    others = [version for version in runs if version not in failed]
    reasons += [f"{version}: {report(instance, runs[version])}" for version in others[:MAX_NAMED]]
    if others[MAX_NAMED:]:
        reasons.append(f"also not finished: {named(others[MAX_NAMED:])}")
    return reasons
