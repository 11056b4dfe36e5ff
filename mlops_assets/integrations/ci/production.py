"""Production as a pipeline of a branch reads it: versions by name, and the URLs of their records.

Nothing is written there, its registry is not upgraded either.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.exc import DBAPIError

from mlops_assets.errors import Conflict, NotFound, SettingsError, StorageError
from mlops_assets.integrations.ci.plan import PlannedModel
from mlops_assets.names import Reference
from mlops_assets.paths import dataset_collection_key, model_item_key
from mlops_assets.principals import Principal, Role
from mlops_assets.registry import DataVersion, ModelVersion, Registry, open_registry
from mlops_assets.registry.engine import driver_message, open_engine
from mlops_assets.registry.migrations.upgrade import is_present
from mlops_assets.settings import Settings
from mlops_assets.storage.stores import join


@dataclass(frozen=True)
class Pinned:
    """What a pipeline takes from production for a model.

    Attributes:
        data: the data version.
        data_record: URL of its record.
        baseline: version that the model is compared with; None if there is none.
        baseline_record: URL of its record; None if there is none.
    """

    data: DataVersion
    data_record: str
    baseline: ModelVersion | None
    baseline_record: str | None


@contextmanager
def production_registry(settings: Settings) -> Iterator[Registry]:
    """Open the registry of production for reading.

    Args:
        settings: those of production.

    Raises:
        Conflict: it is of another release, which a branch must not upgrade.
        SettingsError: it is a file that is not there.
        StorageError: it cannot be read.
    """
    engine = open_engine(settings.registry)
    try:
        if engine.dialect.name == "sqlite":
            _require_file(engine.url.database, settings)
        with engine.connect().execution_options(immediate=False) as connection:
            present = is_present(connection)
    except DBAPIError as error:
        raise StorageError(
            f"the registry of production cannot be read: {driver_message(error)}; check"
            " MLOPS_REGISTRY"
        ) from error
    finally:
        engine.dispose()
    if not present:
        raise Conflict(
            "the registry of production has the tables of an older release, and a branch does not"
            " upgrade it; upgrade production first"
        )
    registry = open_registry(settings.registry)
    yield registry.acting(Principal(settings.user, frozenset({Role.VIEWER})))


def pinned(settings: Settings, registry: Registry, planned: PlannedModel) -> Pinned:
    """Return what a pipeline takes from production for a model.

    Raises:
        NotFound: production has no such data version, or has it not recorded.
    """
    try:
        data = registry.data_version(planned.reference)
    except NotFound as error:
        raise NotFound(
            f"production has no {planned.data}, which ci.yaml names for {planned.name}; tag a small"
            f" version of it, by 'mlops dataset tag {planned.reference.name}@VERSION"
            f" {planned.reference.what}'"
        ) from error
    version = registry.aliases(planned.name).get(planned.compare_with)
    row = registry.model_version(Reference(planned.name, version)) if version else None
    return Pinned(
        data,
        join(settings.workspace, dataset_collection_key(data.dataset, data.version)),
        row,
        join(settings.workspace, model_item_key(row.model, row.version)) if row else None,
    )


def _require_file(database: str | None, settings: Settings) -> None:
    if database is None or not Path(database).is_file():
        raise SettingsError(
            f"the registry of production, {database}, is not there; check MLOPS_WORKSPACE and"
            f" MLOPS_REGISTRY, now of {settings.workspace}"
        )
