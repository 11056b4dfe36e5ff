"""Model versions of all models at once, without reading each of them.

A project of years has a hundred thousand, of which pages list a few.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import ColumnElement, func, select, tuple_

from mlops_assets.registry.model_versions import ListedVersion, listed_versions
from mlops_assets.registry.schema import Alias, ModelVersion
from mlops_assets.registry.session import RegistrySession

_PRODUCTION = "production"


class AllModels(RegistrySession):
    """Model versions of all models at once."""

    def newest_model_versions(self, limit: int) -> list[ListedVersion]:
        """Return the newest model versions of all models, newest first.

        Args:
            limit: versions at most.
        """
        query = listed_versions().order_by(ModelVersion.created.desc()).limit(limit)
        with self.reading() as session:
            return [ListedVersion(*row) for row in session.execute(query)]

    def count_model_versions(self) -> dict[str, int]:
        """Return the number of versions of each model."""
        query = select(ModelVersion.model, func.count()).group_by(ModelVersion.model)
        with self.reading() as session:
            return dict(session.execute(query).all())

    def production_versions(self) -> list[ListedVersion]:
        """Return the model versions that are in production, by model."""
        named = (ModelVersion.model == Alias.model) & (ModelVersion.version == Alias.version)
        query = listed_versions().join(Alias, named).where(Alias.alias == _PRODUCTION)
        with self.reading() as session:
            rows = session.execute(query.order_by(ModelVersion.model))
            return [ListedVersion(*row) for row in rows]

    def standing_versions(
        self, data: Sequence[tuple[str, str]], left_out: Collection[tuple[str, str]]
    ) -> list[ListedVersion]:
        """Return the model versions by which is decided what a model waits for.

        They are its newest one, its newest one that is recorded, the one in production, and those
        trained on some data versions: a few of each model, where `list_model_versions` returns all.

        Args:
            data: dataset and version of the data versions.
            left_out: model and version of those that are no newest recorded ones, as they are
                deprecated.

        Returns:
            Their rows, oldest first within each model.
        """
        newest = select(ModelVersion.model, func.max(ModelVersion.created)).group_by(
            ModelVersion.model
        )
        key = tuple_(ModelVersion.model, ModelVersion.version)
        recorded = newest.where(ModelVersion.stage == "recorded")
        if left_out:
            recorded = recorded.where(key.not_in(left_out))
        production = select(Alias.model, Alias.version).where(Alias.alias == _PRODUCTION)
        with self.reading() as session:
            at = tuple_(ModelVersion.model, ModelVersion.created)
            of_data = tuple_(ModelVersion.dataset, ModelVersion.data_version)
            wanted: list[tuple[ColumnElement[bool], bool]] = []
            for place, rows in (
                (at, session.execute(newest).all()),
                (at, session.execute(recorded).all()),
                (key, session.execute(production).all()),
                (of_data, list(data)),
            ):
                wanted.append((place.in_([tuple(row) for row in rows]), bool(rows)))
            # each by its own index, which one condition of all would not use
            found = {
                row[:2]: ListedVersion(*row)
                for condition, any_ in wanted
                if any_
                for row in session.execute(listed_versions().where(condition))
            }
        return sorted(found.values(), key=lambda row: (row.model, row.created))
