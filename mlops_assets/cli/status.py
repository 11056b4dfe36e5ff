"""`mlops status`: running work, recent failures, and pending decisions."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from mlops_assets.cli.declarations import declared
from mlops_assets.cli.terminal.output import Json, console, open_store, show_one
from mlops_assets.errors import IntegrityError, StorageError
from mlops_assets.settings import DEFAULT_MODULE, Settings, project_module

if TYPE_CHECKING:
    from mlops_assets.registry import DataVersion, Registry
    from mlops_assets.runs.activity import DeclaredModel, Failed, Running, Sweep, Waiting
    from mlops_assets.store import Store

MAX_SCANNED = 20_000  # files of a landing


def status(as_json: Json = False) -> None:
    """Show running work, failures of the last 24 hours, and pending decisions.

    Only the registry, landing folders of this machine and the project's YAML files are read;
    nothing is changed.
    """
    from mlops_assets.runs import activity

    settings = Settings.from_environment()
    store = None if _is_new(settings) else open_store()
    registry = store.registry if store else None
    running = activity.running(registry) if registry else []
    sweeps = activity.sweeps_of(registry, running) if registry else []
    failed = activity.failed(registry) if registry else []
    waiting = list(_landings(settings, registry))
    if store:
        waiting += _unprocessed(store)
        begun = [*(each.run for each in running), *(each.run for each in failed)]
        waiting += activity.waiting(store, _models(), begun)
        waiting += activity.open_alarms(store.registry)
    if as_json:
        document = {
            "workspace": settings.workspace,
            "running": [_run(each) for each in running],
            "sweeps": [asdict(sweep) for sweep in sweeps],
            "failed": [_failure(each) for each in failed],
            "waiting": [asdict(each) for each in waiting],
        }
        show_one(document, as_json=True)
        return
    console.print(f"workspace {settings.workspace}: {_contents(registry) if registry else 'empty'}")
    _print_running(running, sweeps)
    _print_failed(failed)
    _print_waiting(waiting)
    if registry is None and project_module() == DEFAULT_MODULE:
        console.print(
            "this folder has no project; 'mlops init DIR' creates one, 'mlops demo' runs the"
            " example"
        )
    elif not running and not failed and not waiting:
        console.print("nothing is running or pending, and nothing failed in the last 24 hours")


def _is_new(settings: Settings) -> bool:
    """Return whether the registry is a file that does not exist and must not be created here."""
    if not settings.registry.startswith("sqlite:///"):
        return False
    return not Path(
        unquote(settings.registry.removeprefix("sqlite:///").partition("?")[0])
    ).exists()


def _contents(registry: Registry) -> str:
    data = registry.data_versions()
    models = registry.model_versions()
    names = {row.model for row in models}
    in_production = sum("production" in registry.aliases(name) for name in names)
    return (
        f"{len({row.dataset for row in data})} dataset(s) with {len(data)} version(s), {len(names)}"
        f" model(s) with {len(models)} version(s), {in_production} in production"
    )


def _models() -> dict[str, DeclaredModel]:
    """Return the models that YAML files declare; gates are None where they are invalid."""
    from pydantic import TypeAdapter, ValidationError

    from mlops_assets.models.specification import Approval, Gate
    from mlops_assets.runs.activity import DeclaredModel

    found = {}
    for declaration in declared("TrainedModel"):
        attributes = declaration.attributes
        approval = Approval()
        try:
            approval = Approval.model_validate(attributes.get("approval") or {})
            gates = TypeAdapter(list[Gate]).validate_python(attributes.get("gates") or [])
        except ValidationError:
            gates = None
        found[declaration.name] = DeclaredModel(str(attributes.get("dataset")), gates, approval)
    return found


def _landings(settings: Settings, registry: Registry | None) -> Iterator[Waiting]:
    """Yield datasets without a version, and landing folders that have changed since theirs."""
    from mlops_assets.runs.activity import Waiting

    if registry is None and project_module() == DEFAULT_MODULE:
        return  # the shipped example, which was not requested
    for declaration in declared("TrainingDataset"):
        name = declaration.name
        source = declaration.attributes.get("source")
        url = str(source.get("url")) if isinstance(source, dict) else ""
        versions = registry.data_versions(name) if registry else []
        folder = _folder(settings, url)
        changed = folder is not None and _has_changed(
            folder, registry, versions[-1] if versions else None
        )
        if versions and changed:
            detail = f"{folder} has changed since {name}@{versions[-1].version} was committed"
        elif versions:
            continue
        elif changed or folder is None:
            detail = f"{name} has no data version; its landing is {folder or url}"
        else:
            detail = (
                f"{name} has no data version, and {folder} is empty; put training data into it"
                " first"
            )
        yield Waiting("data", name, detail, f"mlops dataset commit {name}")


def _unprocessed(store: Store) -> Iterator[Waiting]:
    """Yield datasets that are not made of the newest version of their first input yet."""
    from mlops_assets.datasets.recall.ancestry import processed
    from mlops_assets.runs.activity import Waiting

    for declaration in declared("ProcessedDataset"):
        name, inputs = declaration.name, declaration.attributes.get("inputs")
        first = str(inputs[0]) if isinstance(inputs, list) and inputs else ""
        versions = store.registry.data_versions(first)
        # damaged documents are the business of 'mlops verify'
        with suppress(IntegrityError, StorageError):
            newest_input = {(first, row.version) for row in versions[-1:]}
            if newest_input - processed(store.workspace, store.registry, name, newest_input):
                newest = f"{first}@{versions[-1].version}"
                detail = f"{name} has not been made of {newest}"
                yield Waiting("data", name, detail, f"mlops dataset commit {name}")


def _folder(settings: Settings, url: str) -> Path | None:
    """Return the folder of a landing; None if it is not on this machine."""
    if "://" not in url and settings.workspace.startswith("file://"):
        return Path(unquote(settings.workspace.removeprefix("file://"))) / url
    return Path(unquote(url.removeprefix("file://"))) if url.startswith("file://") else None


def _has_changed(folder: Path, registry: Registry | None, newest: DataVersion | None) -> bool:
    """Return whether a quick scan finds files added or changed since the newest version."""
    since = newest.created.timestamp() if newest else 0.0
    recent: list[tuple[str, int, str]] = []
    scanned = 0
    for where, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            scanned += 1
            if name.startswith(".") or scanned > MAX_SCANNED:
                continue
            path = Path(where, name)
            try:
                found = path.stat()
            except OSError:
                continue
            if found.st_ctime > since:
                stamp = f"{found.st_mtime_ns}-{found.st_ctime_ns}"
                recent.append((path.relative_to(folder).as_posix(), found.st_size, stamp))
    if not recent or registry is None or newest is None:
        return bool(recent)
    # files that a commit without changes has read
    known = {
        (path, size, stamp) for path, size, stamp, _ in registry.landed(folder.resolve().as_uri())
    }
    return any(file not in known for file in recent)


def _run(each: Running) -> dict[str, object]:
    run = each.run
    names = ("run_id", "model", "dataset", "data_version", "started", "host", "pid", "source")
    return {name: getattr(run, name) for name in names} | {
        "step": each.step,
        "metrics": each.metrics,
        "alive": each.alive,
    }


def _failure(each: Failed) -> dict[str, object]:
    names = ("run_id", "model", "dataset", "data_version", "status", "finished")
    return {name: getattr(each.run, name) for name in names} | {
        "error": each.error,
        "command": each.command,
    }


def _print_running(running: list[Running], sweeps: list[Sweep]) -> None:
    if running:
        console.print("\nrunning", style="bold")
    for sweep in sweeps:
        counts = ", ".join(f"{count} {state}" for state, count in sorted(sweep.trials.items()))
        console.print(f"  sweep {sweep.name} of {sweep.model}: {counts} trial(s)")
    for each in running:
        run = each.run
        parts = [f"since {_when(run.started)}"]
        if each.step is not None:
            parts += [f"step {each.step}", *([each.note] if each.note else [])]
        if each.alive is None:
            parts.append(f"on {run.host}")
        console.print(
            f"  {run.model} on {run.dataset}@{run.data_version}, run {run.run_id[:8]}:"
            f" {', '.join(parts)}"
        )
        if each.alive is False:
            console.print(
                f"    its process {run.pid} is gone; mark it as failed with: mlops doctor"
            )


def _print_failed(failed: list[Failed]) -> None:
    if failed:
        console.print("\nfailed", style="bold")
    for each in failed:
        run = each.run
        ended = f"{run.status} {_when(run.finished)}" if run.finished else run.status
        console.print(
            f"  {run.model} on {run.dataset}@{run.data_version}, run {run.run_id[:8]}, {ended}:"
            f" {each.error}"
        )
        console.print(f"    → {each.command}")


def _print_waiting(waiting: list[Waiting]) -> None:
    if waiting:
        console.print("\nwaiting", style="bold")
    for each in waiting:
        console.print(f"  {each.detail}")
        console.print(f"    → {each.command}")


def _when(moment: datetime) -> str:
    """Return a moment in the local time; the day only if it is not today."""
    local = moment.astimezone()
    today = datetime.now(UTC).astimezone().date()
    return f"{local:%H:%M}" if local.date() == today else f"{local:%Y-%m-%d %H:%M}"
