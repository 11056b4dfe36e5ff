"""`mlops ci`: workspaces of branches, and the report of a merge request."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlops_assets.cli.ci.prepare import prepare
from mlops_assets.cli.terminal.output import Json, console, open_store, show
from mlops_assets.errors import MlopsError, NameRefused, SettingsError, StorageError
from mlops_assets.names import Reference
from mlops_assets.settings import (
    Settings,
    branch_settings,
    environment_in,
    plan_file,
)

if TYPE_CHECKING:
    from mlops_assets.integrations.ci.branches import BranchWorkspace

app = typer.Typer(help="Pipelines of git platforms; see docs/ci.md.", no_args_is_help=True)
app.command("prepare")(prepare)
Branch = Annotated[str, typer.Argument(help="Name of the branch, as git has it.")]
NOT_FOUND = 127  # as a shell ends whose command is not there


@app.command("exec", context_settings={"ignore_unknown_options": True})
def execute(
    branch: Branch,
    command: Annotated[list[str], typer.Argument(help="Command and its arguments, after '--'.")],
) -> None:
    """Run a command in the workspace of a branch, which is made if it is not there.

    It is a fresh one below MLOPS_CI_ROOT, beside that of production. The exit code is that of the
    command.
    """
    from mlops_assets.integrations.ci.workspaces import claim

    settings = Settings.from_environment()
    found = _workspace(branch, settings)
    claim(found, settings.workspace, settings.cache)
    environment = environment_in(settings, found.workspace, found.registry)
    sys.stdout.flush()
    try:
        os.execvpe(command[0], command, environment)  # nosec B606
    except OSError as error:
        typer.echo(f"{command[0]!r} cannot be run: {error.strerror}", err=True)
        raise typer.Exit(NOT_FOUND) from error


@app.command("models")
def list_models(as_json: Json = False) -> None:
    """List the models of ci.yaml, one a line, and the data to train on in the branch's workspace.

    Columns are separated by a tab: the model, what to train, and the pinned data and the alias of
    ci.yaml. Outside the workspace of a branch what to train is the model on its newest data.
    """
    from mlops_assets.integrations.ci.plan import read_plan
    from mlops_assets.integrations.ci.workspaces import read_marker

    marker = read_marker(open_store().workspace)
    prepared = {model.model: model for model in marker.models} if marker else {}
    rows = []
    for planned in read_plan(plan_file()).models:
        found = prepared.get(planned.name)
        version = found.data.partition("@")[2] if found else None
        rows.append(
            {
                "model": planned.name,
                "train": f"{planned.name}@{version}" if version else planned.name,
                "pinned": planned.data,
                "compare_with": planned.compare_with,
            }
        )
    if as_json:
        show(rows, as_json, [], "")
        return
    for row in rows:
        typer.echo("\t".join(str(row[name]) for name in row))


@app.command("report")
def print_report(
    results: Annotated[
        Path, typer.Argument(help="Folder of the pipeline's results.", file_okay=False)
    ],
    branch: Annotated[str, typer.Option(help="Name of the branch.")],
    commit: Annotated[str, typer.Option(help="Commit that was tested.")] = "",
    url: Annotated[str, typer.Option(help="URL of the pipeline's log.")] = "",
    limit: Annotated[
        int, typer.Option(help="Characters at most, as platforms limit comments.", min=2_000)
    ] = 60_000,
    output: Annotated[
        Path | None,
        typer.Option(help="Write it there instead, whole.", metavar="FILE", dir_okay=False),
    ] = None,
) -> None:
    """Print the report of a merge request in Markdown, and judge it.

    Exits with 1 if a stage has failed, or a model does not pass its gates. With --output the whole
    report is in the file, and what fits into a comment is printed.
    """
    from mlops_assets.integrations.ci.judge import Judgement, failure_of, judge, read_stages
    from mlops_assets.integrations.ci.plan import read_plan
    from mlops_assets.integrations.ci.report import Pipeline, report
    from mlops_assets.integrations.ci.workspaces import read_marker

    if not results.is_dir():
        raise SettingsError(f"{results} is not a folder; name that of the pipeline's results")
    try:
        store = open_store()
        judged = judge(store, read_plan(plan_file()), read_marker(store.workspace), results)
    except MlopsError as error:  # a merge request without a report has no reason
        judged = Judgement((*read_stages(results), failure_of(error)), (), False)
    pipeline = Pipeline(branch, commit, url)
    if output is not None:
        try:
            output.write_text(report(pipeline, judged, sys.maxsize), encoding="utf-8")
        except OSError as error:
            raise StorageError(f"{output} cannot be written: {error.strerror}") from error
    typer.echo(report(pipeline, judged, limit), nl=False)
    if not judged.passed:
        raise typer.Exit(1)


@app.command("clean")
def clean(
    branch: Annotated[
        list[str] | None, typer.Option(help="Remove the workspace of this branch; repeatable.")
    ] = None,
    open_branches: Annotated[
        Path | None,
        typer.Option(
            help="Remove those of all other branches: a file of one name a line, '-' for stdin.",
            allow_dash=True,
        ),
    ] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Remove them.")] = False,
    as_json: Json = False,
) -> None:
    """List workspaces of closed branches, and remove them with --apply.

    Only what has the marker of a branch is removed, below MLOPS_CI_ROOT.
    """
    from mlops_assets.integrations.ci.workspaces import (
        not_open,
        planned_removals,
        remove_workspace,
    )

    if (branch is None) == (open_branches is None):
        raise typer.BadParameter("give either --branch or --open-branches")
    settings = Settings.from_environment()
    if open_branches is not None:
        remove = not_open(_lines(open_branches))
    else:
        named = set(branch or [])
        remove = lambda own: "the branch is named" if own in named else None  # noqa: E731
    rows = []
    root = branch_settings().root
    _workspace("any", settings)  # refuses a root that production is in
    for each in planned_removals(root, remove, settings.cache):
        done: str = each.action
        if each.action == "remove" and apply and each.branch is not None:
            remove_workspace(_workspace(each.branch, settings), settings.cache)
            done = "removed"
        rows.append(
            {"workspace": each.name, "branch": each.branch, "action": done, "reason": each.reason}
        )
    show(rows, as_json, ["workspace", "branch", "action", "reason"], f"{root} has no workspace")
    if not apply and not as_json and any(row["action"] == "remove" for row in rows):
        console.print("nothing was removed; add --apply")


@app.command("tagged")
def tagged(
    tag: Annotated[str, typer.Argument(help="Git tag: model-NAME-VERSION.")],
) -> None:
    """Print the model version that a git tag names, as NAME@VERSION.

    `model-crop_forest-v3-1f0c9a2b` is `crop_forest@v3-1f0c9a2b`.
    """
    name, dash, version = tag.removeprefix("model-").partition("-")
    if not tag.startswith("model-") or not dash:
        raise NameRefused(f"the tag {tag!r} is not model-NAME-VERSION, as model-crops-v3-1f0c9a2b")
    wanted = Reference.parse(f"{name}@{version}")
    row = open_store().registry.model_version(wanted)
    typer.echo(f"{row.model}@{row.version}")


def _workspace(branch: str, settings: Settings) -> BranchWorkspace:
    from mlops_assets.integrations.ci.branches import branch_workspace

    found = branch_settings()
    return branch_workspace(branch, found.root, settings.workspace, found.registry)


def _lines(path: Path) -> set[str]:
    try:
        content = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error}") from error
    # names may have what Python takes for ends of lines, and bytes that are not UTF-8
    return {line for line in content.decode(errors="surrogateescape").split("\n") if line}
