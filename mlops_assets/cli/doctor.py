"""`mlops doctor`: checks of the installation and the workspace, with remedies."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from mlops_assets.cli.terminal.output import Json, Module, errors, show
from mlops_assets.errors import MlopsError
from mlops_assets.settings import Settings
from mlops_assets.text.secret_urls import redacted

if TYPE_CHECKING:
    from mlops_assets.upkeep.doctor import Finding


def doctor(module: Module = None, as_json: Json = False) -> None:
    """Check settings, workspace, registry, keys, disks, Dagster and project, and what to fix.

    Each check is made whatever the others find. Runs whose process is gone are closed.
    """
    from mlops_assets.upkeep.doctor import examine_configuration, examine_installation, examined

    found = [
        *examined("installation", examine_installation),
        *examined("configuration", examine_configuration),
    ]
    found += _examined_settings(module, {finding.detail for finding in found})
    show([asdict(finding) for finding in found], as_json, ["what", "well", "detail"], "")
    if not all(finding.well for finding in found):
        errors.print("see the rows whose 'well' is False", style="yellow")
        raise typer.Exit(1)


def _examined_settings(module: str | None, reported: Container[str]) -> list[Finding]:
    """Return the findings on what the settings name; `reported` has the details before them."""
    from mlops_assets.orchestration.examine import examine_instance, examine_project
    from mlops_assets.store import open_store
    from mlops_assets.upkeep.doctor import (
        Finding,
        examine_disks,
        examine_files,
        examine_keys,
        examine_registry,
        examine_workspace,
        examined,
    )

    try:
        settings = Settings.from_environment()
    except MlopsError as error:
        reason = "they cannot be read, see above" if str(error) in reported else str(error)
        return [
            Finding(
                "settings",
                False,
                f"{reason}; workspace, registry, disks, keys, Dagster and project were not checked",
            )
        ]
    found = [
        *examined("workspace", lambda: examine_workspace(settings)),
        *examined("registry", lambda: examine_registry(settings.registry)),
        *examined("disk", lambda: examine_disks(settings)),
        *examined("keys", lambda: examine_keys(settings)),
    ]
    store = None
    if all(finding.well for finding in found):
        try:
            store = open_store(settings)
        except MlopsError as error:
            found.append(Finding("workspace and registry", False, redacted(str(error))))
    found += examined("dagster home", lambda: examine_instance(settings, store))
    if store is not None:
        opened = store
        found += examined("files", lambda: examine_files(opened))
    return [*found, *examined("project", lambda: examine_project(settings, module))]
