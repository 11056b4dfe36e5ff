"""Deployments of model versions: what serves which version, since when, by whom and why."""

from __future__ import annotations

from sqlalchemy import select

from mlops_assets.principals import Role
from mlops_assets.registry.schema import Deployment, ModelVersion
from mlops_assets.registry.session import RegistrySession, existing, now

DEPLOYED = "deployed"
UNDEPLOYED = "undeployed"


class Deployments(RegistrySession):
    """Deployments of model versions."""

    def record_deployment(self, made: Deployment) -> Deployment:
        """Record that a service serves a model version, or serves it no more.

        Args:
            made: its time, principal and number are set here.

        Returns:
            The recorded deployment.

        Raises:
            Forbidden: the principal is not an approver.
            NotFound: there is no such model version.
        """
        subject = f"{made.model}@{made.version}"
        action = f"record {subject} as {made.action} in {made.service}"
        with self.transaction(action, Role.APPROVER) as session:
            existing(session.get(ModelVersion, (made.model, made.version)), subject)
            made.deployed, made.deployed_by = now(), self.principal.name
            session.add(made)
        return made

    def deployments(
        self, model: str | None = None, service: str | None = None, limit: int | None = None
    ) -> list[Deployment]:
        """Return deployments, newest first.

        Args:
            model: only of this model.
            service: only of this service.
            limit: deployments at most; all if None.
        """
        wanted = {"model": model, "service": service}
        values = {name: value for name, value in wanted.items() if value is not None}
        query = select(Deployment).filter_by(**values).order_by(Deployment.id.desc()).limit(limit)
        with self.reading() as session:
            return list(session.scalars(query))
