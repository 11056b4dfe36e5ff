"""Training runs from their start to their end, and their checkpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from mlops_assets.errors import Conflict, Hidden, NotFound
from mlops_assets.names import check_key
from mlops_assets.paths import Owner, model_owner, run_document_key, run_owner, run_points_key
from mlops_assets.principals import Role
from mlops_assets.registry.log.chain import note_points
from mlops_assets.registry.runs.points import LoggedPoint, RunPoints, add_points
from mlops_assets.registry.runs.remarks import RunRemarks
from mlops_assets.registry.schema import Checkpoint, File, ModelVersion, Point, Run
from mlops_assets.registry.session import existing, now, record_files
from mlops_assets.storage import FileStat


@dataclass(frozen=True)
class RunFacts:
    """The measurements of an attempt of a run, recorded when it ends.

    Attributes:
        metrics: metric → last value.
        phases: name → seconds.
        usage: what the attempt took, such as `peak_memory_bytes`; see `Run.usage`.
        seconds: duration of the attempt; None where it is unknown.
    """

    metrics: Mapping[str, float] = field(default_factory=dict)
    phases: Mapping[str, float] = field(default_factory=dict)
    usage: Mapping[str, float] = field(default_factory=dict)
    seconds: float | None = None


NO_FACTS = RunFacts()


class Runs(RunPoints, RunRemarks):
    """Training runs, their logged points, and their checkpoints."""

    def start_run(self, run: Run) -> None:
        """Record that a run has started.

        An earlier unfinished attempt under the same id is replaced. Its documents are no longer
        published, as those of a run that is resumed.

        Args:
            run: the run.

        Raises:
            Conflict: a run of this id succeeded already, or is one that the principal may not see.
        """
        with self.transaction("start run", Role.SCIENTIST) as session:
            found = session.get(Run, run.run_id)
            if found is not None:
                self._require_visible(run.run_id)
                _require_unfinished(found)
                session.execute(delete(Point).where(Point.run_id == run.run_id))
                for checkpoint in session.scalars(
                    select(Checkpoint).where(Checkpoint.run_id == run.run_id)
                ):
                    session.delete(checkpoint)
                _forget_documents(session, run.run_id)
                run.user_tags = found.user_tags
                session.delete(found)
                session.flush()
            session.add(run)

    def resume_run(self, run_id: str, first_seq: int, **changes: object) -> Run:
        """Record that an unfinished run continues.

        Points logged after the checkpoint are forgotten.

        Args:
            run_id: the run.
            first_seq: number of the first point after the checkpoint.
            changes: columns that have other values now, such as `host` and `pid`.

        Returns:
            The run, with one attempt more.

        Raises:
            NotFound: there is no such run.
            Conflict: the run has succeeded.
        """
        with self.transaction("resume run", Role.SCIENTIST) as session:
            run = existing(session.get(Run, run_id), f"run {run_id}")
            _require_unfinished(run)
            session.execute(delete(Point).where(Point.run_id == run_id, Point.seq >= first_seq))
            _forget_documents(session, run_id)
            run.status = "running"
            run.error = None
            run.finished = None
            run.attempts += 1
            for name, value in changes.items():
                setattr(run, name, value)
            return run

    def finish_run(
        self,
        run_id: str,
        status: str,
        error: str | None = None,
        finished: datetime | None = None,
        files: Sequence[FileStat] = (),
        facts: RunFacts = NO_FACTS,
    ) -> None:
        """Record how a run ended: `failed`, `canceled` or `pruned`, with its error.

        Success is `publish_model_version`.

        Args:
            run_id: the run.
            status: how it ended.
            error: its message.
            finished: when; now if not given.
            files: its documents, as stored.
            facts: of this attempt, added to those of earlier ones.

        Raises:
            Conflict: the run has succeeded.
        """
        with self.transaction(f"end run as {status}", Role.SCIENTIST) as session:
            run = existing(session.get(Run, run_id), f"run {run_id}")
            set_ended(run, status, error, finished or now(), facts)
            record_files(session, run_owner(run_id), files)

    def put_run(
        self, run: Run, points: Sequence[LoggedPoint] | None, files: Sequence[FileStat] = ()
    ) -> None:
        """Record a run that ended elsewhere, with all its points.

        Putting it again replaces the recorded run.

        Args:
            run: as it is there; a model version that was made of it here stays.
            points: everything it has logged; None keeps the recorded points.
            files: its documents, as stored; those of before are published no more.

        Raises:
            Conflict: a run of this id is one that the principal may not see.
        """
        with self.transaction("put run", Role.SCIENTIST) as session:
            found = session.get(Run, run.run_id)
            if found is not None:
                self._require_visible(run.run_id)
                run.model_version = found.model_version
                run.metrics = {**found.metrics, **run.metrics}
            session.merge(run)
            if points is not None:
                session.execute(delete(Point).where(Point.run_id == run.run_id))
                add_points(session.connection(), run.run_id, points)
                if run.status != "running":
                    note_points(session, run.run_id)
            _forget_documents(session, run.run_id)
            session.flush()  # before the same paths are recorded again
            record_files(session, owner_of_documents(run), files)

    def _require_visible(self, run_id: str) -> None:
        if not self.runs(run_id=run_id):
            raise Conflict(f"run id {run_id} is taken; choose another one")

    def add_checkpoint(self, row: Checkpoint) -> None:
        """Record a checkpoint.

        Args:
            row: the checkpoint, whose bytes are stored.
        """
        with self.transaction("keep checkpoint", Role.SCIENTIST) as session:
            session.merge(row)

    def checkpoints(self, run_id: str) -> list[Checkpoint]:
        """Return the checkpoints of a run.

        Args:
            run_id: the run.

        Returns:
            Its checkpoints, newest first.
        """
        with self.reading() as session:
            query = (
                select(Checkpoint)
                .where(Checkpoint.run_id == run_id)
                .order_by(Checkpoint.step.desc())
            )
            return list(session.scalars(query))

    def forget_checkpoints(self, run_id: str, steps: Sequence[int]) -> None:
        """Remove checkpoints from the registry; the caller removes their bytes afterwards.

        Args:
            run_id: the run.
            steps: of the checkpoints.
        """
        query = select(Checkpoint).where(Checkpoint.run_id == run_id, Checkpoint.step.in_(steps))
        with self.transaction("forget checkpoints", Role.SCIENTIST) as session:
            for checkpoint in session.scalars(query):
                session.delete(checkpoint)

    def runs(self, model: str | None = None, **where: object) -> list[Run]:
        """Return runs; see `search_runs` for filters.

        Args:
            model: name of the model; all models if None.
            where: column → value, of the runs wanted.

        Returns:
            Their rows, oldest first.
        """
        query = select(Run).filter_by(**where).order_by(Run.started)
        with self.reading() as session:
            return list(
                session.scalars(query if model is None else query.where(Run.model == model))
            )

    def models_with_runs(self) -> list[str]:
        """Return the names of all models that have runs, whatever came of those."""
        with self.reading() as session:
            return list(session.scalars(select(Run.model).distinct().order_by(Run.model)))

    def trained_versions(self, model: str) -> set[str]:
        """Return the data versions that a model was ever trained on, with or without success.

        No run is loaded.

        Args:
            model: its name.

        Returns:
            Names of data versions of its dataset, e.g. `v2`.
        """
        with self.reading() as session:
            return set(
                session.scalars(select(Run.data_version).where(Run.model == model).distinct())
            )

    def run(self, run_id: str) -> Run:
        """Return one run.

        Args:
            run_id: its id, or an unambiguous beginning of it.

        Returns:
            Its row.

        Raises:
            NotFound: no run, or more than one, begins so.
        """
        check_key(run_id, "run id")
        with self.reading() as session:
            found = list(
                session.scalars(
                    select(Run).where(Run.run_id.startswith(run_id, autoescape=True)).limit(2)
                )
            )
        if len(found) != 1:
            raise NotFound(
                f"{'no' if not found else 'more than one'} run begins with {run_id!r}; see 'mlops"
                " run list'"
            )
        return found[0]

    def run_of(self, row: ModelVersion) -> Run:
        """Return the run of a model version.

        Args:
            row: the model version, which the principal sees.

        Raises:
            Hidden: the principal may not see the run.
            NotFound: the registry does not have it.
        """
        found = self.runs(run_id=row.run_id)
        if found:
            return found[0]
        self.unrestricted().run(row.run_id)
        raise Hidden(
            f"the run of {row.model}@{row.version} is on {row.dataset}@{row.data_version}, which"
            f" {self.principal.name} may not see; ask who has committed that, or an operator"
        )


def owner_of_documents(run: Run) -> Owner:
    """Return the owner of the documents of a run: its model version, if it has one."""
    return (
        run_owner(run.run_id)
        if run.model_version is None
        else model_owner(run.model, run.model_version)
    )


def set_ended(
    run: Run, status: str, error: str | None, finished: datetime, facts: RunFacts
) -> None:
    """Set the status, error, end and facts of a run that has ended.

    Raises:
        Conflict: it has succeeded.
    """
    _require_unfinished(run)
    run.status, run.error, run.finished = status, error, finished
    add_facts(run, facts)


def add_facts(run: Run, facts: RunFacts) -> None:
    """Add facts to those of a run; seconds of an earlier attempt count too."""
    run.metrics = {**run.metrics, **facts.metrics}
    run.phases = {**run.phases, **facts.phases}
    run.usage = {**run.usage, **facts.usage}
    if facts.seconds is not None:
        run.seconds = (run.seconds or 0.0) + facts.seconds


def _forget_documents(session: Session, run_id: str) -> None:
    for key in (run_document_key(run_id), run_points_key(run_id)):
        if (file := session.get(File, key)) is not None:
            session.delete(file)


def _require_unfinished(run: Run) -> None:
    if run.status == "succeeded":
        raise Conflict(
            f"run {run.run_id} has succeeded already; its outcome does not change, start a new run"
        )
