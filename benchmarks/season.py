"""One simulated season of a model in use: 90 days of requests, three drifts, labels ten days late.

The pixels are those of Indian Pines (June 1992). A forest is trained on a part of the western half.
Requests are drawn from pixels that were never trained on: of the west for 30 days, then of the
eastern half, then with another gain and offset, then with noise. Labels come ten days later; those
of the first eastern days are landed as the second version of the dataset. Everything is done by the
platform: requests by `log_samples`, labels by `add_truth`, days by `monitor_day`, retraining by the
sensor and the lifecycle in Dagster.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
from dagster._core.definitions.partitions.context import partition_loading_context
from numpy.typing import NDArray

from benchmarks.options import Options
from benchmarks.tables import print_table
from mlops_assets.cli.demo import load_indian_pines
from mlops_assets.components import TrainedModel, TrainingDataset
from mlops_assets.components.naming import add_data_versions
from mlops_assets.components.sensors.retrain import retrain_sensor
from mlops_assets.datasets.commit.commit import commit
from mlops_assets.datasets.specification.dataset import DatasetSpecification
from mlops_assets.lineage.alarms import alarm_lineage
from mlops_assets.models.onnx.session import OnnxModel
from mlops_assets.models.specification import ModelSpecification
from mlops_assets.monitoring.alarms import AlarmChange, consequences
from mlops_assets.monitoring.day import monitor_day
from mlops_assets.monitoring.document import MonitoringDocument, VersionDay
from mlops_assets.monitoring.performance.dissimilarity import SampleIndex
from mlops_assets.monitoring.truth.add import add_truth
from mlops_assets.monitoring.truth.label_table import label_table
from mlops_assets.names import Reference
from mlops_assets.paths import model_folder
from mlops_assets.prediction.mapped import MapIndex
from mlops_assets.registry import ModelVersion
from mlops_assets.registry.files.verified_read import published_path
from mlops_assets.registry.model_documents import Signature
from mlops_assets.serving.request_log.client import log_samples
from mlops_assets.serving.specification import ServiceSpecification
from mlops_assets.settings import Settings
from mlops_assets.store import Store, open_store
from resources import MlflowMirror, StoreResource

MODEL, DATASET = "season_forest", "season_pixels"
START = date(2026, 6, 1)
DAYS, REQUESTS, LATE = 90, 1000, 10
# first day of each phase, counted from 1
EAST, GAIN, NOISE = 31, 61, 76
# eastern pixels of the first five days are landed once the labels of the last of them are known
LANDED, LANDING = range(31, 36), 45
BANDS = 20  # means of ten neighbouring bands of the sensor
MIN_PIXELS = 100  # of a class in each half
GAIN_BY, OFFSET_BY, NOISE_BY = 1.15, 250.0, 0.12


@dataclass(frozen=True)
class Pixels:
    """Labelled pixels.

    Attributes:
        X: means of bands, (n, BANDS), digital numbers.
        y: names of their classes, (n,).
    """

    X: NDArray[np.float32]
    y: NDArray[np.str_]

    def take(self, index: NDArray[np.int64]) -> Pixels:
        """Return some of them."""
        return Pixels(self.X[index], self.y[index])

    def table(self) -> pd.DataFrame:
        """Return them as they are landed."""
        columns = {f"b{band:02}": self.X[:, band].round(2) for band in range(self.X.shape[1])}
        return pd.DataFrame({**columns, "crop": self.y})


@dataclass(frozen=True)
class Pools:
    """Pixels by what they are for; none is in two of them.

    Attributes:
        trained: of the west, landed as v1.
        west: of the west, held out.
        east_landed: of the east, requested on the first days, then landed.
        east: of the east, held out.
    """

    trained: Pixels
    west: Pixels
    east_landed: Pixels
    east: Pixels


@dataclass
class Season:
    """What a season came to.

    Attributes:
        documents: of each day, as of its last measurement.
        first: of each day, before its labels came.
        changes: of alarms, by the day on which they were made.
        requested: days on which a lifecycle was requested.
        truth: of each day with samples inside the area of applicability, the accuracy there, which
            is what the estimate is of.
        seconds: of the processor, by what they were used for.
    """

    documents: dict[int, MonitoringDocument] = field(default_factory=dict)
    first: dict[int, MonitoringDocument] = field(default_factory=dict)
    changes: list[tuple[int, AlarmChange]] = field(default_factory=list)
    requested: list[int] = field(default_factory=list)
    truth: dict[int, float] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def estimate_error(self, day: int) -> float | None:
        """Return estimate minus truth of a day; None if it was not estimable."""
        found = self.first[day].versions[0].estimate
        if found is None or found.value is None or day not in self.truth:
            return None
        return found.value.value - self.truth[day]

    def live(self, day: int) -> float | None:
        """Return the live accuracy of a day; None before its labels came."""
        found = self.busiest(day).live
        return None if found is None else found.metrics["accuracy"].value

    def busiest(self, day: int) -> VersionDay:
        """Return the version with most requests on a day, as of the last measurement."""
        return self.documents[day].versions[0]

    def failed(self, day: int) -> list[str]:
        """Return the rules that had failed on a day before its labels came."""
        return [
            rule.name
            for version in self.first[day].versions
            for rule in version.rules
            if rule.verdict == "failed"
        ]


def pools(seed: int = 0) -> Pools:
    """Return the pixels of Indian Pines by what they are for."""
    scene, labels = load_indian_pines()
    means = scene.reshape(BANDS, -1, *scene.shape[1:]).mean(axis=1)
    half = labels.shape[1] // 2
    is_west = np.broadcast_to(np.arange(labels.shape[1]) < half, labels.shape)
    counts = [np.bincount(labels[side], minlength=17) for side in (is_west, ~is_west)]
    classes = np.flatnonzero((counts[0] >= MIN_PIXELS) & (counts[1] >= MIN_PIXELS))
    rng = np.random.default_rng(seed)

    def of(side: NDArray[np.bool_]) -> Pixels:
        chosen = side & np.isin(labels, classes[classes > 0])
        X = means[:, chosen].T.astype(np.float32)
        found = Pixels(X, np.char.add("class_", labels[chosen].astype(str)))
        return found.take(rng.permutation(len(X)))

    west, east = of(is_west), of(~is_west)
    cut, middle = len(west.y) * 6 // 10, len(east.y) // 2
    return Pools(
        trained=west.take(np.arange(cut)),
        west=west.take(np.arange(cut, len(west.y))),
        east_landed=east.take(np.arange(middle)),
        east=east.take(np.arange(middle, len(east.y))),
    )


def drawn(of: Pools, day: int, rng: np.random.Generator) -> Pixels:
    """Return the pixels that are requested on a day."""
    pool = of.west if day < EAST else of.east_landed if day in LANDED else of.east
    found = pool.take(rng.choice(len(pool.y), REQUESTS, replace=len(pool.y) < REQUESTS))
    X: NDArray[np.floating[Any]] = found.X
    if GAIN <= day < NOISE:
        X = X * GAIN_BY + OFFSET_BY
    elif day >= NOISE:
        X = X * (1 + rng.normal(0, NOISE_BY, X.shape))
    return Pixels(X.astype(np.float32), found.y)


PHASES = {
    "west, where it was trained": range(1, EAST),
    "another part of the scene": range(EAST, LANDING + 1),
    "the same, retrained": range(LANDING + 1, GAIN),
    "gain and offset": range(GAIN, NOISE),
    "noise": range(NOISE, DAYS + 1),
}


class Simulation:
    """A season of one model in a workspace of its own."""

    def __init__(self, store: Store, instance: dg.DagsterInstance, seed: int = 0) -> None:
        self.store = store
        self.instance = instance
        self.rng = np.random.default_rng(seed)
        self.pools = pools(seed)
        self.season = Season()
        self.service = ServiceSpecification.model_validate(
            {
                "name": "season_service",
                "model": MODEL,
                "start": START,
                "retrain": {"enabled": True, "days": 2, "of": 3, "cooldown_days": 20},
            }
        )
        self.dataset = DatasetSpecification.model_validate(
            {
                "name": DATASET,
                "source": {
                    "url": f"landing/{DATASET}",
                    "layout": "table",
                    "table": {"label": "crop"},
                },
                "split": {"fractions": {"train": 0.6, "validation": 0.2, "test": 0.2}},
            }
        )
        self.definitions = self._definitions()
        self.sensor = self.definitions.resolve_sensor_def(f"{MODEL}_retrain")
        self.cursor: str | None = None
        self.reasons: dict[int, str] = {}
        self._models: dict[str, OnnxModel] = {}
        self._indices: dict[str, SampleIndex] = {}
        self._truth: dict[int, pd.DataFrame] = {}

    def run(self, days: int = DAYS) -> Season:
        """Simulate the days of a season."""
        self._land("v1.csv", self.pools.trained)
        self._lifecycle("v1", {})
        for day in range(1, days + 1):
            self._request(day)
            self._monitor(day, self.season.first)
            if day > LATE:
                self._label(day - LATE)
                self._monitor(day - LATE)
            if day == LANDING:
                self._land("v2.csv", self.pools.east_landed)
            for request in self._tick(day):
                self.season.requested.append(day)
                self._lifecycle(str(request.partition_key), dict(request.tags))
        return self.season

    def _definitions(self) -> dg.Definitions:
        model = ModelSpecification.model_validate(
            {
                "name": MODEL,
                "dataset": DATASET,
                "task": "classification",
                "trainer": "mlops_assets.training.trainers.sklearn:train",
                "params": {
                    "estimator": "sklearn.ensemble.RandomForestClassifier",
                    "n_estimators": 60,
                    "min_samples_leaf": 3,
                },
                "gates": [{"metric": "accuracy", "not_worse_than": "production"}],
                "auto_promote": True,
            }
        )
        sensor = retrain_sensor(self.service, f"{MODEL}_lifecycle")
        return dg.Definitions.merge(
            TrainingDataset(self.dataset).build_defs(None),  # type: ignore[arg-type]
            TrainedModel(model).build_defs(None),  # type: ignore[arg-type]
            dg.Definitions(
                sensors=[sensor] if sensor else [],
                resources={"store": StoreResource(), "mlflow": MlflowMirror()},
                executor=dg.in_process_executor,
            ),
        )

    def _land(self, name: str, pixels: Pixels) -> None:
        with self._counting("commits"):
            landing = self.store.workspace.root / self.dataset.source.url
            landing.mkdir(parents=True, exist_ok=True)
            pixels.table().to_csv(landing / name, index=False)
            commit(self.store.workspace, self.store.registry, self.dataset)
            add_data_versions(self.instance, self.store.registry, DATASET)

    def _lifecycle(self, version: str, tags: dict[str, str]) -> None:
        with self._counting("lifecycles"):
            job = self.definitions.resolve_job_def(f"{MODEL}_lifecycle")
            job.execute_in_process(
                instance=self.instance, partition_key=version, tags=tags, raise_on_error=False
            )

    def _production(self) -> ModelVersion:
        return self.store.registry.model_version(Reference(MODEL, "production"))

    def _model(self, row: ModelVersion) -> OnnxModel:
        if row.version not in self._models:
            key = f"{model_folder(row.model, row.version)}/model.onnx"
            path = published_path(self.store.workspace, self.store.registry, key)
            self._models[row.version] = OnnxModel(path)
        return self._models[row.version]

    def _request(self, day: int) -> None:
        with self._counting("requests"):
            row, asked = self._production(), drawn(self.pools, day, self.rng)
            found = self._model(row).predict(asked.X)
            midnight = datetime.combine(START + timedelta(days=day - 1), datetime.min.time(), UTC)
            ids = [f"{day:02}-{number:04}" for number in range(len(asked.y))]
            times = [midnight + timedelta(seconds=80 * number) for number in range(len(ids))]
            outputs = {"label": found["label"], "scores": found["scores"]}
            names = np.array([each.name for each in Signature.of(row).classes or []])
            is_right = names[found["label"]] == asked.y
            inside = self._inside(row, asked.X)
            if inside.any():
                self.season.truth[day] = float(is_right[inside].mean())
            log_samples(self.store, Reference(MODEL, row.version), asked.X, outputs, ids, times)
            self._truth[day] = pd.DataFrame({"id": ids, "label": asked.y})

    def _inside(self, row: ModelVersion, X: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Return whether samples are inside the area of applicability of a version."""
        if row.version not in self._indices:
            index = MapIndex.of(self.store, row)
            assert index is not None
            self._indices[row.version] = SampleIndex(index, Signature.of(row))
        found = self._indices[row.version]
        return np.asarray(found.applicability.inside(found.of(X)))

    def _label(self, day: int) -> None:
        with self._counting("labels"):
            table = label_table(self._truth.pop(day), f"labels of day {day}")
            add_truth(self.store, MODEL, table, name_of(day))

    def _monitor(self, day: int, kept: dict[int, MonitoringDocument] | None = None) -> None:
        with self._counting("monitoring"):
            document = monitor_day(self.store, self.service, name_of(day))
            self.season.documents[day] = document
            if kept is not None:
                kept[day] = document
            for change in consequences(self.store, self.service, document):
                self.season.changes.append((day, change))

    def _tick(self, day: int) -> list[dg.RunRequest]:
        with self._counting("sensor"):
            resources = {"store": StoreResource()}
            with (
                partition_loading_context(dynamic_partitions_store=self.instance),
                dg.build_sensor_context(
                    self.instance, self.cursor, definitions=self.definitions, resources=resources
                ) as context,
            ):
                found = self.sensor.evaluate_tick(context)
            self.cursor = found.cursor
            self.reasons[day] = str(found.skip_message)
            return list(found.run_requests or [])

    @contextmanager
    def _counting(self, name: str) -> Iterator[None]:
        """Count the seconds of the processor that are used within."""
        started = time.process_time()
        try:
            yield
        finally:
            spent = time.process_time() - started
            self.season.seconds[name] = self.season.seconds.get(name, 0.0) + spent


def name_of(day: int) -> str:
    """Return the date of a day of the season, counted from 1."""
    return str(START + timedelta(days=day - 1))


def rows_of(season: Season) -> Iterator[list[str]]:
    """Return a row for each phase: medians of its days."""
    for name, days in PHASES.items():
        known = [day for day in days if day in season.first]
        failed = [day for day in known if season.failed(day)]
        versions = [season.first[day].versions[0] for day in known]
        outside = [each.outside.share for each in versions if each.outside]
        psi = [each.drift.day.psi for each in versions if each.drift]
        separation = [each.drift.day.separation for each in versions if each.drift]
        estimated = [_estimate(each) for each in versions]
        errors = [error for day in known if (error := season.estimate_error(day)) is not None]
        live = [value for day in known if (value := season.live(day)) is not None]
        yield [
            name,
            f"{days[0]}-{days[-1]}",
            f"{len(failed)} of {len(known)}",
            str(failed[0]) if failed else "",
            *(_median(values) for values in (outside, psi, separation, estimated)),
            _median([season.truth.get(day) for day in known]),
            f"{max(map(abs, errors)):.3f}" if errors else "",
            _median(live),
        ]


HEADER = (
    *("phase", "days", "days with a failed rule", "first", "outside", "PSI", "AUC", "estimate"),
    *("truth inside", "largest error", "live accuracy"),
)


def _estimate(version: VersionDay) -> float | None:
    found = version.estimate
    return None if found is None or found.value is None else found.value.value


def _median(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{np.median(known):.3f}" if known else ""


def measure(options: Options) -> None:
    """Print what a season came to, by phase.

    It takes two minutes of one core, and more for the figures of the reports.
    """
    os.chdir(options.folder)
    (options.folder / "dagster").mkdir()
    logging.disable(logging.CRITICAL)
    store = open_store(Settings.from_environment({"MLOPS_WORKSPACE": "workspace"}))
    with dg.instance_for_test(temp_dir=str(options.folder / "dagster")) as instance:
        simulation = Simulation(store, instance)
        season = simulation.run()
    print_table(HEADER, rows_of(season))
    print(f"\nretraining requested on {season.requested}; seconds of the processor:")
    print(", ".join(f"{name} {seconds:.0f}" for name, seconds in season.seconds.items()))
    for alarm in store.registry.alarms(MODEL)[::-1]:
        print(alarm_lineage(store, alarm).line())
