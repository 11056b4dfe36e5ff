"""The store as a Dagster resource. No logic here: it only opens what the settings name."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import PrivateAttr

from mlops_assets.logs import add_log_fields
from mlops_assets.settings import Settings

if TYPE_CHECKING:
    from mlops_assets.store import Store

# tag of a Dagster run that the hub has launched: who it acts for, see `identity.delegation`
ACTS_FOR = "mlops/acts_for"
# tags of a Dagster run: the model that it works on, and its data version
_MODEL, _PARTITION = "mlops/model", "dagster/partition"


class StoreResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Workspace and registry.

    What is not given here comes from the environment (see the settings table).
    """

    workspace: str | None = None
    registry: str | None = None
    user: str | None = None
    # that of a sensor, or of a test, is none
    _run: dg.DagsterRun | None = PrivateAttr(default=None)

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Keep the run that the resource is for, and name it in what is logged."""
        self._run = context.run
        if context.run is not None:
            tags = context.run.tags
            add_log_fields(
                orchestration_run=context.run.run_id,
                model=tags.get(_MODEL),
                data_version=tags.get(_PARTITION),
            )

    def open(self) -> Store:
        """Open the workspace and the registry.

        A run that the hub has launched acts for the user who has asked for it, with those of their
        roles that this process has, too.

        Raises:
            Forbidden: it states another user than the hub has signed.
            SettingsError: a setting cannot be used.
            StorageError: the workspace or the registry cannot be opened.
        """
        given = {
            "MLOPS_WORKSPACE": self.workspace,
            "MLOPS_REGISTRY": self.registry,
            "MLOPS_USER": self.user,
        }
        from mlops_assets.store import open_store

        settings = Settings.from_environment(
            overrides={name: value for name, value in given.items() if value}
        )
        return self._acting(open_store(settings), settings)

    def _acting(self, store: Store, settings: Settings) -> Store:
        run = self._run
        statement = run.tags.get(ACTS_FOR) if run is not None else None
        if run is None or statement is None:
            return store
        from mlops_assets.identity.delegation import delegated, delegation_key

        key = delegation_key(settings.delegation_key, settings.dagster_home)
        principal = delegated(statement, run.run_id, key)
        if principal is None:
            return store
        return store.acting(replace(principal, roles=principal.roles & settings.roles))
