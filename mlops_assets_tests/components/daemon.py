"""A sensor evaluated again and again as Dagster's daemon does.

With its cursor, its events reported, its runs made.
"""

from __future__ import annotations

import dagster as dg
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.definitions.partitions.context import partition_loading_context
from dagster._core.loader import LoadingContextForTest

from mlops_assets.components import TrainingDataset
from mlops_assets.datasets.specification.dataset import DatasetSpecification
from resources import StoreResource


class Daemon:
    """Evaluates one sensor, and runs what it asks for.

    `reason` is why the last tick skipped; `cursor` and `events` are what it left.
    """

    def __init__(
        self, definitions: dg.Definitions, sensor: str, instance: dg.DagsterInstance
    ) -> None:
        self.definitions, self.instance = definitions, instance
        self.resources = dict(definitions.resources or {})
        self.sensor = definitions.resolve_sensor_def(sensor)
        self.cursor: str | None = None
        self.reason: str | None = None
        self.events: list[dg.AssetObservation] = []

    def tick(self) -> list[dg.RunRequest]:
        """Evaluate the sensor and return the runs it asks for."""
        resources = {name: self.resources[name] for name in self.sensor.required_resource_keys}
        with (
            partition_loading_context(dynamic_partitions_store=self.instance),
            dg.build_sensor_context(
                self.instance, self.cursor, definitions=self.definitions, resources=resources
            ) as context,
        ):
            found = self.sensor.evaluate_tick(context)
        self.cursor, self.reason = found.cursor, found.skip_message
        self.events = list(found.asset_events)  # type: ignore[arg-type]
        for event in self.events:
            self.instance.report_runless_asset_event(event)
        return list(found.run_requests or [])

    def run(self, *requests: dg.RunRequest) -> bool:
        """Run the sensor's job, as requested or by hand; whether every run succeeded."""
        job = self.definitions.resolve_job_def(str(self.sensor.job_name))
        return all(
            job.execute_in_process(
                instance=self.instance,
                partition_key=request.partition_key,
                run_config=request.run_config or None,
                tags=dict(request.tags),
                raise_on_error=False,
            ).success
            for request in requests or [dg.RunRequest()]
        )


def is_stale(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    key: str,
    partition: str | None = None,
) -> bool:
    """True if Dagster's UI shows an asset, or a partition of it, out of date."""
    graph = definitions.resolve_asset_graph()
    resolver = CachingStaleStatusResolver(instance, graph, LoadingContextForTest(instance))
    return resolver.get_status(dg.AssetKey(key.split("/")), partition) == StaleStatus.STALE


class LandingDaemon(Daemon):
    """Evaluates the sensor `new_data` of a dataset declared alone."""

    def __init__(self, specification: DatasetSpecification, instance: dg.DagsterInstance) -> None:
        self.name = specification.name
        built = TrainingDataset(specification).build_defs(None)  # type: ignore[arg-type]
        common = dg.Definitions(
            resources={"store": StoreResource()}, executor=dg.in_process_executor
        )
        super().__init__(dg.Definitions.merge(built, common), f"{self.name}_new_data", instance)

    def versions(self) -> list[str]:
        """The data versions that Dagster knows."""
        return list(self.instance.get_dynamic_partitions(f"{self.name}_versions"))

    def landing_is_stale(self) -> bool:
        """True if Dagster's UI shows the landing out of date."""
        return is_stale(self.definitions, self.instance, f"{self.name}/landing")
