"""Runs of a project's jobs from a command, on its own Dagster instance, for one history."""

from __future__ import annotations

import importlib
import logging
import re
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import dagster as dg
from dagster._utils.warnings import disable_dagster_warnings

from mlops_assets.components.naming import (
    CLASS_VALUES,
    COMMAND,
    DECLARATION,
    LEFT_OUT,
    add_data_versions,
)
from mlops_assets.components.project.failures import FAILED_CHECK, failure_messages, step_errors
from mlops_assets.components.project.load import documented
from mlops_assets.datasets.quality import Check
from mlops_assets.datasets.specification.dataset import DatasetSpecification
from mlops_assets.errors import MlopsError, NotFound, SpecificationError
from mlops_assets.models.specification import ModelSpecification
from mlops_assets.prediction.areas.specification import AreaSpecification
from mlops_assets.processing.specification import ProcessedDatasetSpecification
from mlops_assets.serving.specification import ServiceSpecification
from mlops_assets.settings import Settings, project_module
from mlops_assets.store import open_store

INTERRUPTED = "DagsterExecutionInterruptedError"


class StepFailure(MlopsError):
    """A step of a Dagster run failed; the message is the step's own error.

    `run_id` is None if nothing was started.

    `checks` are those that were evaluated before.
    """

    def __init__(
        self, message: str, run_id: str | None = None, checks: Sequence[Check] = ()
    ) -> None:
        self.run_id = run_id
        self.checks = checks
        super().__init__(message)


class CheckFailure(StepFailure):
    """A blocking check failed; the steps themselves did not."""


@dataclass(frozen=True)
class Project:
    """A loaded code location, the settings it runs with, and its Dagster instance."""

    module: str
    definitions: dg.Definitions
    settings: Settings
    instance: dg.DagsterInstance

    def launch(
        self,
        job: str,
        partition: str | None = None,
        ops: Mapping[str, object] | None = None,
        tags: Mapping[str, str] | None = None,
        run_id: str | None = None,
    ) -> dg.ExecuteInProcessResult:
        """Run a job in this process.

        Args:
            job: name of a job of the project, or keys of assets, `model/production` or
                `data/landing,data/source`.
            partition: partition key.
            ops: run config of each op.
            tags: tags of the run.
            run_id: id of the run; a new one if not given.

        Raises:
            NotFound: there is no such job.
            CheckFailure: a blocking check failed; everything else that could run has run.
            StepFailure: a step failed; everything else that could run has run.
            KeyboardInterrupt: the run was interrupted.
        """
        found = self._job(job)
        try:
            with _interrupts_kept_from_children():
                result = found.execute_in_process(
                    instance=self.instance,
                    partition_key=partition,
                    run_config={
                        "ops": dict(ops or {}),
                        "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
                    },
                    raise_on_error=False,
                    tags={COMMAND: "true", **(tags or {})},
                    run_id=run_id,
                )
        except dg.DagsterInvalidConfigError as error:
            raise StepFailure("\n".join(problem.message for problem in error.errors)) from error
        except dg.DagsterExecutionInterruptedError as error:
            raise KeyboardInterrupt from error
        if not result.success:
            errors = list(step_errors(result.all_events))
            if any(error.cls_name == INTERRUPTED for error in errors):
                raise KeyboardInterrupt
            by_check = all(error.cls_name == FAILED_CHECK for error in errors)
            kind = CheckFailure if by_check else StepFailure
            messages = "\n".join(failure_messages(result.all_events))
            raise kind(messages, result.run_id, evaluated_checks(result))
        return result

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
            _require_well_declared(name, reasons)
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
            _require_well_declared(name, left_out(self.definitions))
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
            _require_well_declared(key.path[0], left_out(self.definitions))
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
def open_project(settings: Settings, module: str | None = None) -> Iterator[Project]:
    """Load a project and open its instance.

    Args:
        settings: those of the project.
        module: the code location, e.g. `my_project.definitions`; by default that of the
            `pyproject.toml` here.

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
    ):
        yield Project(module, definitions, settings, instance)


@dataclass(frozen=True)
class DeclaredModels:
    """The models of a project by name, and the reasons why invalid ones are left out."""

    models: Mapping[str, ModelSpecification]
    left_out: Mapping[str, str]

    def get(self, name: str) -> ModelSpecification | None:
        """Return the declaration of a model, None if there is none.

        Raises:
            SpecificationError: it is declared wrongly.
        """
        if name not in self.models:
            _require_well_declared(name, self.left_out)
        return self.models.get(name)


def models_of_project(module: str | None = None) -> DeclaredModels:
    """Return the models that a project declares.

    Args:
        module: definitions of the project, e.g. `my_project.definitions`; those of the current
            folder if not given.

    Raises:
        NotFound: there is no such module.
    """
    definitions = load_definitions(module or project_module())
    return DeclaredModels(declared_models(definitions), left_out(definitions))


def left_out(definitions: dg.Definitions) -> dict[str, str]:
    """Return why datasets and models, by name, are not in the definitions of their project."""
    found = (definitions.metadata or {}).get(LEFT_OUT)
    data = found.data if isinstance(found, dg.JsonMetadataValue) else None
    return data if isinstance(data, dict) else {}


def _require_well_declared(name: str, reasons: Mapping[str, str]) -> None:
    if name in reasons:
        raise SpecificationError(
            f"{name} is declared wrongly; correct its declaration:\n{reasons[name]}"
        )


def declared_models(definitions: dg.Definitions) -> dict[str, ModelSpecification]:
    """Return the models that definitions declare, by name."""
    models = [
        ModelSpecification.model_validate(found)
        for found in declarations_of(definitions, "trained_model")
    ]
    return {model.name: model for model in models}


def declarations_of(definitions: dg.Definitions, step: str) -> list[dict[str, object]]:
    """Return the declaration of each model or dataset, from the metadata of its asset of a step."""
    found = []
    for node in definitions.resolve_asset_graph().asset_nodes:
        value, values = (node.metadata.get(name) for name in (DECLARATION, CLASS_VALUES))
        if node.key.path[-1] != step or not isinstance(value, dg.JsonMetadataValue):
            continue
        declared = value.data
        if isinstance(declared, dict) and isinstance(values, dg.JsonMetadataValue):
            names = {str(each): each for each in values.data or []}
            classes = (declared.get("classes") or {}).items()
            declared = declared | {"classes": {names[key]: name for key, name in classes} or None}
        if isinstance(declared, dict):
            found.append(declared)
    return found


def load_definitions(module: str) -> dg.Definitions:
    """Import a code location's definitions.

    Raises:
        NotFound: the module cannot be imported or has no `defs`.
        SpecificationError: its own code fails.
    """
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    without = documented.set(False)
    try:
        found = importlib.import_module(module).defs
        loaded: dg.Definitions = found() if callable(found) else found
    except MlopsError:
        raise
    except (ImportError, AttributeError) as error:
        raise NotFound(
            f"{module} cannot be loaded: {error}; name the module with --module"
        ) from error
    except Exception as error:
        raise SpecificationError(
            f"{module} cannot be loaded: {type(error).__name__}: {error}; 'mlops --debug' shows"
            " where"
        ) from error
    finally:
        documented.reset(without)
    return loaded


def prepare_home(home: Path) -> Path:
    """Make a Dagster home with our dagster.yaml (no telemetry, GPU pool) if needed; return it."""
    home.mkdir(parents=True, exist_ok=True)
    if not (home / "dagster.yaml").exists():
        with (home / "dagster.yaml").open("w") as target:
            target.write((files("mlops_assets.cli") / "templates" / "dagster.yaml").read_text())
    return home


@contextmanager
def _interrupts_kept_from_children() -> Iterator[None]:
    """Block SIGINT in this thread, which processes that it starts inherit.

    Another thread receives it for this process.

    A terminal sends it to every process of the command, and those that copy Dagster's logs would
    print a traceback.
    """
    ended = threading.Event()
    receiver = threading.Thread(target=ended.wait, name="interrupts", daemon=True)
    receiver.start()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        ended.set()
        receiver.join()


def evaluated_checks(result: dg.ExecuteInProcessResult) -> list[Check]:
    """Return the checks that a run evaluated, as the core has them."""
    return [
        Check(
            check.check_name,
            check.passed,
            check.description or "",
            check.severity == dg.AssetCheckSeverity.ERROR,
        )
        for check in result.get_asset_check_evaluations()
    ]
