"""The store as a Dagster resource. No logic here: it only opens what the settings name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg

from mlops_assets.settings import Settings

if TYPE_CHECKING:
    from mlops_assets.store import Store


class StoreResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Workspace and registry.

    What is not given here comes from the environment (see the settings table).
    """

    workspace: str | None = None
    registry: str | None = None
    user: str | None = None

    def open(self) -> Store:
        """Open the workspace and the registry.

        Raises:
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
        return open_store(settings)
