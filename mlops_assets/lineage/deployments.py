"""The deployments of a model version, as parts of its chain."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select

from mlops_assets.registry import Deployment, Registry
from mlops_assets.registry.promotion.deployments import DEPLOYED

# details of a deployment that state where it is
_PLACES = ("url", "folder")


@dataclass(frozen=True)
class DeploymentLineage:
    """A deployment of a model version, or its end.

    Attributes:
        service: name of the service.
        reference: `model@version`.
        engine: that serves it.
        action: `deployed` or `undeployed`.
        active: whether the service serves the version by this deployment still.
        deployed: when.
        deployed_by: who has deployed or undeployed it.
        sha256: of the ONNX file.
        place: URL of the server, or folder of the engine's files; None if unknown.
        reason: why; None if none was given.
    """

    service: str
    reference: str
    engine: str
    action: str
    active: bool
    deployed: datetime
    deployed_by: str
    sha256: str
    place: str | None
    reason: str | None


def deployments_of_version(registry: Registry, model: str, version: str) -> list[DeploymentLineage]:
    """Return the deployments of a model version, newest first.

    Args:
        registry: has the deployments.
        model: name of the model.
        version: of the model.
    """
    return _described(
        registry, (made for made in registry.deployments(model) if made.version == version)
    )


def deployments_of_model(registry: Registry, model: str) -> list[DeploymentLineage]:
    """Return the deployments of all versions of a model, newest first.

    Args:
        registry: has the deployments.
        model: name of the model.
    """
    return _described(registry, registry.deployments(model))


def deployments_of_file(registry: Registry, sha256: str) -> list[DeploymentLineage]:
    """Return the deployments of an ONNX file that the principal may see, newest first.

    Args:
        registry: has the deployments.
        sha256: of the file.
    """
    return _described(registry, (made for made in registry.deployments() if made.sha256 == sha256))


def _described(registry: Registry, found: Iterable[Deployment]) -> list[DeploymentLineage]:
    newest = select(func.max(Deployment.id)).group_by(Deployment.service)
    # also of versions that the principal may not see, which end what was deployed before
    with registry.unrestricted().reading() as session:
        last = set(session.scalars(newest))
    return [
        DeploymentLineage(
            service=made.service,
            reference=f"{made.model}@{made.version}",
            engine=made.engine,
            action=made.action,
            active=made.action == DEPLOYED and made.id in last,
            deployed=made.deployed,
            deployed_by=made.deployed_by,
            sha256=made.sha256,
            place=next((made.details[key] for key in _PLACES if key in made.details), None),
            reason=made.reason,
        )
        for made in found
    ]
