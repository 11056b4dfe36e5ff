"""`mlops sweep`: a model trained many times with other parameters."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlops_assets.cli.output import Json, Module, console, errors, open_store, show, show_one
from mlops_assets.errors import MlopsError
from mlops_assets.names import Reference
from mlops_assets.settings import Settings

if TYPE_CHECKING:
    from rich.table import Table

    from mlops_assets.training.store import Store
    from mlops_assets.training.sweeps.plan import Plan

SHOWN_TRIALS = 15  # while it runs: the newest


def sweep(
    reference: Annotated[str, typer.Argument(help="model, or model@data-version or tag; the newest if not given.")],
    space: Annotated[Path, typer.Option(help="YAML file that says which parameters to try.")],
    trials: Annotated[int | None, typer.Option(help="Trials in all, those of earlier starts among them.")] = None,
    method: Annotated[str | None, typer.Option(help="tpe, random or grid.")] = None,
    metric: Annotated[str | None, typer.Option(help="What is optimised, of the validation split.")] = None,
    direction: Annotated[str | None, typer.Option(help="minimize or maximize.")] = None,
    parallel: Annotated[int | None, typer.Option(help="Trials that run at the same time.")] = None,
    prune: Annotated[str | None, typer.Option(help="Stop bad trials early: median, hyperband or none.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the search.")] = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds after which no trial is begun any more.")] = None,
    name: Annotated[
        str | None, typer.Option(help="Of the sweep; if not given, the same command goes on with the same sweep.")
    ] = None,
    module: Module = None,
    as_json: Json = False,
) -> None:
    """Train a model with many parameters; the best on the validation split becomes candidate.

    What is in the file holds unless an option says otherwise. The same command again goes on where it was stopped.
    """
    from mlops_assets.components.launching import open_project
    from mlops_assets.training.sweeps.plan import plan_sweep
    from mlops_assets.training.sweeps.settings import read_settings

    settings = read_settings(
        space, trials=trials, method=method, metric=metric, direction=direction, parallel=parallel, prune=prune,
        seed=seed, timeout=timeout,
    )  # fmt: skip
    wanted, store = Reference.parse(reference), open_store()
    with open_project(Settings.from_environment(), module) as project:
        specification = project.model(wanted.name)
        data = store.registry.data_version(Reference(specification.dataset, wanted.what))
        plan = plan_sweep(specification, data.version, settings, name, str(space))
        project.sync(specification.dataset)
        config = settings.model_dump(mode="json", exclude_unset=True) | {"name": plan.name}
        with _shown_live(store, plan):
            project.launch(
                f"{wanted.name}_sweep", partition=data.version, ops={f"{wanted.name}__sweep": {"config": config}}
            )
    _tell(store, plan, as_json)


@contextmanager
def _shown_live(store: Store, plan: Plan) -> Iterator[None]:
    """Show on a terminal how the trials stand, as the registry has it."""
    from rich.live import Live
    from rich.table import Table

    shown: list[Table] = [Table(box=None)]

    def look() -> Table:
        try:
            shown[0] = _table(store, plan)
        except MlopsError:  # the registry is away: what was seen last is better than nothing
            return shown[0]
        return shown[0]

    if not errors.is_terminal:
        yield
        return
    with Live(get_renderable=look, console=errors, refresh_per_second=1, transient=True):
        yield


def _table(store: Store, plan: Plan) -> Table:
    from rich.table import Table

    from mlops_assets.training.sweeps.trials import trials_of

    trials, metric = trials_of(store.registry, plan.model, plan.name), plan.settings.metric
    done = sum(trial.state != "running" for trial in trials)
    searched = list(plan.space.axes)
    table = Table("trial", "state", "metrics", *searched, box=None, padding=(0, 2, 0, 0))
    table.title = f"sweep {plan.name}: {done} of {plan.trials} trials are done"
    for trial in trials[-SHOWN_TRIALS:]:
        names = [metric] if metric else [name for name in trial.metrics if name.startswith("val")]
        values = ", ".join(f"{name} {trial.metrics[name]:.4g}" for name in names if name in trial.metrics)
        table.add_row(str(trial.number), trial.state, values, *(str(trial.parameters.get(name)) for name in searched))
    return table


def _tell(store: Store, plan: Plan, as_json: bool) -> None:
    from mlops_assets.training.sweeps.results import result_of

    found = result_of(store, plan)
    document = found.document()
    if as_json:
        show_one(document, as_json=True)
        return
    rows: list[dict[str, Any]] = [{**row, "run_id": row["run_id"][:8]} for row in document["trials"]]
    columns = ["trial", "state", "value", *(f"parameters.{name}" for name in plan.space.axes), "seconds", "run_id"]
    show(rows, False, columns, "no trial")
    lines = [
        f"best: trial {found.best.number}, {found.objective.metric} {document['best']['value']:.6g} "
        f"({found.objective.direction}, on the validation split); only its model was exported and measured"
    ]
    if found.importances:
        parts = ", ".join(f"{name} {share:.0%}" for name, share in found.importances.items())
        lines.append(f"what the differences come from: {parts}")
    version = f"{found.row.model}@{found.row.version}"
    measured = ", ".join(f"{name} {value:.4f}" for name, value in found.row.metrics.items())
    lines.append(f"{version} on the test split: {measured}")
    lines.append(
        f"{found.row.model}@candidate is {version}" if found.candidate else f"candidate stays as it is: {found.gates}"
    )
    console.print("\n".join(lines), soft_wrap=True)
