"""`mlops doctor`: whether this installation and workspace are well, and what to do where not."""

from __future__ import annotations

import importlib.metadata
import shutil
import sys

import typer

from mlops_assets.cli.output import Json, Module, console, open_store, show
from mlops_assets.settings import Settings
from mlops_assets.training.lifecycle import Store, close_abandoned_runs

LEAST_FREE_BYTES = 1 << 30


def doctor(module: Module = None, as_json: Json = False) -> None:
    """Look at settings, workspace, registry, Dagster home and project; mend runs whose process is gone."""
    from mlops_assets.components.launching import open_project

    settings = Settings.from_environment()
    store = open_store()
    rows = [
        _row("python", True, sys.version.split()[0]),
        *(_row(name, True, importlib.metadata.version(name)) for name in ("mlops-assets", "dagster", "torch", "onnxruntime")),
        _row("workspace", True, settings.workspace),
        _row("registry", True, f"{store.registry.url}: {len(store.registry.data_versions())} data versions, "
             f"{len(store.registry.runs())} runs, {len(store.registry.model_versions())} model versions"),
    ]  # fmt: skip
    free = shutil.disk_usage(store.workspace.root).free
    rows.append(
        _row("disk", free > LEAST_FREE_BYTES, f"{free / 2**30:.1f} GiB free; below 1 GiB freezes and runs may fail")
    )
    gone = close_abandoned_runs(store.registry)
    rows.append(_row("runs", not gone, f"{len(gone)} run(s) had lost their process and are now marked as failed" if gone else
                     "no run has lost its process"))  # fmt: skip
    unknown = _orphans(store)
    rows.append(_row("files", not unknown, f"{len(unknown)} file(s) were never published, e.g. {unknown[0]}; they may be "
                     "removed when nothing is running" if unknown else "every file in the workspace is published"))  # fmt: skip
    with open_project(settings, module) as project:
        assets = len(project.definitions.resolve_asset_graph().get_all_asset_keys())
        rows.append(_row("dagster home", True, str(settings.dagster_home)))
        rows.append(_row("project", True, f"{assets} assets load"))
    show(rows, as_json, ["what", "well", "detail"], "")
    if not all(row["well"] for row in rows):
        console.print("see the rows that are not well", style="yellow")
        raise typer.Exit(1)


def _row(what: str, well: bool, detail: str) -> dict[str, object]:
    return {"what": what, "well": well, "detail": detail}


def _orphans(store: Store) -> list[str]:
    published = {file.path for file in store.registry.files()}
    folders = ("datasets", "models", "runs", "catalog", "predictions")
    return sorted(key for folder in folders for key in store.workspace.list(folder) if key not in published)
