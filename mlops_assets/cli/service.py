"""`mlops service`: what serves which model version, since when, by whom and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from mlops_assets.cli.terminal import completion
from mlops_assets.cli.terminal.output import (
    Json,
    Module,
    advise,
    console,
    open_store,
    show,
    show_one,
)
from mlops_assets.settings import Settings

if TYPE_CHECKING:
    from mlops_assets.orchestration.project import Project
    from mlops_assets.orchestration.results import RunResult
    from mlops_assets.registry import Deployment

app = typer.Typer(
    help="Services: deploy model versions, and see what is deployed.", no_args_is_help=True
)
Name = Annotated[
    str, typer.Argument(help="Name of the service.", autocompletion=completion.services)
]
Reason = Annotated[str | None, typer.Option("--reason", help="Why, for the history.")]


@app.command("list")
def list_services(module: Module = None, as_json: Json = False) -> None:
    """List services, declared and recorded, with what they serve."""
    from mlops_assets.orchestration.project import open_project

    registry = open_store().registry
    newest: dict[str, Deployment] = {}
    for made in registry.deployments():
        newest.setdefault(made.service, made)
    with open_project(Settings.from_environment(), module) as project:
        declared = project.services()
    rows: list[dict[str, object]] = [
        {
            "service": name,
            "declared": True,
            "model": own.model,
            "engine": own.engine,
            "alias": own.alias,
            "alias_version": registry.aliases(own.model).get(own.alias),
            **_state(newest.get(name)),
        }
        for name, own in sorted(declared.items())
    ]
    rows += [
        {
            "service": name,
            "declared": False,
            "model": last.model,
            "engine": last.engine,
            "alias": None,
            "alias_version": None,
            **_state(last),
        }
        for name, last in sorted(newest.items())
        if name not in declared
    ]
    columns = ["service", "model", "engine", "serves", "alias_version", "action", "by", "when"]
    if not all(row["declared"] for row in rows):
        columns.insert(1, "declared")
    show(rows, as_json, columns, "no service is declared or recorded; declare a ModelService")


@app.command("show")
def show_service(name: Name, as_json: Json = False) -> None:
    """Show what a service serves, where its files are, and its history, newest first."""
    from mlops_assets.errors import NotFound

    made = open_store().registry.deployments(service=name)
    if not made:
        raise NotFound(f"{name} was never deployed; run 'mlops service deploy {name}'")
    history = [
        {
            "model": own.model,
            "version": own.version,
            "engine": own.engine,
            "action": _action(own),
            "by": own.deployed_by,
            "when": own.deployed,
            "reason": own.reason,
        }
        for own in made
    ]
    last = made[0]
    row = {
        "service": name,
        "model": last.model,
        "engine": last.engine,
        **_state(last),
        "sha256": last.sha256,
        "reason": last.reason,
    }
    if as_json:
        show_one(row | {"details": last.details, "history": history}, as_json)
        return
    show_one(row, as_json)
    for title, lines in (
        ("details", [f"{key}: {value}" for key, value in last.details.items()]),
        ("history", list(map(_line, made))),
    ):
        console.print(f"{title}:")
        for line in lines:
            console.print(f"  {line}")


@app.command()
def deploy(
    name: Name,
    version: Annotated[
        str | None,
        typer.Option(
            metavar="VERSION|ALIAS",
            help="A version that was promoted before, or an alias; else what the service's alias"
            " names.",
        ),
    ] = None,
    reason: Reason = None,
    module: Module = None,
    as_json: Json = False,
) -> None:
    """Deploy a promoted model version for the engine of a service.

    Needs the role approver. Files are written and recorded; nothing is applied to a cluster.
    """
    from mlops_assets.orchestration.project import open_project

    settings = Settings.from_environment()
    with open_project(settings, module) as project:
        config = {"version": version, "reason": reason, "user": settings.user}
        result = _launch(project, name, config)
        _report(result, as_json)


@app.command()
def undeploy(
    name: Name, reason: Reason = None, module: Module = None, as_json: Json = False
) -> None:
    """Record that a service serves nothing any more, until its alias moves or it is deployed.

    Needs the role approver. What an engine runs is stopped by you; the commands are printed.
    """
    from mlops_assets.orchestration.project import open_project

    settings = Settings.from_environment()
    with open_project(settings, module) as project:
        config = {"undeploy": True, "reason": reason, "user": settings.user}
        result = _launch(project, name, config)
        _report(result, as_json)


def _launch(project: Project, name: str, config: Mapping[str, object]) -> RunResult:
    """Run the job of a service, so that Dagster's history has it too."""
    from mlops_assets.components.services.model_service import DEPLOYMENT_JOB
    from mlops_assets.orchestration.submission import Submission

    specification = project.service(name)
    ops = {f"{specification.model}__deployment": {"config": config}}
    return project.run_here(Submission(DEPLOYMENT_JOB.format(service=name), ops=ops))


def _report(result: RunResult, as_json: bool) -> None:

    (made,) = result.materializations
    found = {name: value.value for name, value in made.metadata.items()}
    checks = result.checks
    for check in checks:
        if not check.passed:
            advise(f"warning: {check.name}: {check.description}")
    if as_json:
        listed = [
            {"check": own.name, "passed": own.passed, "description": own.description}
            for own in checks
        ]
        show_one(found | {"run_id": result.run_id, "checks": listed}, as_json)
        return
    model = made.asset_key.path[0]
    console.print(
        f"{found['service']}: {found['action']} {model}@{found['model_version']},"
        f" engine {found['engine']}, sha256 {str(found['sha256'])[:12]}"
    )
    for check in checks:
        if check.passed:
            console.print(f"{check.name}: {check.description}")
    for line in str(found["next_steps"]).splitlines():
        console.print(f"next: {line.removeprefix('* ').strip('`')}")


def _state(last: Deployment | None) -> dict[str, object]:
    """Return what a service serves by its last change."""
    if last is None:
        return {"serves": None, "action": "never deployed", "by": None, "when": None}
    return {
        "serves": None if last.action == "undeployed" else last.version,
        "action": _action(last),
        "by": last.deployed_by,
        "when": last.deployed,
    }


def _action(made: Deployment) -> str:
    return "rollback" if made.details.get("rollback") else made.action


def _line(made: Deployment) -> str:
    reason = f": {made.reason}" if made.reason else ""
    return (
        f"{made.deployed:%Y-%m-%d %H:%M:%S} UTC {_action(made)} {made.model}@{made.version},"
        f" {made.engine}, by {made.deployed_by}{reason}"
    )
