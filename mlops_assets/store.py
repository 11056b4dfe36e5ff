"""The storage of a project: workspace, registry, and the principal who works with them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mlops_assets.principals import Principal
from mlops_assets.registry import Registry, open_registry
from mlops_assets.settings import Settings
from mlops_assets.storage import Workspace
from mlops_assets.storage.cache_owner import claim_cache


@dataclass(frozen=True)
class Store:
    """The storage of a project: its workspace and its registry, which knows the principal.

    The log of the registry is mirrored in the workspace.

    Attributes:
        workspace: the files.
        registry: the metadata.
    """

    workspace: Workspace
    registry: Registry

    def __post_init__(self) -> None:
        """Bind the registry to the workspace."""
        object.__setattr__(self, "registry", self.registry.mirrored(self.workspace))

    @property
    def user(self) -> str:
        """The name of the principal."""
        return self.registry.principal.name

    def acting(self, principal: Principal) -> Store:
        """Return this store for another principal.

        Args:
            principal: whose roles decide what is allowed, and whom the log names.
        """
        return replace(self, registry=self.registry.acting(principal))


def open_store(settings: Settings) -> Store:
    """Open the workspace and the registry of a project.

    Args:
        settings: name both, and the principal.

    Returns:
        Both, opened, acting for the principal.

    Raises:
        SettingsError: the cache is that of another workspace.
        StorageError: one of them cannot be opened.
    """
    # first the workspace: it makes the folder in which SQLite then makes the registry
    workspace = Workspace(settings.workspace, settings.cache, settings.pack_below)
    if not workspace.is_local or settings.cache != workspace.root / "cache":
        claim_cache(settings.cache, workspace.url)
    return Store(workspace, open_registry(settings.registry).acting(settings.principal))
