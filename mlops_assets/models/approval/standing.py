"""The approval of a model version as it stands, and whether an alias may move to the version.

Nothing is decided here; see `decisions`.
"""

from __future__ import annotations

from mlops_assets.datasets.quality import Check
from mlops_assets.errors import PromotionRefused
from mlops_assets.models.specification import Approval
from mlops_assets.paths import model_folder, record_owner
from mlops_assets.registry import Decision, ModelVersion, Registry
from mlops_assets.text.json_values import JsonObject

CHECK = "approved"
# an approval stands as long as these are what was approved; a record also changes when another
# version is linked to it
EVIDENCE = ("model.onnx", "metrics.json")


def decided_files(registry: Registry, row: ModelVersion) -> dict[str, str]:
    """Return the sha256 of the files that a decision on a model version is about, by name."""
    folder = model_folder(row.model, row.version)
    files = registry.files_at(*(f"{folder}/{name}" for name in EVIDENCE))
    found = {file.path.removeprefix(f"{folder}/"): file.sha256 for file in files}
    records = registry.files(record_owner(row.model, row.version))
    if records:
        found["record"] = records[0].sha256
    return found


def newest_decision(registry: Registry, row: ModelVersion) -> Decision | None:
    """Return the newest approval or rejection of a model version; None if there is none."""
    found = [
        made
        for made in registry.decisions(row.model, row.version)
        if made.decision in ("approved", "rejected")
    ]
    return found[-1] if found else None


def trained_by(registry: Registry, row: ModelVersion) -> str | None:
    """Return who has started the run of a model version; None if that is unknown."""
    # for a decision, also where the approver may not see the run
    return registry.unrestricted().run(row.run_id).created_by


def approval_check(registry: Registry, row: ModelVersion, approval: Approval) -> Check:
    """Return whether an approval of a model version stands, as the check `approved`.

    Args:
        registry: has the decisions.
        row: the model version.
        approval: as declared for the model.
    """
    reference = f"{row.model}@{row.version}"
    made = newest_decision(registry, row)
    if made is None:
        advice = f"an approver runs 'mlops model approve {reference} --reason …'"
        return _check(row, None, False, f"{reference} waits for approval: {advice}")
    what = f"{reference} was {made.decision} by {made.decided_by}"
    if made.decision == "rejected":
        return _check(row, made, False, f"{what}: {made.reason}")
    files = decided_files(registry, row)
    changed = [name for name in EVIDENCE if made.sha256.get(name) != files.get(name)]
    if changed:
        why = f"{', '.join(changed)} was replaced since; it is to be approved again"
        return _check(row, made, False, f"{what}, but {why}")
    if not approval.own_work and trained_by(registry, row) in (None, made.decided_by):
        return _check(
            row, made, False, f"{what}, who may have trained it; another is to approve it"
        )
    return _check(row, made, True, f"{what}: {made.reason}")


def _check(row: ModelVersion, made: Decision | None, passed: bool, description: str) -> Check:
    values: JsonObject = {"model_version": row.version}
    if made is not None:
        values |= {
            "decided_by": made.decided_by,
            "decided": made.decided.isoformat(),
            "reason": made.reason,
            "sha256": dict(made.sha256),
        }
    return Check(CHECK, passed, description, blocking=False, values=values)


def require_promotable(
    registry: Registry, row: ModelVersion, approval: Approval, alias: str
) -> None:
    """Check that an alias may move to a model version, as far as people decide that.

    Args:
        registry: has the decisions.
        row: the model version.
        approval: as declared for the model.
        alias: the alias.

    Raises:
        PromotionRefused: the version is deprecated, or the alias is protected and no approval of
            the version stands.
    """
    reference = f"{row.model}@{row.version}"
    deprecation = registry.deprecated_versions(row.model).get((row.model, row.version))
    if deprecation is not None:
        raise PromotionRefused(
            f"{reference} is deprecated ({deprecation.reason}), no alias was moved; promote another"
            f" version, or 'mlops model deprecate {reference} --undo --reason …'"
        )
    if approval.protects(alias):
        check = approval_check(registry, row, approval)
        if not check.passed:
            raise PromotionRefused(
                f"{row.model}@{alias} is protected and was not moved: {check.description}"
            )
