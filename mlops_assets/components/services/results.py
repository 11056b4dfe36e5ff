"""The results of deployments for Dagster; nothing is deployed here."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlops_assets.components.events.model_results import identity
from mlops_assets.registry.promotion.deployments import DEPLOYED
from mlops_assets.serving.specification import ServiceSpecification

if TYPE_CHECKING:
    from dagster._core.definitions.metadata import RawMetadataValue

    from mlops_assets.integrations.deployment.deploy import Deployed

# what changes a deployment; Dagster shows it as out of date once one of them is declared otherwise
_DEPLOYED_FIELDS = {
    "name",
    "model",
    "alias",
    "engine",
    "url",
    "out",
    "storage",
    "secret",
    "namespace",
    "replicas",
    "resources",
}


def deployment_code_version(specification: ServiceSpecification) -> str:
    """Return a digest of what a deployment takes from its declaration."""
    found = specification.model_dump(mode="json", include=_DEPLOYED_FIELDS)
    text = json.dumps(found | {"log": specification.log.url}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def deployment_result(made: Deployed) -> dg.MaterializeResult[Any]:
    """Return the result of a deployment, a rollback or an end.

    Args:
        made: what was recorded.
    """
    record = made.record
    deployed = record.action == DEPLOYED
    metadata: dict[str, RawMetadataValue] = {
        **identity(made.row),
        "action": "rollback" if made.rollback else record.action,
        "service": record.service,
        "engine": record.engine,
        "sha256": record.sha256,
        "previous": made.previous or "none",
        "deployed_by": record.deployed_by,
        "reason": record.reason or "none",
        "next_steps": dg.MetadataValue.md("\n".join(f"* `{step}`" for step in made.next_steps)),
    }
    if "url" in record.details:
        metadata["url"] = dg.MetadataValue.url(record.details["url"])
    if made.folder is not None:
        metadata["folder"] = dg.MetadataValue.path(str(made.folder))
        metadata["files"] = dg.MetadataValue.json(made.files)
    what = record.sha256 if deployed else record.action
    return dg.MaterializeResult(
        data_version=dg.DataVersion(f"{what}-{record.engine}"), metadata=metadata
    )
