"""The steps that every map goes through in a run: plan, predict each part, publish.

Steps hand JSON on, so that each of them can run in a process or a pod of its own.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlops_assets.components.graph.pods import kubernetes_tags
from mlops_assets.components.graph.retries import retried
from mlops_assets.components.naming import ancestors
from mlops_assets.errors import Conflict
from mlops_assets.models.compute import Compute
from mlops_assets.paths import step_values_folder
from mlops_assets.settings import Settings
from resources import StoreResource

if TYPE_CHECKING:
    from mlops_assets.prediction.job import MapJob
    from mlops_assets.prediction.predict import Prediction
    from mlops_assets.store import Store

# key of the resource that holds what steps hand on
STEP_VALUES = "step_values"
# outputs of the plan
JOBS = "jobs"
PARTS = "parts"
# of the plan of a map
PLAN_OUTS = {
    JOBS: dg.Out(list, io_manager_key=STEP_VALUES, description="Maps to make."),
    PARTS: dg.DynamicOut(
        dict, io_manager_key=STEP_VALUES, description="Rows of a scene of one of them."
    ),
}


def planned(
    store: "Store", jobs: Sequence["MapJob"]
) -> Iterator[dg.Output[Any] | dg.DynamicOutput[Any]]:
    """Yield the outputs of the plan of some maps: their jobs, and the parts of each of them.

    Where steps run one after another in a process, one step has all parts of a scene, so that the
    scene is copied and opened once; else each part is a step.
    """
    from mlops_assets.prediction.predict import plan_parts

    alone = Settings.from_environment().executor == "in_process"
    yield dg.Output([job.as_json() for job in jobs], JOBS)
    for number, job in enumerate(jobs):
        document = job.as_json()
        for _, group in groupby(
            plan_parts(store, job), lambda part: (part.scene, None if alone else part.first)
        ):
            parts = list(group)
            yield dg.DynamicOutput(
                {"job": document, "parts": [part.as_json() for part in parts]},
                mapping_key=f"{number}_{parts[0].scene}_{parts[0].first}",
                output_name=PARTS,
            )


def remove_step_values(store: "Store", context: dg.OpExecutionContext) -> None:
    """Remove what steps of a run, and of those that it continues, have handed on."""
    for run in ancestors(context):
        store.workspace.remove_folder(step_values_folder(run))


def predict_op(prefix: str, compute: Compute) -> dg.OpDefinition:
    """Return the step that predicts parts of a scene; what was predicted before is kept.

    Args:
        prefix: of its name.
        compute: that one part may use on Kubernetes.
    """

    @dg.op(
        name=f"{prefix}__predict",
        ins={"planned_parts": dg.In(dict)},
        out=dg.Out(int, io_manager_key=STEP_VALUES, description="Predicted pixels."),
        tags=kubernetes_tags(compute),
        description="Predicts some rows of a scene, unless that was done already.",
    )
    @retried
    def predict(
        context: dg.OpExecutionContext, store: StoreResource, planned_parts: dict[str, Any]
    ) -> int:
        from mlops_assets.prediction.job import MapJob, Part
        from mlops_assets.prediction.predict import predict_parts

        job = MapJob.from_json(planned_parts["job"])
        parts = [Part.from_json(part) for part in planned_parts["parts"]]
        name = job.scenes[parts[0].scene].name
        context.log.info(f"{job.name}: {name}, rows {parts[0].first}-{parts[-1].last}")
        return sum(result.predicted for result in predict_parts(store.open(), job, parts))

    return predict


def published(
    store: "Store", document: dict[str, Any], context: dg.OpExecutionContext
) -> "Prediction":
    """Put the parts of a job together and publish the map.

    Re-execution from failure leaves out parts that a killed run had not started: Dagster repeats
    only those steps of a dynamic output that have events. They are predicted here.
    """
    from mlops_assets.prediction.job import MapJob
    from mlops_assets.prediction.predict import finish_map, make_map

    job = MapJob.from_json(document)
    try:
        return finish_map(store, job)
    except Conflict as error:
        if context.run.parent_run_id is None:
            raise
        context.log.info(f"{error}; predicting what is missing")
    return make_map(store, job)
