"""The check `approved` of a model's records, where its declaration requires approval.

It states the decision that the registry has; `mlops model approve` and `reject` make one, and
evaluate the check.
"""

import dagster as dg
from pydantic import Field

from mlops_assets.components.naming import (
    DATASET,
    MODEL,
    ancestors,
    check_results,
    data_versions,
)
from mlops_assets.models.specification import ModelSpecification
from resources import StoreResource

APPROVAL_JOB = "{model}_approval"
APPROVED_OP = "{model}__record_approved"


class ApprovalConfig(dg.Config):
    """The model version to check."""

    version: str | None = Field(
        default=None,
        description="Model version; this run's own, or the partition's newest, if not given.",
    )


def approval(specification: ModelSpecification) -> dg.Definitions:
    """Return the check of an approver's decision and its job; nothing if none is required."""
    if not specification.approval.required:
        return dg.Definitions()
    name = specification.name
    key = dg.AssetCheckKey(dg.AssetKey([name, "record"]), "approved")

    @dg.asset_check(
        asset=key.asset_key,
        name=key.name,
        description="An approver has approved the model version: 'mlops model approve'.",
        partitions_def=data_versions(specification.dataset),
    )
    def approved(
        context: dg.AssetCheckExecutionContext, config: ApprovalConfig, store: StoreResource
    ) -> dg.AssetCheckResult:
        from mlops_assets.models.approval.standing import approval_check
        from mlops_assets.models.lifecycle import version_for
        from mlops_assets.names import Reference

        registry = store.open().registry
        if config.version is None:
            row = version_for(registry, name, context.partition_key, ancestors(context))
        else:
            row = registry.model_version(Reference(name, config.version))
        (result,) = check_results([approval_check(registry, row, specification.approval)])
        return result

    job = dg.define_asset_job(
        APPROVAL_JOB.format(model=name),
        selection=dg.AssetSelection.checks(key),
        description=f"Evaluates whether a version of {name} is approved.",
        tags={MODEL: name, DATASET: specification.dataset},
    )
    return dg.Definitions(asset_checks=[approved], jobs=[job])
