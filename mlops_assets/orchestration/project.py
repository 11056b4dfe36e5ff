"""A project that is loaded for a command: its declarations, its Dagster instance, its jobs."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property

import dagster as dg
from dagster._utils.warnings import disable_dagster_warnings

from mlops_assets.components.naming import add_data_versions
from mlops_assets.components.project.definitions import (
    declarations_of,
    declared_models,
    left_out,
    load_definitions,
    require_well_declared,
)
from mlops_assets.components.project.home import prepare_home
from mlops_assets.datasets.specification.dataset import DatasetSpecification
from mlops_assets.errors import NotFound, SettingsError, SpecificationError
from mlops_assets.models.specification import ModelSpecification
from mlops_assets.orchestration.code import launcher_name, runs_on_this_machine
from mlops_assets.orchestration.here import run_here
from mlops_assets.orchestration.instance import InstanceLauncher, instance_launcher
from mlops_assets.orchestration.results import RunResult
from mlops_assets.orchestration.submission import Submission
from mlops_assets.prediction.areas.specification import AreaSpecification
from mlops_assets.processing.specification import ProcessedDatasetSpecification
from mlops_assets.serving.specification import ServiceSpecification
from mlops_assets.settings import Settings, project_module
from mlops_assets.store import open_store

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Project:
    """A loaded code location, the settings it runs with, and its Dagster instance.

    Attributes:
        module: the code location.
        definitions: its definitions.
        settings: those of the command.
        instance: its Dagster instance.
        report: called with each line of a run in other processes that is for the user.
        stack: closes what the launching of runs has opened.
    """

    module: str
    definitions: dg.Definitions
    settings: Settings
    instance: dg.DagsterInstance
    report: Callable[[str], None]
    stack: ExitStack

    def launch(self, submission: Submission) -> RunResult:
        """Run a job, in this process or by the instance, as `MLOPS_LAUNCH` has it; wait for it.

        Args:
            submission: of a job of the project.

        Raises:
            NotFound: there is no such job.
            CheckFailure: a blocking check failed; everything else that could run has run.
            StepFailure: a step failed; everything else that could run has run.
            OrchestratorUnavailable: the instance is to run it and cannot.
            KeyboardInterrupt: the run was interrupted.
        """
        if self.settings.launch == "here":
            return self.run_here(submission)
        return self._launcher.launch(submission)

    def run_here(self, submission: Submission) -> RunResult:
        """Run a job in this process, whatever the settings are: the decisions of people.

        Args:
            submission: of a job of the project, or of keys of assets, `model/production` or
                `data/landing,data/source`.

        Raises:
            NotFound: there is no such job.
            CheckFailure: a blocking check failed; everything else that could run has run.
            StepFailure: a step failed; everything else that could run has run.
            KeyboardInterrupt: the run was interrupted.
        """
        return run_here(self.instance, self._job(submission.job), submission)

    def submit(self, submission: Submission) -> str:
        """Submit a job to the instance, and return the id of its run without waiting for it.

        Args:
            submission: of a job of the project.

        Raises:
            NotFound: there is no such job.
            OrchestratorUnavailable: the instance cannot run it.
            SettingsError: jobs run in this process.
        """
        self.require_instance()
        return self._launcher.submit(submission)

    def require_instance(self) -> None:
        """Make sure that jobs are run by the instance, and so can be left alone.

        Raises:
            SettingsError: they run in this process.
        """
        if self.settings.launch == "here":
            raise SettingsError(
                "--detach needs an instance that runs jobs by itself: set MLOPS_LAUNCH=instance,"
                " and see docs/launching.md"
            )

    def require_reachable(self, paths: Iterable[str]) -> None:
        """Make sure that what a command names is where its run is executed.

        Args:
            paths: paths of this machine, or URLs.

        Raises:
            SpecificationError: it is a path, and the run is executed elsewhere.
        """
        if self.settings.launch == "here":
            return
        local = [path for path in paths if "://" not in path or path.startswith("file://")]
        if local and not runs_on_this_machine(self._launcher.locations):
            raise SpecificationError(
                f"{', '.join(local)}: on this machine only, and the run is executed by"
                f" {launcher_name(self.instance)} elsewhere; upload it, e.g. to the object store of"
                " the workspace, and name its URL, or set MLOPS_LAUNCH=here"
            )

    @cached_property
    def _launcher(self) -> InstanceLauncher:
        return self.stack.enter_context(
            instance_launcher(self.settings, self.instance, self.module, self.report)
        )

    def sync(self, dataset: str) -> None:
        """Add the registry's data versions to the instance, e.g. after a new DAGSTER_HOME."""
        add_data_versions(self.instance, open_store(self.settings).registry, dataset)

    def model(self, name: str) -> ModelSpecification:
        """Return the declaration of a model.

        Raises:
            NotFound: it is not declared.
            SpecificationError: it is, but wrongly.
        """
        self.require(dg.AssetKey([name, "trained_model"]))
        return declared_models(self.definitions)[name]

    def dataset(self, name: str) -> DatasetSpecification:
        """Return the declaration of a dataset.

        Raises:
            NotFound: it is not declared.
            SpecificationError: it is made from other data, so that nothing lands.
        """
        processed = self.processed_dataset(name)
        if processed is not None:
            raise SpecificationError(
                f"{name} is made from {', '.join(processed.inputs)}, so that it has no landing;"
                f" 'mlops dataset commit {name}' makes it"
            )
        self.require(dg.AssetKey([name, "landing"]))
        return {dataset.name: dataset for dataset in self.datasets()}[name]

    def datasets(self) -> list[DatasetSpecification]:
        """Return the declarations of all datasets."""
        return [
            DatasetSpecification.model_validate(found)
            for found in declarations_of(self.definitions, "landing")
        ]

    def processed_dataset(self, name: str) -> ProcessedDatasetSpecification | None:
        """Return the declaration of a dataset that is made from others; None if it is not."""
        found = (
            ProcessedDatasetSpecification.model_validate(declared)
            for declared in declarations_of(self.definitions, "processed")
            if declared["name"] == name
        )
        return next(found, None)

    def area(self, name: str) -> AreaSpecification | None:
        """Return the declaration of an area; None if none is called so.

        Raises:
            SpecificationError: it is declared wrongly, and no model with a version is called so.
        """
        found = {
            area.name: area
            for area in map(
                AreaSpecification.model_validate, declarations_of(self.definitions, "prediction")
            )
        }
        reasons = left_out(self.definitions)
        if name in reasons and not open_store(self.settings).registry.model_versions(name):
            require_well_declared(name, reasons)
        return found.get(name)

    def services(self) -> dict[str, ServiceSpecification]:
        """Return the declarations of all services, by name."""
        found = map(
            ServiceSpecification.model_validate, declarations_of(self.definitions, "deployment")
        )
        return {service.name: service for service in found}

    def service(self, name: str) -> ServiceSpecification:
        """Return the declaration of a service.

        Raises:
            NotFound: it is not declared; the message names those that are.
            SpecificationError: it is, but wrongly.
        """
        found = self.services()
        if name not in found:
            require_well_declared(name, left_out(self.definitions))
            raise NotFound(
                f"no service is called {name!r}; this project declares"
                f" {', '.join(sorted(found)) or 'none'}"
            )
        return found[name]

    def service_of(self, model: str) -> ServiceSpecification:
        """Return the declaration of the service of a model.

        Raises:
            NotFound: no service of it is declared, or it is declared wrongly.
        """
        found = {service.model: service for service in self.services().values()}
        if model not in found:
            wrong = ", ".join(sorted(left_out(self.definitions)))
            also = f"; declared wrongly, and so left out: {wrong}" if wrong else ""
            raise NotFound(
                f"no service of {model!r} is declared; this project declares those of"
                f" {', '.join(sorted(found)) or 'no model'}{also}; declare a ModelService"
            )
        return found[model]

    def require(self, key: dg.AssetKey) -> None:
        """Make sure that an asset is declared.

        Raises:
            NotFound: it is not; the message names those of its kind that are.
            SpecificationError: it is, but wrongly.
        """
        keys = self.definitions.resolve_asset_graph().get_all_asset_keys()
        if key not in keys:
            require_well_declared(key.path[0], left_out(self.definitions))
            alike = sorted(other.path[0] for other in keys if other.path[-1] == key.path[-1])
            raise NotFound(
                f"{key.path[0]!r} is not declared with a step {key.path[-1]!r}; this project"
                f" declares {', '.join(alike) or 'none'}"
            )

    def _job(self, name: str) -> dg.JobDefinition:
        if "/" in name:
            keys = [dg.AssetKey(path.split("/")) for path in name.split(",")]
            for key in keys:
                self.require(key)
            label = re.sub("[/,]", "_", name) + "_once"
            ad_hoc = dg.define_asset_job(label, selection=dg.AssetSelection.assets(*keys))
            return dg.Definitions.merge(
                self.definitions, dg.Definitions(jobs=[ad_hoc])
            ).resolve_job_def(ad_hoc.name)
        try:
            return self.definitions.resolve_job_def(name)
        except dg.DagsterInvariantViolationError as error:
            raise NotFound(f"this project has no job {name!r}; see 'dagster job list'") from error


@contextmanager
def open_project(
    settings: Settings, module: str | None = None, report: Callable[[str], None] = log.info
) -> Iterator[Project]:
    """Load a project and open its instance.

    Args:
        settings: those of the project.
        module: the code location, e.g. `my_project.definitions`; by default that of the
            `pyproject.toml` here.
        report: called with each line of a run in other processes that is for the user.

    Raises:
        NotFound: the module cannot be imported or has no definitions.
    """
    module = module or project_module()
    definitions = load_definitions(module)
    prepare_home(settings.dagster_home)
    logging.getLogger("dagster").setLevel(logging.WARNING)
    with (
        # of Dagster's own code, such as that of checks that are beta, which users cannot follow
        disable_dagster_warnings(),
        dg.DagsterInstance.from_config(str(settings.dagster_home)) as instance,
        ExitStack() as stack,
    ):
        yield Project(module, definitions, settings, instance, report, stack)
