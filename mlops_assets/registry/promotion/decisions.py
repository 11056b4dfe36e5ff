"""Decisions on model versions: approval, rejection, deprecation.

What may be promoted by them is decided in `mlops_assets.models.approval`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import select

from mlops_assets.principals import Role
from mlops_assets.registry.promotion.outbox import (
    APPROVED,
    DEPRECATED,
    REINSTATED,
    REJECTED,
    queue_messages,
)
from mlops_assets.registry.records.rows import PublishedRecords
from mlops_assets.registry.schema import Decision, ModelVersion
from mlops_assets.registry.session import RegistrySession, existing, now, publish_records

# decision → event
_EVENTS = {
    "approved": APPROVED,
    "rejected": REJECTED,
    "deprecated": DEPRECATED,
    "reinstated": REINSTATED,
}
_DEPRECATIONS = ("deprecated", "reinstated")


class Decisions(RegistrySession):
    """Decisions on model versions."""

    def decide(
        self,
        row: ModelVersion,
        decision: str,
        reason: str,
        sha256: Mapping[str, str],
        records: PublishedRecords | None = None,
    ) -> Decision:
        """Record a decision on a model version.

        Args:
            row: the model version.
            decision: one of those of `Decision`.
            reason: why.
            sha256: of the files that it is about, by name.
            records: of the catalogue, that are published with it.

        Returns:
            The decision, which names the principal.

        Raises:
            Forbidden: the principal is not an approver.
            NotFound: there is no such model version.
        """
        subject = f"{row.model}@{row.version}"
        with self.transaction(f"record {subject} as {decision}", Role.APPROVER) as session:
            found = existing(session.get(ModelVersion, (row.model, row.version)), subject)
            made = Decision(
                model=row.model,
                version=row.version,
                decision=decision,
                sha256=dict(sha256),
                decided=now(),
                decided_by=self.principal.name,
                reason=reason,
            )
            session.add(made)
            if records is not None:
                publish_records(session, records)
            facts = {"by": made.decided_by, "reason": reason, "sha256": made.sha256}
            queue_messages(session, _EVENTS[decision], found, facts)
        return made

    def decisions(self, model: str, version: str | None = None) -> list[Decision]:
        """Return the decisions on the versions of a model, oldest first.

        Args:
            model: its name.
            version: only those on this version.
        """
        query = select(Decision).filter_by(model=model).order_by(Decision.id)
        with self.reading() as session:
            return list(
                session.scalars(query if version is None else query.filter_by(version=version))
            )

    def deprecated_versions(self, model: str | None = None) -> dict[tuple[str, str], Decision]:
        """Return the deprecated versions of a model, or of all, with their deprecations.

        Args:
            model: its name; all models if None.

        Returns:
            (model, version) → the deprecation.
        """
        query = select(Decision).where(Decision.decision.in_(_DEPRECATIONS)).order_by(Decision.id)
        with self.reading() as session:
            found: Sequence[Decision] = session.scalars(
                query if model is None else query.filter_by(model=model)
            ).all()
        newest = {(made.model, made.version): made for made in found}
        return {key: made for key, made in newest.items() if made.decision == "deprecated"}
