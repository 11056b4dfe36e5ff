"""Model versions, aliases, and the history of promotions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Select, select
from sqlalchemy.exc import IntegrityError as SqlIntegrityError

from mlops_assets.errors import Conflict, NotFound
from mlops_assets.names import Reference
from mlops_assets.paths import model_owner
from mlops_assets.principals import SHARED_NAME, Role, Visibility
from mlops_assets.registry.promotion.outbox import NEW_VERSION, PROMOTED, queue_messages
from mlops_assets.registry.records.rows import PublishedRecords
from mlops_assets.registry.runs import NO_FACTS, RunFacts, add_facts
from mlops_assets.registry.schema import STAGES, Alias, DataVersion, ModelVersion, Promotion, Run
from mlops_assets.registry.session import (
    RegistrySession,
    existing,
    now,
    publish_records,
    record_files,
    version_of,
)
from mlops_assets.settings import initial_visibility
from mlops_assets.storage import FileStat


def role_to_move(alias: str) -> Role:
    """Return the role that moves an alias: a scientist `candidate` only, an approver all others."""
    return Role.SCIENTIST if alias == "candidate" else Role.APPROVER


class ListedVersion(NamedTuple):
    """A model version as listings have it: columns of its row, without its signature."""

    model: str
    version: str
    dataset: str
    data_version: str
    run_id: str
    stage: str
    metrics: dict[str, float]
    created: datetime
    visibility: str


class ModelVersions(RegistrySession):
    """Model versions, aliases, and the history of promotions."""

    def publish_model_version(
        self,
        row: ModelVersion,
        files: Sequence[FileStat],
        finished: datetime | None = None,
        facts: RunFacts = NO_FACTS,
    ) -> None:
        """Publish the model version of a run, and with it the run's success.

        It is as visible as new versions are, but no more than its data version. What is recorded
        with the shared token is not private, as it has no creator who could see it.

        Args:
            row: the model version.
            files: its files, as stored.
            finished: when the run ended; now if not given.
            facts: of the run.

        Raises:
            Conflict: the model version exists already.
        """
        try:
            with self.transaction("publish model version", Role.SCIENTIST) as session:
                run = existing(session.get(Run, row.run_id), f"run {row.run_id}")
                run.status, run.finished, run.model_version = (
                    "succeeded",
                    finished or now(),
                    row.version,
                )
                add_facts(run, facts)
                visibility = initial_visibility()
                if self.principal.name == SHARED_NAME and visibility == Visibility.PRIVATE:
                    visibility = Visibility.WORKSPACE
                data = session.get(DataVersion, (row.dataset, row.data_version))
                circles = [] if data is None else [data.visibility]
                row.visibility = Visibility.narrowest(row.visibility or visibility, *circles)
                session.add(row)
                record_files(session, model_owner(row.model, row.version), files)
        except SqlIntegrityError as error:
            raise Conflict(
                f"{row.model}@{row.version} exists already; model versions are immutable"
            ) from error

    def advance(
        self,
        row: ModelVersion,
        stage: str,
        files: Sequence[FileStat],
        metrics: dict[str, float] | None = None,
        seconds: float | None = None,
        records: PublishedRecords | None = None,
    ) -> ModelVersion:
        """Publish the next stage of a model version with its files.

        Publishing a stage again replaces its files.

        Args:
            row: the model version.
            stage: one of `STAGES`.
            files: of the model version.
            metrics: of the test split.
            seconds: how long the stage took; it becomes a phase of the run.
            records: published with it.

        Returns:
            Its row with the new stage.

        Raises:
            NotFound: there is no such model version.
        """
        with self.transaction(f"publish stage {stage}", Role.SCIENTIST) as session:
            found = existing(
                session.get(ModelVersion, (row.model, row.version)), f"{row.model}@{row.version}"
            )
            if STAGES.index(stage) > STAGES.index(found.stage):
                found.stage = stage
                if stage == "recorded":
                    facts = {"by": self.principal.name, "metrics": found.metrics}
                    queue_messages(session, NEW_VERSION, found, facts)
            run = existing(session.get(Run, row.run_id), f"run {row.run_id}")
            if metrics is not None:
                found.metrics = metrics
            phases = {} if seconds is None else {stage: seconds}
            add_facts(run, RunFacts(metrics or {}, phases))
            record_files(session, model_owner(row.model, row.version), files)
            if records is not None:
                publish_records(session, records)
            return found

    def model_versions(self, model: str | None = None, **where: object) -> list[ModelVersion]:
        """Return model versions, oldest first within each model.

        Args:
            model: name of the model; all models if None.
            where: column → value, of those wanted.

        Returns:
            Their rows.
        """
        query = (
            select(ModelVersion)
            .filter_by(**where)
            .order_by(ModelVersion.model, ModelVersion.created)
        )
        with self.reading() as session:
            return list(
                session.scalars(
                    query if model is None else query.where(ModelVersion.model == model)
                )
            )

    def list_model_versions(
        self, model: str | None = None, data: Reference | None = None
    ) -> list[ListedVersion]:
        """Return model versions as listings have them, oldest first within each model.

        Signatures are not read, which are most of a row: 10,000 versions take a fifteenth of the
        time that `model_versions` takes.

        Args:
            model: name of the model; all models if None.
            data: dataset and version that they were trained on; any if None.
        """
        query = listed_versions().order_by(ModelVersion.model, ModelVersion.created)
        if model is not None:
            query = query.where(ModelVersion.model == model)
        if data is not None:
            query = query.filter_by(dataset=data.name, data_version=data.what)
        with self.reading() as session:
            return [ListedVersion(*row) for row in session.execute(query)]

    def model_version(self, reference: Reference) -> ModelVersion:
        """Resolve `model@version`, `model@alias`, or `model` (the newest).

        Args:
            reference: to the model version.

        Returns:
            Its row.

        Raises:
            NotFound: there is no such model, version or alias.
        """
        name, what = reference.name, reference.what
        query = select(ModelVersion).where(ModelVersion.model == name)
        with self.reading() as session:
            found = session.scalar(query.order_by(ModelVersion.created.desc()).limit(1))
            if found is None:
                raise NotFound(f"model {name!r} has no version; run 'mlops train {name}'")
            if what is not None:
                aliased = select(Alias.version).where(Alias.model == name, Alias.alias == what)
                found = version_of(session, query, ModelVersion.version, what, aliased)
        if found is None:
            raise NotFound(f"{reference} is not known; see 'mlops model list {name}'")
        return found

    def aliases(self, model: str) -> dict[str, str]:
        """Return the aliases of a model.

        Args:
            model: its name.

        Returns:
            Alias → version.
        """
        with self.reading() as session:
            return {
                row.alias: row.version
                for row in session.scalars(select(Alias).filter_by(model=model))
            }

    def all_aliases(self) -> dict[tuple[str, str], list[str]]:
        """Return the aliases of all model versions that have one.

        Returns:
            (model, version) → its aliases, sorted.
        """
        found: dict[tuple[str, str], list[str]] = {}
        with self.reading() as session:
            for row in session.scalars(select(Alias).order_by(Alias.alias)):
                found.setdefault((row.model, row.version), []).append(row.alias)
        return found

    def promote(
        self,
        row: ModelVersion,
        gates: list[dict[str, object]],
        alias: str = "production",
        reason: str | None = None,
        event: str = PROMOTED,
    ) -> Promotion:
        """Move an alias to a model version; the former `production` becomes `previous`.

        Moves of a model's aliases wait for each other, so that each finds the result of the one
        before.

        Args:
            row: the model version.
            gates: outcomes of the gates it has passed, as JSON values, for the history.
            alias: the alias to move.
            reason: why.
            event: that webhooks receive.

        Returns:
            The entry of the history, which names the principal.

        Raises:
            Forbidden: the principal may not move this alias.
        """
        with self.transaction(f"move alias {alias}", role_to_move(alias)) as session:
            # an alias that is new has no row to lock; the model's first version is there, and the
            # same for all
            first = (
                select(ModelVersion.version)
                .filter_by(model=row.model)
                .order_by(ModelVersion.created)
                .limit(1)
            )
            session.execute(first.with_for_update())
            moved = now()
            found = session.get(Alias, (row.model, alias))
            previous = found.version if found else None
            session.merge(Alias(model=row.model, alias=alias, version=row.version, since=moved))
            if alias == "production" and previous not in (None, row.version):
                session.merge(
                    Alias(model=row.model, alias="previous", version=previous, since=moved)
                )
            promotion = Promotion(
                model=row.model,
                alias=alias,
                version=row.version,
                previous=previous,
                moved=moved,
                moved_by=self.principal.name,
                gates=gates,
                reason=reason,
            )
            session.add(promotion)
            facts = {"alias": alias, "previous": previous, "reason": reason}
            queue_messages(session, event, row, {"by": self.principal.name, **facts})
        return promotion

    def promotions(self, model: str) -> list[Promotion]:
        """Return the history of a model's aliases.

        Args:
            model: its name.

        Returns:
            Every promotion and rollback, oldest first.
        """
        with self.reading() as session:
            return list(
                session.scalars(select(Promotion).filter_by(model=model).order_by(Promotion.id))
            )


def listed_versions() -> Select[Any]:
    """Return the query of the columns of `ListedVersion`."""
    return select(*(getattr(ModelVersion, name) for name in ListedVersion._fields))
