"""`mlops doctor`: checks of the installation and the workspace, with remedies."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

import typer

from mlops_assets.cli.terminal.output import Json, Module, errors, open_store, show
from mlops_assets.paths import LOG_SEGMENT, PARTS, PUBLISHED, RUNS
from mlops_assets.settings import Settings
from mlops_assets.text.secret_urls import redacted

if TYPE_CHECKING:
    from mlops_assets.store import Store

MIN_FREE_BYTES = 1 << 30


def doctor(module: Module = None, as_json: Json = False) -> None:
    """Check settings, workspace, registry, Dagster home and project.

    Runs whose process is gone are closed.
    """
    import importlib.metadata

    import dagster as dg

    from mlops_assets.components.project.definitions import left_out
    from mlops_assets.components.project.home import prepare_home
    from mlops_assets.components.project.lost_runs import close_lost_trainings
    from mlops_assets.orchestration.project import open_project

    settings = Settings.from_environment()
    store = open_store()
    counts = {
        "data versions": len(store.registry.data_versions()),
        "runs": len(store.registry.runs()),
        "model versions": len(store.registry.model_versions()),
    }
    packages = ("mlops-assets", "dagster", "torch", "onnxruntime")
    rows = [
        _row("python", True, sys.version.split()[0]),
        *(_row(name, True, importlib.metadata.version(name)) for name in packages),
        _row("workspace", True, settings.workspace),
        _row(
            "registry",
            True,
            f"{redacted(store.registry.url)}:"
            f" {', '.join(f'{n} {what}' for what, n in counts.items())}",
        ),
    ]
    rows.append(
        _row("cache", True, f"{settings.cache}: copies and decoded samples; delete it at any time")
    )
    settings.cache.mkdir(parents=True, exist_ok=True)  # in the workspace, if that is a folder
    free = shutil.disk_usage(settings.cache).free
    rows.append(
        _row(
            "disk",
            free > MIN_FREE_BYTES,
            f"{free / 2**30:.1f} GiB free; commits and runs need 1 GiB",
        )
    )
    rows += _signing()
    with dg.DagsterInstance.from_config(str(prepare_home(settings.dagster_home))) as instance:
        gone = close_lost_trainings(store, instance)
    lost = f"{len(gone)} run(s) had lost their process and are now marked as failed"
    rows.append(_row("runs", not gone, lost if gone else "no run has lost its process"))
    unknown = _orphans(store)
    left = (
        f"{len(unknown)} file(s) were never published, e.g. {(unknown or [''])[0]}; remove them if"
        " nothing is running"
    )
    rows.append(
        _row("files", not unknown, left if unknown else "every file in the workspace is published")
    )
    unfinished = sorted({key.split("/")[1] for key in store.workspace.list(PARTS)})
    parts = (
        f"{len(unfinished)} map(s) are not finished, e.g. {PARTS}/{(unfinished or [''])[0]}; run"
        " the same command again, or remove their parts if nothing is running"
    )
    rows.append(_row("maps", True, parts if unfinished else "no map is unfinished"))
    with open_project(settings, module) as project:
        assets = len(project.definitions.resolve_asset_graph().get_all_asset_keys())
        rows.append(_row("dagster home", True, str(settings.dagster_home)))
        wrong = left_out(project.definitions)
        detail = f"; invalid and left out: {', '.join(wrong)}" if wrong else ""
        rows.append(_row("project", not wrong, f"{assets} assets load{detail}"))
    show(rows, as_json, ["what", "well", "detail"], "")
    if not all(row["well"] for row in rows):
        errors.print("see the rows whose 'well' is False", style="yellow")
        raise typer.Exit(1)


def _row(what: str, well: bool, detail: str) -> dict[str, object]:
    return {"what": what, "well": well, "detail": detail}


def _signing() -> list[dict[str, object]]:
    """Return whether the key that signs models, and the keys that are trusted, can be used."""
    from mlops_assets.errors import SettingsError, SignatureRefused
    from mlops_assets.models.signing.bundle import Bundle, sign
    from mlops_assets.models.signing.keys import SigningKey
    from mlops_assets.models.signing.trust import Trust

    rows = []
    try:
        key, trust = SigningKey.configured(), Trust.configured()
        if trust is not None:
            demanded = "required" if trust.required else "not required"
            rows.append(_row("trust", True, f"{trust.path}: signatures of models are {demanded}"))
        if key is not None:
            named = f"sha256 {key.fingerprint[:12]}…"
            if trust is not None:
                named += f", trusted as {trust.signer_of(Bundle.read(sign({}, key)))}"
            rows.append(_row("signing key", True, named))
    except SignatureRefused as error:
        rows.append(_row("signing key", False, f"a signature with it {error}"))
    except SettingsError as error:
        rows.append(_row("signing", False, str(error)))
    return rows


def _orphans(store: Store) -> list[str]:
    published = {file.path for file in store.registry.files()}
    unknown = {
        key
        for folder in PUBLISHED
        for key in store.workspace.list(folder)
        if key not in published and not LOG_SEGMENT.fullmatch(key)
    }
    # checkpoints are recorded with their run, and replaced while it trains
    for run_id in {key.split("/")[1] for key in unknown if key.startswith(f"{RUNS}/")}:
        unknown -= {row.path for row in store.registry.checkpoints(run_id)}
    return sorted(unknown)
