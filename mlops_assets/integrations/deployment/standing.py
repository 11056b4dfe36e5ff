"""The deployments of a service as the registry has them.

Nothing is deployed here; see `deploy`.
"""

from __future__ import annotations

from mlops_assets.errors import NotFound, PromotionRefused
from mlops_assets.names import Reference
from mlops_assets.registry import Deployment, ModelVersion, Registry
from mlops_assets.registry.promotion.deployments import DEPLOYED
from mlops_assets.serving.specification import ServiceSpecification
from mlops_assets.text.listing import named


def newest_deployment(registry: Registry, service: str) -> Deployment | None:
    """Return the last change of a service; None if it was never deployed."""
    return next(iter(registry.deployments(service=service, limit=1)), None)


def active_deployment(registry: Registry, service: str) -> Deployment | None:
    """Return the deployment of what a service serves; None if it serves nothing."""
    found = newest_deployment(registry, service)
    return found if found is not None and found.action == DEPLOYED else None


def is_rollback(registry: Registry, row: ModelVersion, service: str) -> bool:
    """Return whether a service served a newer version before it serves this one."""
    made = registry.deployments(service=service)
    versions = {version.version: version for version in registry.model_versions(row.model)}
    before = next((versions.get(own.version) for own in made if own.model == row.model), None)
    return before is not None and before.created > row.created


def require_deployable(
    registry: Registry, specification: ServiceSpecification, row: ModelVersion
) -> None:
    """Check that a version was promoted to the alias of a service, and was not withdrawn since.

    Gates and approval stand before promotion, so that what was promoted may be served.

    Args:
        registry: has promotions and decisions.
        specification: of the service.
        row: the model version.

    Raises:
        PromotionRefused: it was never promoted, is deprecated, or was rejected since.
    """
    reference = f"{row.model}@{row.version}"
    alias = specification.alias
    if registry.aliases(row.model).get(alias) == row.version:
        return
    promoted = [move.version for move in registry.promotions(row.model) if move.alias == alias]
    if row.version not in promoted:
        known = named(list(dict.fromkeys(promoted[::-1])), 5) or "none"
        raise PromotionRefused(
            f"{reference} was never promoted to {alias}, so that no gate has accepted it; run"
            f" 'mlops model promote {reference}', or deploy one of these: {known}"
        )
    if (row.model, row.version) in registry.deprecated_versions(row.model):
        raise PromotionRefused(f"{reference} is deprecated; deploy another version")
    decided = [
        made.decision
        for made in registry.decisions(row.model, row.version)
        if made.decision in ("approved", "rejected")
    ]
    if decided[-1:] == ["rejected"]:
        raise PromotionRefused(f"{reference} was rejected; deploy another version")


def version_to_deploy(
    registry: Registry, specification: ServiceSpecification, version: str | None
) -> ModelVersion:
    """Return the model version that a service is to serve.

    Args:
        registry: has the versions.
        specification: of the service.
        version: a version or an alias; what the service's alias names now if None.

    Raises:
        NotFound: there is no such version, or the alias names none yet.
    """
    wanted = version or specification.alias
    try:
        return registry.model_version(Reference(specification.model, wanted))
    except NotFound as error:
        if version is not None:
            raise
        raise NotFound(
            f"{specification.model}@{wanted} names no version yet, so that {specification.name}"
            f" has nothing to serve; run 'mlops model promote {specification.model}'"
        ) from error
