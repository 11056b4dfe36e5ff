"""`mlops model approve`, `reject` and `deprecate`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mlops_assets.cli.terminal import completion
from mlops_assets.cli.terminal.output import Module, advise, console, open_store
from mlops_assets.names import Reference
from mlops_assets.settings import Settings

if TYPE_CHECKING:
    from mlops_assets.models.specification import ModelSpecification
    from mlops_assets.orchestration.project import Project
    from mlops_assets.registry import ModelVersion
    from mlops_assets.store import Store

Ref = Annotated[
    str,
    typer.Argument(
        help="model@version or model@alias.", autocompletion=completion.model_references
    ),
]
Reason = Annotated[str, typer.Option("--reason", help="Why, for the log.")]


def approve(reference: Ref, reason: Reason, module: Module = None) -> None:
    """Approve a model version, so that protected aliases may move to it.

    Needs the role approver. It is the check `approved` of the version's record in Dagster. With
    `auto_promote`, the version is promoted.
    """
    from mlops_assets.models.approval import decisions
    from mlops_assets.orchestration.jobs import production
    from mlops_assets.orchestration.project import open_project

    settings = Settings.from_environment()
    store = open_store()
    row = _version(store, reference)
    with open_project(settings, module) as project:
        declared = project.model(row.model)
        made = decisions.approve(store, row, declared.approval, reason)
        console.print(f"{row.model}@{row.version} is approved by {made.decided_by}")
        _report(declared, row, project)
        if declared.auto_promote and declared.approval.protects("production"):
            config = {"version": row.version, "user": settings.user, "reason": reason}
            project.run_here(production(row.model, config))
            console.print(f"{row.model}@production is {row.model}@{row.version}")


def reject(reference: Ref, reason: Reason, module: Module = None) -> None:
    """Reject a model version, which withdraws its approval.

    Needs the role approver. No alias moves.
    """
    from mlops_assets.models.approval import decisions
    from mlops_assets.orchestration.project import open_project

    store = open_store()
    row = _version(store, reference)
    with open_project(Settings.from_environment(), module) as project:
        declared = project.model(row.model)
        made = decisions.reject(store, row, reason)
        console.print(f"{row.model}@{row.version} is rejected by {made.decided_by}")
        if store.registry.aliases(row.model).get("production") == row.version:
            advise(f"it is still in production; 'mlops model rollback {row.model}' moves it back")
        _report(declared, row, project)


def deprecate(
    reference: Ref,
    reason: Reason,
    undo: Annotated[bool, typer.Option("--undo", help="It is deprecated no more.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Also if it is in production, where it stays.")
    ] = False,
) -> None:
    """Deprecate a model version: its record states it, and no alias moves to it any more.

    Needs the role approver.
    """
    from mlops_assets.models.approval import decisions

    store = open_store()
    row = _version(store, reference)
    made = decisions.deprecate(store, row, reason, undo, force)
    console.print(f"{row.model}@{row.version} is {made.decision} by {made.decided_by}")


def _version(store: Store, text: str) -> ModelVersion:
    wanted = Reference.parse(text)
    if wanted.what is None:
        raise typer.BadParameter(f"name a version of {wanted.name}, e.g. {wanted.name}@candidate")
    return store.registry.model_version(wanted)


def _report(declared: ModelSpecification, row: ModelVersion, project: Project) -> None:
    """Evaluate the check `approved` in Dagster; the decision stands if that fails, too."""
    from dagster._core.storage.tags import PARTITION_NAME_TAG

    from mlops_assets.components.approval import APPROVAL_JOB, APPROVED_OP
    from mlops_assets.orchestration.results import StepFailure
    from mlops_assets.orchestration.submission import Submission

    if not declared.approval.required:
        return
    project.sync(declared.dataset)
    ops = {APPROVED_OP.format(model=row.model): {"config": {"version": row.version}}}
    # Dagster 1.13 has no partitions for jobs of checks alone, but for their runs
    tags = {PARTITION_NAME_TAG: row.data_version}
    try:
        project.run_here(Submission(APPROVAL_JOB.format(model=row.model), None, ops, tags))
    except StepFailure as error:
        advise(f"warning: the check 'approved' was not evaluated in Dagster: {error}")
