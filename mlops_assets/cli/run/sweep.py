"""`mlops sweep`: a search for the best parameters of a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlops_assets.choices import Direction, Method, PrunerName
from mlops_assets.cli.terminal import completion
from mlops_assets.cli.terminal.interruption import again, interruptible
from mlops_assets.cli.terminal.launching import Detach, open_project, print_submitted
from mlops_assets.cli.terminal.output import Json, Module, console, open_store, show, show_one
from mlops_assets.names import Reference

if TYPE_CHECKING:
    from mlops_assets.store import Store
    from mlops_assets.training.sweeps.plan import Plan


def sweep(
    reference: Annotated[
        str,
        typer.Argument(
            help="model, or model@data-version or tag; the newest if not given.",
            autocompletion=completion.models_on_data,
        ),
    ],
    space: Annotated[Path, typer.Option(help="YAML file with the search space.")],
    trials: Annotated[
        int | None, typer.Option(help="Number of trials, including those of earlier starts.")
    ] = None,
    method: Annotated[Method | None, typer.Option(help="Search method.")] = None,
    metric: Annotated[
        str | None, typer.Option(help="Metric on the validation split to optimise.")
    ] = None,
    direction: Annotated[Direction | None, typer.Option(help="Direction of optimisation.")] = None,
    parallel: Annotated[
        int | None, typer.Option(help="Number of trials that run in parallel.")
    ] = None,
    prune: Annotated[
        PrunerName | None, typer.Option(help="Pruner that stops bad trials early.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the search.")] = None,
    timeout: Annotated[
        float | None, typer.Option(help="Seconds after which no new trial starts.")
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            help="Name of the sweep; if not given, the same command continues the same sweep."
        ),
    ] = None,
    detach: Detach = False,
    module: Module = None,
    as_json: Json = False,
) -> None:
    """Search for parameters; the best model on the validation split becomes candidate.

    Options override the file. The same command continues an interrupted sweep.
    """
    from mlops_assets.orchestration.submission import Submission
    from mlops_assets.training.sweeps.plan import plan_sweep
    from mlops_assets.training.sweeps.settings import read_settings

    settings = read_settings(
        space,
        trials=trials,
        method=method,
        metric=metric,
        direction=direction,
        parallel=parallel,
        prune=prune,
        seed=seed,
        timeout=timeout,
    )
    wanted = Reference.parse(reference)
    store = open_store()
    with open_project(module) as project:
        specification = project.model(wanted.name)
        data = store.registry.data_version(Reference(specification.dataset, wanted.what))
        plan = plan_sweep(specification, data.version, settings, name, str(space))
        project.sync(specification.dataset)
        config = settings.model_dump(mode="json", exclude_unset=True) | {"name": plan.name}
        kept = (
            f"the trials of sweep {plan.name} that have ended are kept; to continue, run the same"
            " command again:"
        )
        ops = {f"{wanted.name}__sweep": {"config": config}}
        submission = Submission(f"{wanted.name}_sweep", data.version, ops)
        if detach:
            print_submitted(project.submit(submission), as_json)
            return
        with interruptible(lambda: f"{kept} {again()}"):
            project.launch(submission)
    _print(store, plan, as_json)


def _print(store: Store, plan: Plan, as_json: bool) -> None:
    from mlops_assets.training.sweeps.results import result_of

    found = result_of(store, plan)
    if as_json:
        show_one(found.document(), as_json=True)
        return
    trials = found.trial_documents()
    rows: list[dict[str, object]] = [{**row, "run_id": str(row["run_id"])[:8]} for row in trials]
    columns = [
        "trial",
        "state",
        "value",
        *(f"parameters.{name}" for name in plan.space.axes),
        "seconds",
        "run_id",
    ]
    show(rows, False, columns, "no trials")
    lines = [
        f"best: trial {found.best.number}, {found.objective.metric}"
        f" {found.objective.value(found.best):.6g} ({found.objective.direction}, on the validation"
        " split); only its model was exported and evaluated"
    ]
    if found.importances:
        shares = {
            name: "unknown, as it did not vary" if share is None else f"{share:.0%}"
            for name, share in found.importances.items()
        }
        parts = ", ".join(f"{name} {share}" for name, share in shares.items())
        lines.append(f"importance of parameters: {parts}")
    version = f"{found.row.model}@{found.row.version}"
    measured = ", ".join(f"{name} {value:.4f}" for name, value in found.row.metrics.items())
    lines.append(f"{version} on the test split: {measured}")
    lines.append(
        f"{found.row.model}@candidate is {version}"
        if found.candidate
        else f"candidate is unchanged: {found.gates}"
    )
    console.print("\n".join(lines))
