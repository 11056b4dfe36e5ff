"""The component PredictionArea: an area whose scenes a model maps, a day a partition."""

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import dagster as dg
from dagster._utils.warnings import disable_dagster_warnings
from pydantic import BaseModel, Field, ValidationError

from mlops_assets.components.areas.options import BrokenChoice
from mlops_assets.components.areas.record import record_asset
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
from mlops_assets.components.graph.kinds import workspace_kinds
from mlops_assets.components.graph.labels import Labels, declared
from mlops_assets.components.graph.retries import retried
from mlops_assets.components.naming import (
    AREA,
    DECLARATION,
    MODEL,
    MODEL_VERSION,
    ONE_RUN_A_VERSION,
    tag_run,
)
from mlops_assets.components.scaffolding import PredictionAreaScaffolder
from mlops_assets.components.sensors.new_scenes import LISTING, new_scenes_sensor
from mlops_assets.errors import SpecificationError
from mlops_assets.prediction.areas.geometry import read_outline
from mlops_assets.prediction.areas.specification import AreaSpecification
from mlops_assets.strict import listed_problems
from resources import StoreResource

if TYPE_CHECKING:
    from mlops_assets.registry import ModelVersion
    from mlops_assets.store import Store


class PredictionAreaAttributes(Labels, AreaSpecification):
    """An area as declared."""


class DayConfig(dg.Config):
    """The launch options of a day."""

    model_version: str | None = Field(
        default=None,
        description="Model version or alias; what the run was launched for, else as declared.",
    )
    sources: list[str] = Field(
        default=[],
        description=(
            "Scenes instead of the declared source: files, folders, STAC Items. Files without a"
            " date are taken as of this day."
        ),
    )
    outputs: list[str] = Field(
        default=[], description="Outputs of the map; as declared if not given."
    )
    on_broken: BrokenChoice | None = Field(
        default=None,
        description="Whether a broken scene is skipped or fails the day; as declared if not given.",
    )

    def applied(self, specification: AreaSpecification) -> AreaSpecification:
        """Return the area with these choices.

        Raises:
            SpecificationError: one is invalid.
        """
        given = self.model_dump(mode="json", include={"outputs", "on_broken"})
        changed = {name: value for name, value in given.items() if value}
        try:
            return AreaSpecification.model_validate(specification.model_dump() | changed)
        except ValidationError as error:
            raise SpecificationError(listed_problems(error, "the run config")) from error


def days_of(specification: AreaSpecification) -> dg.DailyPartitionsDefinition:
    """Return the partitions of an area: days of acquisition in UTC, today included."""
    start = specification.first_day.isoformat()
    end = None if specification.last_day is None else specification.last_day + timedelta(days=1)
    return dg.DailyPartitionsDefinition(
        start_date=start,
        end_date=None if end is None else end.isoformat(),
        timezone="UTC",
        end_offset=1,
    )


@dg.scaffold_with(PredictionAreaScaffolder)
class PredictionArea(dg.Component):
    """Maps of an area by the model version in production, one for each day of acquisition.

    `dg scaffold defs mlops_assets.components.PredictionArea NAME --model MODEL` declares an example
    that you adapt.
    """

    def __init__(self, specification: AreaSpecification, labels: Labels | None = None) -> None:
        self.specification = specification
        self.labels = labels or Labels()

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        """Return the core's own model, so that errors in the YAML name file, line and key."""
        return PredictionAreaAttributes

    @classmethod
    def get_spec(cls) -> dg.ComponentTypeSpec:
        """Return what Dagster's UI lists of the component."""
        return dg.ComponentTypeSpec(produces=["asset", "asset_check", "job", "sensor"])

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> Self:
        """Make the component from checked attributes.

        Raises:
            SpecificationError: the file of its outline cannot be read.
        """
        checked = PredictionAreaAttributes.model_validate(attributes)
        specification = declared(checked, AreaSpecification)
        return cls(with_outline(specification, context.path), checked)

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Return the area's assets, check, job and sensor."""
        specification = self.specification
        assets = [self._prediction(), record_asset(specification, days_of(specification))]
        job = dg.define_asset_job(
            f"{specification.name}_prediction",
            selection=assets,
            description=f"Maps one day of {specification.name} with {specification.model}.",
            tags={AREA: specification.name, MODEL: specification.model},
        )
        sensors = [new_scenes_sensor(specification, job.name)] if specification.auto_predict else []
        return dg.Definitions(assets=self.labels.labelled(assets), jobs=[job], sensors=sensors)

    def _prediction(self) -> dg.AssetsDefinition:
        specification = self.specification
        name = specification.name
        plan = self._plan()
        predict = predict_op(name, specification.compute)
        publish = self._publish()

        @dg.graph_asset(
            key=[name, "prediction"],
            group_name=name,
            description=specification.description
            or f"Maps of {name} by {specification.model}, one a day of acquisition.",
            ins={
                "production": dg.AssetIn(
                    [specification.model, "production"], dagster_type=dg.Nothing
                )
            },
            partitions_def=days_of(specification),
            backfill_policy=ONE_RUN_A_VERSION,
            kinds=self.labels.kinds_or({"raster", *workspace_kinds()}),
            metadata={DECLARATION: dg.MetadataValue.json(specification.model_dump(mode="json"))},
        )
        def prediction(production: Any) -> Any:
            found = plan(production)
            results = getattr(found, PARTS).map(predict).collect()
            return publish(getattr(found, JOBS), results)

        return prediction

    def _plan(self) -> dg.OpDefinition:
        specification = self.specification

        @dg.op(
            name=f"{specification.name}__plan",
            ins={"production": dg.In(dg.Nothing)},
            out=PLAN_OUTS,
            description="Lists the scenes of the day and divides them into parts.",
        )
        @retried
        def plan(
            context: dg.OpExecutionContext, config: DayConfig, store: StoreResource
        ) -> Iterator[dg.Output[Any] | dg.DynamicOutput[Any]]:
            from mlops_assets.prediction.areas.day import day_job

            opened = store.open()
            row = _pinned(opened, context, specification, config.model_version)
            tags = {
                AREA: specification.name,
                MODEL: specification.model,
                MODEL_VERSION: row.version,
            }
            tag_run(context, opened.user, tags)
            day = date.fromisoformat(context.partition_key)
            area = config.applied(specification)
            job = day_job(opened, area, row, day, config.sources)
            context.log.info(f"{job.name}: scenes: {len(job.scenes)}; {row.model}@{row.version}")
            yield from planned(opened, [job])

        return plan

    def _publish(self) -> dg.OpDefinition:
        @dg.op(
            name=f"{self.specification.name}__publish",
            ins={"jobs": dg.In(list), "predicted": dg.In(list)},
            out=dg.Out(dg.Nothing),
            description="Makes one map of the parts and publishes it with its record.",
        )
        @retried
        def publish(
            context: dg.OpExecutionContext,
            store: StoreResource,
            jobs: list[dict[str, Any]],
            predicted: list[int],
        ) -> Iterator[dg.Output[None]]:
            opened = store.open()
            made = published(opened, jobs[0], context)
            context.log_event(observation_of(made.map))
            # of a parameter that is beta, which is ours to follow
            with disable_dagster_warnings():
                output = dg.Output(
                    None,
                    data_version=map_version(made.map),
                    metadata=map_metadata(opened, made),
                    tags=map_tags(opened, made.map),
                )
            yield output
            # the sensor does not request again what somebody has mapped
            tag_run(context, opened.user, {LISTING: _listing(jobs[0])})
            remove_step_values(opened, context)

        return publish


def _pinned(
    store: "Store",
    context: dg.OpExecutionContext,
    specification: AreaSpecification,
    wanted: str | None,
) -> "ModelVersion":
    """Return the model version of a run: what it was launched for, whatever happens meanwhile."""
    from mlops_assets.names import Reference

    launched = context.run.tags.get(MODEL_VERSION)
    what = wanted or launched or specification.alias
    return store.registry.model_version(Reference(specification.model, what))


def _listing(document: dict[str, Any]) -> str:
    """Return the digest of the listing that the scenes of a map are."""
    from mlops_assets.prediction.job import MapJob
    from mlops_assets.prediction.scenes.by_day import ScenesByDay

    job = MapJob.from_json(document)
    return "" if job.day is None else ScenesByDay.of(job.scenes).digest(job.day)


def with_outline(specification: AreaSpecification, folder: Path) -> AreaSpecification:
    """Return an area with its outline, where the declaration names a file.

    Args:
        specification: as declared.
        folder: that the declaration is in.

    Raises:
        SpecificationError: the file cannot be read.
    """
    if not isinstance(specification.area, str):
        return specification
    beside = folder if folder.is_dir() else folder.parent
    try:
        found = read_outline(beside / specification.area)
    except SpecificationError as error:
        # the last cause is what is reported of a declaration
        raise SpecificationError(f"attributes.area: {error}") from None
    return specification.model_copy(update={"area": found})
