"""The job `<model>_sweep`, a sweep over one data version.

It is launched from the UI or by `mlops sweep`.
"""

from dataclasses import replace
from enum import Enum
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from mlops_assets.components.events.presentation import sweep_markdown
from mlops_assets.components.graph.pods import kubernetes_tags
from mlops_assets.components.naming import (
    DATA_VERSION,
    DATASET,
    MODEL,
    data_versions,
    tag_run,
)
from mlops_assets.components.training_step import requested_tags, with_requested_compute
from mlops_assets.models.specification import ModelSpecification
from mlops_assets.training.sweeps.settings import SweepSettings, settings_of
from resources import StoreResource

if TYPE_CHECKING:
    from mlops_assets.training.sweeps.plan import Plan


# the place that errors of the settings name
RUN_CONFIG = "the run config"


class Method(Enum):
    """Methods of searching a space, as the Launchpad offers them."""

    tpe = "tpe"
    random = "random"
    grid = "grid"


class Direction(Enum):
    """The direction in which a metric gets better."""

    minimize = "minimize"
    maximize = "maximize"


class PrunerName(Enum):
    """The rule by which poor trials are stopped early."""

    none = "none"
    median = "median"
    hyperband = "hyperband"


def _described(name: str, *default: object) -> Any:
    field = SweepSettings.model_fields[name]
    return Field(*default, description=field.description)


class SweepConfig(dg.Config):
    """The launch config of a sweep: the same as in a file of `mlops sweep`."""

    parameters: dict[str, Any] = _described("parameters")
    method: Method = _described("method", Method.tpe)
    metric: str | None = _described("metric", None)
    direction: Direction | None = _described("direction", None)
    trials: int | None = _described("trials", None)
    parallel: int = _described("parallel", 1)
    prune: PrunerName = _described("prune", PrunerName.none)
    seed: int = _described("seed", 0)
    timeout: float | None = _described("timeout", None)
    name: str | None = Field(
        default=None,
        description="Of the sweep; the same settings continue the same sweep if not given.",
    )

    def plan(self, specification: ModelSpecification, data_version: str) -> "Plan":
        """Return the sweep it describes, checked."""
        from mlops_assets.training.sweeps.plan import plan_sweep

        values = {
            name: v.value if isinstance(v, Enum) else v for name, v in self.model_dump().items()
        }
        name = values.pop("name")
        settings = settings_of(values, RUN_CONFIG)
        return plan_sweep(specification, data_version, settings, name, RUN_CONFIG)


def sweep_job(specification: ModelSpecification) -> dg.JobDefinition:
    """Return the job that sweeps over a model's parameters; its partition is the data version."""
    about = {"model": specification.name, "dataset": specification.dataset}

    @dg.op(
        name=f"{specification.name}__sweep",
        description="Runs trials, each a run of its own, and proposes the best as candidate.",
        tags=kubernetes_tags(specification.compute, about, per_run=True),
    )
    def sweep(context: dg.OpExecutionContext, config: SweepConfig, store: StoreResource) -> None:
        from mlops_assets.components.events.reporting import DagsterReporter
        from mlops_assets.training.sweeps.run import run_sweep

        plan = config.plan(with_requested_compute(context, specification), context.partition_key)
        plan = replace(plan, tags=requested_tags(context))
        context.log.info(
            f"sweep {plan.name}: {plan.trials} trials of {specification.name} on"
            f" {plan.data_version}"
        )
        opened = store.open()
        tag_run(context, opened.user, {DATA_VERSION: plan.data_version})
        reporter = DagsterReporter(opened, specification, context.instance)
        result = run_sweep(opened, plan, reporter, context.run_id, context.log.info)
        document = result.document()
        best = {name: result.best.parameters.get(name) for name in plan.space.axes}
        names = ("sweep", "metric", "direction", "model_version", "candidate", "gates")
        metadata = {
            **{name: document[name] for name in names},
            "best_value": result.objective.value(result.best),
            "best_parameters": dg.MetadataValue.json(best),
            **result.row.metrics,
            "importances": dg.MetadataValue.json(result.importances),
            "trials": dg.MetadataValue.md(sweep_markdown(result.trial_documents())),
        }
        context.add_output_metadata(metadata)

    @dg.job(
        name=f"{specification.name}_sweep",
        description=(
            f"Trains {specification.name} many times with other parameters, on one version of "
            f"{specification.dataset}; the best on the validation split becomes candidate."
        ),
        partitions_def=data_versions(specification.dataset),
        tags={MODEL: specification.name, DATASET: specification.dataset},
    )
    def job() -> None:
        sweep()

    return job
