"""`mlops runs`: the history of training runs, and what differs between them."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from mlops_assets.cli.output import Json, metric_columns, open_store, show, show_one
from mlops_assets.registry import Run

app = typer.Typer(help="Training runs.", no_args_is_help=True)


@app.command("list")
def list_runs(
    model: Annotated[str | None, typer.Argument(help="Model; all if not given.")] = None, as_json: Json = False
) -> None:
    """List runs, oldest first."""
    rows = [describe(run) for run in open_store().registry.runs(model)]
    columns = [
        "run_id",
        "model",
        "data_version",
        "status",
        "model_version",
        *metric_columns(rows),
        "started",
        "seconds",
    ]
    if not as_json:
        rows = [{**row, "run_id": row["run_id"][:8]} for row in rows]
    show(rows, as_json, columns, "no run yet; run 'mlops train MODEL'")


@app.command("show")
def show_run(run_id: Annotated[str, typer.Argument(help="Run id, or its beginning.")], as_json: Json = False) -> None:
    """Show one run with its parameters, metrics and error."""
    registry = open_store().registry
    run = registry.run(run_id)
    series = {name: len(points) for name, points in registry.series(run.run_id).items()}
    more = {"data_digest": run.data_digest, "trainer": run.trainer, "code_version": run.code_version,
            "seed": run.seed, "hardware": run.hardware, "logged_points": series}  # fmt: skip
    show_one(describe(run) | more, as_json)


@app.command()
def compare(
    run_ids: Annotated[list[str], typer.Argument(help="Two or more run ids, or their beginnings.")],
    as_json: Json = False,
) -> None:
    """Show side by side what differs between runs: data, code, parameters, metrics."""
    registry = open_store().registry
    if len(run_ids) < 2:
        raise typer.BadParameter("name at least two runs; see 'mlops runs list'")
    runs = [registry.run(run_id) for run_id in run_ids]
    facts = [_facts(run) for run in runs]
    names = sorted({name for fact in facts for name in fact}, key=lambda n: (n.startswith("metrics."), n))
    rows: list[dict[str, Any]] = []
    for name in names:
        values = [fact.get(name) for fact in facts]
        if name.startswith("metrics.") or any(value != values[0] for value in values):
            rows.append({"what": name, **{run.run_id[:8]: value for run, value in zip(runs, values, strict=True)}})
    show(rows, as_json, ["what", *(run.run_id[:8] for run in runs)], "the runs do not differ")


def describe(run: Run) -> dict[str, Any]:
    """Return a run as listings give it."""
    return {
        "run_id": run.run_id,
        "model": run.model,
        "data_version": run.data_version,
        "status": run.status,
        "parameters": run.parameters,
        "metrics": run.metrics,
        "model_version": run.model_version,
        "started": run.started,
        "seconds": (run.finished - run.started).total_seconds() if run.finished else None,
        "error": run.error,
    }


def _facts(run: Run) -> dict[str, Any]:
    return {
        "model": run.model,
        "data_version": f"{run.dataset}@{run.data_version}",
        "data_digest": run.data_digest[:12],
        "code_version": run.code_version,
        "trainer": run.trainer,
        "seed": run.seed,
        "status": run.status,
        **{f"parameters.{name}": value for name, value in run.parameters.items()},
        **{f"metrics.{name}": value for name, value in run.metrics.items()},
    }
