"""Kinds of assets: framework and storage, by the names that Dagster's UI has icons for."""

from __future__ import annotations

from urllib.parse import urlsplit

from mlops_assets.datasets.specification.source import Source
from mlops_assets.errors import SettingsError
from mlops_assets.settings import Settings
from mlops_assets.training.trainers import Trainer

# others are called as Dagster calls them, or have no icon
_FRAMEWORKS = {"scikit-learn": "scikitlearn", "keras": "tensorflow"}
_STORAGES = {
    "az": "azure",
    "gs": "gcs",
    "http": "https",
    "stac+http": "https",
    "stac+https": "https",
}


def framework_kind(trainer: Trainer) -> str:
    """Return the kind of the models of a trainer; `python` if it does not name its framework."""
    framework = trainer.framework or "python"
    return _FRAMEWORKS.get(framework, framework)


def landing_kinds(source: Source) -> set[str]:
    """Return the kinds of a landing: its storage, and `stac` where a catalogue describes it."""
    scheme, given, _ = source.url.partition("://")
    if given:
        storage = {_STORAGES.get(scheme, scheme)}
    else:
        storage = {"file"} if source.url.startswith("/") else workspace_kinds()
    return storage | ({"stac"} if source.layout == "stac" else set())


def layout_kind(source: Source) -> str:
    """Return the kind of training data: `table`, or `raster` for scenes and images."""
    return "table" if source.layout == "table" else "raster"


def workspace_kinds() -> set[str]:
    """Return the kind of the workspace's storage; empty if the settings cannot be used.

    A run that needs them reports why.
    """
    try:
        scheme = urlsplit(Settings.from_environment().workspace).scheme
    except SettingsError:
        return set()
    return {_STORAGES.get(scheme, scheme)}


def registry_kinds() -> set[str]:
    """Return the kind of the registry's database; empty if the settings cannot be used."""
    try:
        scheme = urlsplit(Settings.from_environment().registry).scheme
    except SettingsError:
        return set()
    return {scheme.partition("+")[0]}
