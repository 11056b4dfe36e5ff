"""Runs for data versions: each version is requested once, oldest first.

A version has its run if one was planned for it, whoever started that. Dagster's queue bounds how
many run at once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import dagster as dg

from mlops_assets.components.sensors.run_reports import has_failed, latest_runs, report
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
    left: Callable[[Sequence[str]], Mapping[str, str | None]],
) -> dg.SensorResult:
    """Request a run for each version that is not done and has none.

    The cursor is the list of versions that are not done and were requested, or are never to be: of
    one whose run was deleted, no further run is requested.

    Args:
        context: of the tick.
        target: what is to be made.
        versions: all, oldest first.
        left: called with the versions that would be requested; returns those that are not, each
            with the reason if that may change, else None.
    """
    done = context.instance.get_materialized_partitions(target.asset)
    missing = [version for version in versions if version not in done]
    runs = latest_runs(context.instance, target.asset, missing)
    settled = set(json.loads(context.cursor) if context.cursor else []).intersection(missing)
    known = settled.union(runs)
    candidates = [version for version in missing if version not in known]
    waiting = left(candidates) if candidates else {}
    new = [version for version in candidates if version not in waiting]
    settled |= {version for version in candidates if waiting.get(version) is None}
    context.update_cursor(json.dumps([version for version in versions if version in settled]))
    if not new:
        found = {version: run for version, run in runs.items() if not run.is_success}
        reasons = _reports(context.instance, found, target.advice)
        for why in dict.fromkeys(waiting[version] for version in candidates):
            those = [version for version in candidates if waiting[version] == why]
            reasons += [f"{named(those)}: {why}"] if why else []
        return dg.SensorResult(
            skip_reason="; ".join(reasons) or f"no new version of {target.dataset}"
        )
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
