"""The job `predict`: maps of any scenes by any model version, from a form or `mlops predict`."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
from dagster._core.definitions.data_version import DATA_VERSION_TAG
from pydantic import Field

from mlops_assets.components.areas.options import BrokenChoice
from mlops_assets.components.areas.results import (
    map_metadata,
    map_tags,
    map_version,
    observation_of,
)
from mlops_assets.components.areas.steps import (
    JOBS,
    PARTS,
    PLAN_OUTS,
    planned,
    predict_op,
    published,
    remove_step_values,
)
from mlops_assets.components.graph.retries import retried
from mlops_assets.components.naming import MAPS, MODEL, MODEL_VERSION, tag_run
from mlops_assets.models.compute import Compute
from mlops_assets.prediction.request import MapRequest, parse_request
from resources import StoreResource

PREDICT = "predict"
PLAN_OP = f"{PREDICT}__plan"


def _described(name: str, *default: object) -> Any:
    return Field(*default, description=MapRequest.model_fields[name].description)


class PredictConfig(dg.Config):
    """The launch options of maps of scenes: the same as of `mlops predict`."""

    model: str = _described("model")
    sources: list[str] = _described("sources")
    collections: list[str] = _described("collections", [])
    bbox: list[float] | None = _described("bbox", None)
    area: dict[str, Any] | None = _described("area", None)
    datetime: str | None = _described("datetime", None)
    query: str | None = _described("query", None)
    date: str | None = _described("date", None)
    outputs: list[str] = _described("outputs", [])
    bands_by_position: bool = _described("bands_by_position", False)
    grid: dict[str, Any] | None = _described("grid", None)
    mask: dict[str, Any] | None = _described("mask", None)
    on_broken: BrokenChoice = _described("on_broken", BrokenChoice.skip)

    def request(self) -> MapRequest:
        """Return the request, checked.

        Raises:
            SpecificationError: it is invalid.
        """
        return parse_request(self.model_dump(mode="json"))


def predict_job() -> dg.JobDefinition:
    """Return the job; each of its maps is a materialisation of `<model>/maps`."""
    predict = predict_op(PREDICT, Compute())

    @dg.job(
        name=PREDICT,
        description=(
            "Maps scenes with a model version: fill in model and sources. Maps are listed under the"
            " asset MODEL/maps."
        ),
    )
    def job() -> None:
        found = _plan()
        _publish(getattr(found, JOBS), getattr(found, PARTS).map(predict).collect())

    return job


@dg.op(name=PLAN_OP, out=PLAN_OUTS, description="Finds the scenes and divides them into parts.")
@retried
def _plan(
    context: dg.OpExecutionContext, config: PredictConfig, store: StoreResource
) -> Iterator[dg.Output[Any] | dg.DynamicOutput[Any]]:
    from mlops_assets.prediction.request import map_jobs

    opened, request = store.open(), config.request()
    row = opened.registry.model_version(request.reference)
    tag_run(context, opened.user, {MODEL: row.model, MODEL_VERSION: row.version})
    jobs = map_jobs(opened, row, request)
    for job in jobs:
        context.log.info(f"{job.name}: scenes: {len(job.scenes)}; {row.model}@{row.version}")
    yield from planned(opened, jobs)


@dg.op(
    name=f"{PREDICT}__publish",
    ins={"jobs": dg.In(list), "predicted": dg.In(list)},
    out=dg.Out(dg.Nothing),
    description="Makes the maps of the parts and publishes them with their records.",
)
@retried
def _publish(
    context: dg.OpExecutionContext,
    store: StoreResource,
    jobs: list[dict[str, Any]],
    predicted: list[int],
) -> None:
    opened = store.open()
    for document in jobs:
        made = published(opened, document, context)
        row = made.map
        context.log_event(
            dg.AssetMaterialization(
                [row.model, MAPS],
                description=f"Map {row.name}",
                metadata=map_metadata(opened, made),
                tags={DATA_VERSION_TAG: map_version(row).value, **map_tags(opened, row)},
            )
        )
        context.log_event(observation_of(row))
    remove_step_values(opened, context)
