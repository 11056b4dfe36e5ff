"""The store as a Dagster resource. No logic here: it only opens what the settings name."""

import dagster as dg

from mlops_assets.registry import open_registry
from mlops_assets.settings import Settings
from mlops_assets.storage import Workspace
from mlops_assets.training.store import Store


class StoreResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Workspace and registry; what is not given here comes from the environment (see the settings table)."""

    workspace: str | None = None
    registry: str | None = None
    user: str | None = None

    def open(self) -> Store:
        """Open the workspace and the registry.

        Raises:
            SettingsError: a setting cannot be used.
            StorageError: the workspace or the registry cannot be opened.
        """
        given = {"MLOPS_WORKSPACE": self.workspace, "MLOPS_REGISTRY": self.registry, "MLOPS_USER": self.user}
        settings = Settings.from_environment(overrides={name: value for name, value in given.items() if value})
        return open_store(settings)


def open_store(settings: Settings) -> Store:
    """Open the workspace and the registry that the settings name."""
    workspace = Workspace(
        settings.workspace, settings.cache
    )  # makes the folder in which SQLite then makes the registry
    return Store(workspace, open_registry(settings.registry), settings.user)
