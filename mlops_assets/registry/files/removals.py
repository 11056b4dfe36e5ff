"""Removals of files that nothing needs: their entry in the log, and what recognised them.

The bytes are removed afterwards, by `mlops_assets.upkeep`. Whoever is killed in between leaves
files that nothing recognises, and that the next removal finds again.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from mlops_assets.principals import Role
from mlops_assets.registry.files.packed_objects import portions
from mlops_assets.registry.schema import Checkpoint, LandedIdentity, PackedObject, Removal, Run
from mlops_assets.registry.session import RegistrySession, now


class Removals(RegistrySession):
    """Removals of files that nothing needs."""

    def record_removal(self, row: Removal) -> None:
        """Record that files are removed.

        Args:
            row: what is removed, without time and principal.
        """
        with self.transaction(_action(row), Role.OPERATOR) as session:
            self._add(session, row)

    def forget_objects(
        self, row: Removal, objects: Collection[str], packs: Collection[str]
    ) -> None:
        """Record that objects and packs are removed, and forget whatever would recognise them.

        A commit that reads the landing again stores them anew from then on. Hold
        `Registry.removing` from before they are found unneeded until their bytes are gone.

        Args:
            row: what is removed, without time and principal.
            objects: checksums of the single objects, hexadecimal.
            packs: checksums of the packs, hexadecimal.
        """
        with self.transaction(_action(row), Role.OPERATOR) as session:
            self._add(session, row)
            for pack in packs:
                inside = select(PackedObject.sha256).where(PackedObject.pack == pack)
                session.execute(delete(LandedIdentity).where(LandedIdentity.sha256.in_(inside)))
                session.execute(delete(PackedObject).where(PackedObject.pack == pack))
            for some in portions(sorted(objects)):
                # one that is in a pack, too, is found there again
                packed = select(PackedObject.sha256).where(PackedObject.sha256.in_(some))
                session.execute(
                    delete(LandedIdentity).where(
                        LandedIdentity.sha256.in_(some), LandedIdentity.sha256.not_in(packed)
                    )
                )

    def remove_checkpoints(self, row: Removal, run_id: str, ended_before: datetime) -> bool:
        """Forget the checkpoints of a run that has ended, and record that they are removed.

        Hold the lock of runs that start until their bytes are gone, too.

        Args:
            row: what is removed, without time and principal.
            run_id: the run; one that the registry does not have has no checkpoint there.
            ended_before: the run must have ended before.

        Returns:
            Whether it was so; nothing is recorded if the run is still running, or has ended later.
        """
        with self.transaction(_action(row), Role.OPERATOR) as session:
            run = session.get(Run, run_id)
            if run is not None and not has_ended(run, ended_before):
                return False
            query = select(Checkpoint).where(Checkpoint.run_id == run_id)
            for checkpoint in session.scalars(query):
                session.delete(checkpoint)
            self._add(session, row)
        return True

    def removals(self) -> Sequence[Removal]:
        """Return all removals, oldest first."""
        with self.reading() as session:
            return list(session.scalars(select(Removal).order_by(Removal.id)))

    def _add(self, session: Session, row: Removal) -> None:
        row.removed, row.removed_by = now(), self.principal.name
        session.add(row)


def has_ended(run: Run, before: datetime) -> bool:
    """Return whether a run has ended before a moment."""
    return run.status != "running" and run.finished is not None and run.finished < before


def _action(row: Removal) -> str:
    return f"remove {row.kind}"
