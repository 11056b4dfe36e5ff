"""Training runs and what they log."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import delete, select

from mlops_assets.errors import Conflict, NotFound
from mlops_assets.names import check_key
from mlops_assets.registry.schema import Run, Series
from mlops_assets.registry.session import RegistrySession, existing, now


class Runs(RegistrySession):
    """Training runs and what they log."""

    def start_run(self, run: Run) -> None:
        """Record that a run has started; an earlier unfinished attempt under the same id is replaced.

        Raises:
            Conflict: a run of this id succeeded already.
        """
        with self.transaction() as session:
            found = session.get(Run, run.run_id)
            if found is not None:
                if found.status == "succeeded":
                    raise Conflict(f"run {run.run_id} has succeeded already; start a new run")
                session.execute(delete(Series).where(Series.run_id == run.run_id))
                session.delete(found)
                session.flush()
            session.add(run)

    def finish_run(
        self, run_id: str, status: str, error: str | None = None, metrics: dict[str, Any] | None = None
    ) -> None:
        """Record how a run ended: `failed` or `canceled`, with its error. Success is `publish_model_version`.

        Raises:
            Conflict: the run has succeeded.
        """
        with self.transaction() as session:
            run = existing(session.get(Run, run_id), f"run {run_id}")
            if run.status == "succeeded":
                raise Conflict(f"run {run_id} has succeeded; its outcome does not change")
            run.status, run.error, run.finished = status, error, now()
            run.metrics = {**run.metrics, **(metrics or {})}

    def log(self, run_id: str, points: Sequence[tuple[str, int, float, datetime]]) -> None:
        """Append points (name, step, value, time) to the series of a run, in one transaction."""
        if points:
            with self.transaction() as session:
                session.execute(
                    Series.__table__.insert(),  # type: ignore[attr-defined]
                    [{"run_id": run_id, "name": n, "step": s, "value": v, "logged": t} for n, s, v, t in points],
                )

    def series(self, run_id: str) -> dict[str, list[tuple[int, float]]]:
        """Return name → [(step, value), …] of a run, in the order logged."""
        found: dict[str, list[tuple[int, float]]] = {}
        with self.reading() as session:
            for row in session.scalars(select(Series).filter_by(run_id=run_id).order_by(Series.id)):
                found.setdefault(row.name, []).append((row.step, row.value))
        return found

    def runs(self, model: str | None = None, **where: Any) -> list[Run]:
        """Return runs, oldest first, optionally of one model and with equal columns `where`."""
        query = select(Run).filter_by(**where).order_by(Run.started)
        with self.reading() as session:
            return list(session.scalars(query if model is None else query.where(Run.model == model)))

    def trained_versions(self, model: str) -> set[str]:
        """Return the data versions that a model was ever trained on, whatever came of it; no run is loaded."""
        with self.reading() as session:
            return set(session.scalars(select(Run.data_version).where(Run.model == model).distinct()))

    def run(self, run_id: str) -> Run:
        """Return one run by its id or by the unique beginning of it.

        Raises:
            NotFound: no run, or more than one, begins so.
        """
        check_key(run_id, "run id")
        with self.reading() as session:
            found = list(session.scalars(select(Run).where(Run.run_id.startswith(run_id, autoescape=True)).limit(2)))
        if len(found) != 1:
            raise NotFound(
                f"{'no' if not found else 'more than one'} run begins with {run_id!r}; see 'mlops runs list'"
            )
        return found[0]
