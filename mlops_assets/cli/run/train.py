"""`mlops train`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlops_assets.cli.dataset.assess import change_lines, failed_lines, record_changes
from mlops_assets.cli.model.commands import describe
from mlops_assets.cli.terminal import completion
from mlops_assets.cli.terminal.interruption import again, interruptible
from mlops_assets.cli.terminal.launching import Detach, open_project, print_submitted
from mlops_assets.cli.terminal.output import Json, Module, advise, console, open_store, show_one
from mlops_assets.errors import Conflict
from mlops_assets.names import Reference
from mlops_assets.settings import project_module

if TYPE_CHECKING:
    from mlops_assets.datasets.quality import Check
    from mlops_assets.models.specification import ModelSpecification
    from mlops_assets.orchestration.project import Project
    from mlops_assets.orchestration.submission import Submission


def train(
    reference: Annotated[
        str,
        typer.Argument(
            help="model, or model@data-version or tag; the newest if not given.",
            autocompletion=completion.models_on_data,
        ),
    ],
    param: Annotated[
        list[str] | None,
        typer.Option("--param", "-p", help="Parameter, as NAME=VALUE, or seed=N; repeatable."),
    ] = None,
    detach: Detach = False,
    module: Module = None,
    as_json: Json = False,
) -> None:
    """Train a model on a data version, export, evaluate and record it."""
    wanted = Reference.parse(reference)
    config = dict(_parameter(text) for text in param or [])
    from mlops_assets.training.process.start import preload

    preload()  # before Dagster is imported, so that both load at once
    from mlops_assets.training.trainers import load_trainer

    with open_project(module) as project:
        declared = project.model(wanted.name)
        preload(declared)
        parameters = {
            **declared.params,
            **{name: value for name, value in config.items() if name != "seed"},
        }
        load_trainer(declared.trainer).parameters(parameters)  # fails before anything is launched
        data = open_store().registry.data_version(Reference(declared.dataset, wanted.what))
        launch = _Launch(project, declared, data.version, config)
        if detach:
            print_submitted(launch.submit(), as_json)
        else:
            launch.follow(as_json)


def resume(
    run_id: Annotated[
        str, typer.Argument(help="Run id, or its beginning.", autocompletion=completion.run_ids)
    ],
    detach: Detach = False,
    module: Module = None,
    as_json: Json = False,
) -> None:
    """Resume an interrupted run from its newest checkpoint.

    The rest of the lifecycle follows: its model is exported, evaluated and recorded.
    """
    registry = open_store().registry
    run = registry.run(run_id)
    if run.status == "succeeded" or not registry.checkpoints(run.run_id):
        why = "has succeeded" if run.status == "succeeded" else "has kept no checkpoint"
        raise Conflict(
            f"run {run.run_id[:8]} {why}; start a new one with 'mlops train"
            f" {run.model}@{run.data_version}'"
        )
    with open_project(module) as project:
        config = {**run.parameters, "seed": run.seed}
        launch = _Launch(project, project.model(run.model), run.data_version, config, run.run_id)
        if detach:
            print_submitted(launch.submit(), as_json)
        else:
            launch.follow(as_json)


@dataclass(frozen=True)
class _Launch:
    """The lifecycle of a model on a data version, with a new or a resumed run.

    Attributes:
        project: the project.
        declared: the model.
        data_version: partition of the job.
        config: parameters and seed that differ from the declared ones.
        resumed: the training run that it continues; None for a new one.
    """

    project: Project
    declared: ModelSpecification
    data_version: str
    config: dict[str, Any]
    resumed: str | None = None

    @cached_property
    def submission(self) -> Submission:
        """The job that is run, with the id of its run."""
        from mlops_assets.components.naming import RESUME
        from mlops_assets.orchestration.submission import Submission

        model = self.declared.name
        ops = {f"{model}__trained_model": {"config": self.config}} if self.config else {}
        tags = {RESUME: self.resumed} if self.resumed else {}
        return Submission(f"{model}_lifecycle", self.data_version, ops, tags)

    def submit(self) -> str:
        """Submit it; return the id of the Dagster run."""
        self.project.require_instance()
        self.project.sync(self.declared.dataset)
        return self.project.submit(self.submission)

    def follow(self, as_json: bool) -> None:
        """Run it, wait for its end, and print the outcome."""
        from mlops_assets.orchestration.results import StepFailure

        model = self.declared.name
        self.project.sync(self.declared.dataset)
        dagster_run = self.submission.run_id
        try:
            with interruptible(
                lambda: _kept(self.project, model, self.data_version, dagster_run, self.resumed)
            ):
                result = self.project.launch(self.submission)
        except StepFailure as failure:
            # a model version that fails its gates is published all the same
            _print_lines(_warnings(failure.checks), as_json)
            print_outcome(model, failure.run_id or dagster_run, as_json)
            raise
        _print_lines(_warnings(result.checks), as_json)
        _print_lines(change_lines(record_changes(result, self.declared.dataset)), as_json)
        print_outcome(model, result.run_id, as_json)


def _warnings(checks: Sequence[Check]) -> Iterator[str]:
    """Yield the failed checks that only warn; those that stop a run are in its error."""
    return failed_lines([check for check in checks if not check.blocking])


def _print_lines(lines: Iterable[str], as_json: bool) -> None:
    for line in lines:
        if as_json:
            advise(line)
        else:
            console.print(line)


def _kept(
    project: Project, model: str, data_version: str, dagster_run: str, resumed: str | None
) -> str:
    """Return the state after an interrupted launch, and the command that continues from it."""
    registry = open_store().registry
    own = {"run_id": resumed} if resumed else {"orchestration_run": dagster_run}
    run = next(iter(registry.runs(model, **own)), None)
    if run is None:
        return f"no run was recorded; start again with: {again()}"
    if run.model_version is not None:
        row = registry.model_version(Reference(model, run.model_version))
        # whether the applicability was measured is not in the stage; measured again, it is the same
        assets = {
            "trained": ("onnx_model", "applicability", "evaluation", "record"),
            "exported": ("applicability", "evaluation", "record"),
            "evaluated": ("applicability", "record"),
            "recorded": (),
        }[row.stage]
        if not assets:
            return f"{model}@{row.version} is recorded; see: mlops model show {model}@{row.version}"
        select = ",".join(f"{model}/{asset}" for asset in assets)
        return (
            f"{model}@{row.version} is {row.stage} and kept; to continue: dagster asset materialize"
            f" -m {project.module} --select {select} --partition {data_version}"
        )
    checkpoints = registry.checkpoints(run.run_id)
    if not checkpoints:
        return (
            f"run {run.run_id[:8]} has kept no checkpoint and published nothing; start again with:"
            f" {again()}"
        )
    return (
        f"the checkpoint of step {checkpoints[0].step} is kept; to continue: mlops run resume"
        f" {run.run_id[:8]}{'' if project.module == project_module() else f' -m {project.module}'}"
    )


def print_outcome(model: str | None, dagster_run: str, as_json: bool) -> None:
    """Print the model versions that a Dagster run has published.

    Args:
        model: of these; None for any.
        dagster_run: the Dagster run.
        as_json: print JSON.
    """
    from mlops_assets.registry.files.verified_read import unmeasured_classes

    store = open_store()
    registry = store.registry
    for run in registry.runs(model, orchestration_run=dagster_run):
        if run.model_version is None:
            continue
        row = registry.model_version(Reference(run.model, run.model_version))
        unmeasured = unmeasured_classes(store.workspace, registry, run.model, row.version)
        if as_json:
            aliases = registry.all_aliases().get((row.model, row.version), [])
            show_one(describe(row, aliases) | {"unmeasured_classes": unmeasured}, as_json=True)
            continue
        metrics = ", ".join(f"{name} {value:.4f}" for name, value in row.metrics.items())
        console.print(f"{row.model}@{row.version} is {row.stage}: {metrics}")
        if unmeasured:
            console.print(
                f"not measured, as the test split has no sample of it: {', '.join(unmeasured)}"
            )


def _parameter(text: str) -> tuple[str, Any]:
    import yaml

    from mlops_assets.models.parameters import written

    name, equals, value = text.partition("=")
    if not equals or not name:
        raise typer.BadParameter(f"{text!r} is not NAME=VALUE", param_hint="--param")
    try:
        return name.strip(), written(yaml.safe_load(value))
    except yaml.YAMLError as error:
        raise typer.BadParameter(
            f"the value of {text!r} cannot be read; quote it", param_hint="--param"
        ) from error
    except ValueError as error:
        raise typer.BadParameter(f"{text!r}: {error}", param_hint="--param") from error
