"""The asset `<area>/record[day]`: the STAC Item of a map, and the check of its share outside."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from mlops_assets.components.areas.results import outside_metadata
from mlops_assets.components.graph.kinds import workspace_kinds
from mlops_assets.components.graph.retries import retried
from mlops_assets.components.naming import (
    AREA,
    MODEL,
    MODEL_VERSION,
    ONE_RUN_A_VERSION,
    check_results,
    tag_run,
)
from mlops_assets.datasets.quality import Check
from mlops_assets.names import Reference
from mlops_assets.prediction.areas.specification import AreaSpecification
from resources import StoreResource

APPLICABLE = "max_outside"


def record_asset(
    specification: AreaSpecification, days: dg.PartitionsDefinition[str]
) -> dg.AssetsDefinition:
    """Return the asset of the records of an area's maps."""
    name = specification.name
    checks = []
    if specification.max_outside is not None:
        checks.append(
            dg.AssetCheckSpec(
                APPLICABLE,
                asset=[name, "record"],
                description=(
                    f"At most {specification.max_outside:.0%} of the map is outside the model's"
                    " area of applicability. A warning means that the share is unknown."
                ),
                partitions_def=days,
            )
        )

    @dg.asset(
        key=[name, "record"],
        group_name=name,
        deps=[[name, "prediction"]],
        partitions_def=days,
        backfill_policy=ONE_RUN_A_VERSION,
        description="STAC Item of the map, in the static catalogue and the API.",
        check_specs=checks,
        kinds={"stac", *workspace_kinds()},
    )
    @retried
    def record(
        context: dg.AssetExecutionContext, store: StoreResource
    ) -> Iterator[dg.MaterializeResult[Any]]:
        from mlops_assets.prediction.areas.day import map_of_day
        from mlops_assets.registry.files.verified_read import read_published
        from mlops_assets.stac.catalog import is_private
        from mlops_assets.stac.maps.document import read_document
        from mlops_assets.stac.maps.item import item_key

        opened = store.open()
        # that of the run, whose first step may have set it; the newest if this step runs alone
        run = context.instance.get_run_by_id(context.run.run_id)
        version = None if run is None else run.tags.get(MODEL_VERSION)
        row = map_of_day(opened, specification, context.partition_key, version)
        tags = {AREA: name, MODEL: row.model, MODEL_VERSION: row.version}
        tag_run(context, opened.user, tags)
        made_by = opened.registry.model_version(Reference(row.model, row.version))
        key = item_key(read_document(opened, row), is_private(made_by))
        # fails if it is not as it was published
        read_published(opened.workspace, opened.registry, key)
        yield dg.MaterializeResult(
            data_version=dg.DataVersion(row.digest),
            metadata={
                "model_version": row.version,
                "item": dg.MetadataValue.path(opened.workspace.where(key)),
                "collection": row.collection,
                **outside_metadata(row),
            },
            check_results=check_results(
                []
                if specification.max_outside is None
                else [_applicable(row.outside, specification)]
            ),
        )

    return record


def _applicable(outside: float | None, specification: AreaSpecification) -> Check:
    """Return the check of the share outside; an unknown share is a warning."""
    limit = specification.max_outside or 0.0
    if outside is None:
        text = (
            f"{specification.model} has no area of applicability yet: materialise"
            f" {specification.model}/applicability, then predict the day again"
        )
        return Check(APPLICABLE, False, text, False)
    text = (
        f"{outside:.1%} of the map is outside the area of applicability; at most {limit:.0%} is"
        " allowed"
    )
    return Check(APPLICABLE, outside <= limit, text, True, {"outside": outside})
