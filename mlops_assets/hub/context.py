"""The state that routes and pages of the hub share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import dagster as dg

from mlops_assets.components.project.declared_datasets import declared_datasets
from mlops_assets.components.project.definitions import DeclaredModels
from mlops_assets.hub.orchestration.launcher import Launcher
from mlops_assets.hub.sign_in.sessions import BrowserSessions
from mlops_assets.hub.views.home import HomeView
from mlops_assets.integrations.git_webhooks.declaration import DeclaredGitWebhooks
from mlops_assets.principals import Principal
from mlops_assets.processing.declared_datasets import DeclaredDatasets
from mlops_assets.store import Store


@dataclass(frozen=True)
class Hub:
    """The project that a hub serves.

    Attributes:
        store: workspace and registry, on behalf of no one, who may do nothing.
        models: models that the project declares, by name.
        module: definitions of the project.
        dagster_home: of the Dagster instance that runs are launched in and reported to.
        launcher: launches and stops runs.
        definitions: of the project.
        local: the only user, of a hub that needs no sign-in; None if there are others.
        sessions: of people who have signed in; None on a hub without sign-in.
        git_webhooks: that git servers may call; None if there are none.
    """

    store: Store
    models: DeclaredModels
    module: str
    dagster_home: Path
    launcher: Launcher
    definitions: dg.Definitions
    local: Principal | None = None
    sessions: BrowserSessions | None = None
    git_webhooks: DeclaredGitWebhooks | None = None

    @cached_property
    def home(self) -> HomeView:
        """The view of the home page."""
        return HomeView(self.models.models)

    @cached_property
    def datasets(self) -> DeclaredDatasets:
        """The datasets that the project declares."""
        return declared_datasets(self.definitions)
