"""Publishing one more data version, or model version, when few exist and when very many do.

Issue 15 wants no more than twice the files and the time for 10,000 that there are for 10. Those
that exist are copies of one that was really published, written by one transaction. Measured is the
CPU time of the calling process, in turns of both workspaces, and the files that it writes.
"""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.options import Options
from benchmarks.tables import median, print_table
from mlops_assets.datasets.commit.commit import commit
from mlops_assets.datasets.specification.dataset import DatasetSpecification
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.models.evaluation.evaluate import evaluate_version
from mlops_assets.models.export.export import export
from mlops_assets.models.record import record_version
from mlops_assets.models.specification import ModelSpecification
from mlops_assets.names import Reference
from mlops_assets.paths import (
    dataset_catalog_key,
    model_collection_key,
    record_owner,
)
from mlops_assets.principals import local
from mlops_assets.registry import DataVersion, ModelVersion, Registry, Run
from mlops_assets.registry.schema import Base
from mlops_assets.stac.catalog import CatalogWriter, record_key
from mlops_assets.stac.datasets import write_dataset_record
from mlops_assets.stac.version_links import link_versions_anew
from mlops_assets.storage import Workspace
from mlops_assets.store import Store
from mlops_assets.training.request import TrainingRequest
from mlops_assets.training.train import train

FEW = 10
MANY = 10_000
ROUNDS = 5
WANTED = 2.0
ROWS = 300
DATASET = DatasetSpecification.model_validate(
    {
        "name": "fields",
        "source": {"url": "landing/fields", "layout": "table", "table": {"label": "crop"}},
    }
)
TREE: dict[str, object] = {"estimator": "sklearn.tree.DecisionTreeClassifier"}
MODEL = ModelSpecification.model_validate(
    {
        "name": "crops",
        "dataset": "fields",
        "task": "classification",
        "trainer": "mlops_assets.training.trainers.sklearn:train",
    }
)


@dataclass(frozen=True)
class Existing:
    """A workspace with some versions of a dataset and of a model on it.

    Attributes:
        store: the workspace and its registry.
        folder: of the workspace.
    """

    store: Store
    folder: Path

    @classmethod
    def make(cls, folder: Path, versions: int) -> Existing:
        """Publish a data version and a model version, and copy them."""
        folder.mkdir()
        registry = Registry(f"sqlite:///{folder / 'registry.db'}").acting(local("benchmark"))
        found = cls(Store(Workspace(folder.as_uri()), registry), folder)
        found.publish_data(0)
        found.publish_model(found.evaluated_model(0))
        registry = found.store.registry
        found._copy(registry.data_version(Reference("fields", "v1")), versions - 1)
        found._copy(registry.model_version(Reference("crops")), versions - 1)
        return found

    def publish_data(self, seed: int) -> None:
        """Commit and record one more data version."""
        self.land(seed)
        self.commit()

    def land(self, seed: int) -> None:
        """Land samples that are in no version yet."""
        rng = np.random.default_rng(seed)
        landing = self.folder / "landing" / "fields"
        landing.mkdir(parents=True, exist_ok=True)
        values = {f"ndvi_{month:02d}": rng.random(ROWS).round(5) for month in range(1, 7)}
        crops = rng.choice(["wheat", "maize", "fallow"], ROWS)
        pd.DataFrame({**values, "crop": crops}).to_csv(landing / "samples.csv", index=False)

    def commit(self) -> None:
        """Commit and record what has landed."""
        workspace, registry = self.store.workspace, self.store.registry
        commit(workspace, registry, DATASET)
        newest = registry.data_version(Reference("fields"))
        reference = Reference("fields", newest.version)
        write_dataset_record(
            workspace, registry, CommittedDataset.open(workspace, registry, reference)
        )

    def evaluated_model(self, seed: int) -> ModelVersion:
        """Return one more model version, which has no record yet."""
        request = TrainingRequest(
            specification=MODEL, data_version="v1", parameters=TREE, seed=seed
        )
        row = train(self.store, request)
        export(self.store, MODEL, row)
        evaluate_version(self.store, MODEL, row)
        return row

    def publish_model(self, row: ModelVersion) -> None:
        """Record a model version."""
        record_version(self.store, MODEL, row)

    def files(self) -> dict[Path, tuple[int, int]]:
        """Return the published files, each with its inode and time."""
        folders = ("catalog", "datasets", "log", "models", "objects")
        return {
            path: (path.stat().st_ino, path.stat().st_mtime_ns)
            for folder in folders
            for path in (self.folder / folder).rglob("*")
            if path.is_file()
        }

    def _copy(self, row: DataVersion | ModelVersion, count: int) -> None:
        """Record copies of a version and of its record, in one transaction each."""
        registry = self.store.registry
        writer = CatalogWriter(self.store.workspace, registry)
        own = re.compile(rf"\b{row.version}\b(?!\.)")
        document = json.dumps(writer.read(record_key(row)))
        run = None if isinstance(row, DataVersion) else registry.run(row.run_id)
        with registry.transaction("copy versions") as session:
            for number in range(2, count + 2):
                copies = _copies(row, run, number)
                session.add_all(copies)
                version: Any = copies[0]
                owner = record_owner(self._name(row), version.version)
                record = json.loads(own.sub(version.version, document))
                writer.write(record_key(version), record, owner)
        is_data = isinstance(row, DataVersion)
        name = self._name(row)
        parent = dataset_catalog_key(name) if is_data else model_collection_key(name)
        rel = "child" if is_data else "item"
        read = writer.read(parent)
        others = [link for link in read["links"] if link["rel"] != rel]
        links = [*others, *link_versions_anew(writer, row, parent, rel)]
        writer.write(parent, {**read, "links": links}, record_owner(name, row.version))
        with writer.publishing() as records:
            registry.add_records(records)

    def _name(self, row: DataVersion | ModelVersion) -> str:
        return row.dataset if isinstance(row, DataVersion) else row.model


def measure(options: Options) -> None:
    """Print files and CPU milliseconds of one publication, beside few and beside many."""
    sides = [Existing.make(options.folder / str(count), count) for count in (FEW, MANY)]
    rows = []
    for what, prepare in (
        ("a data version: commit and record", _land),
        ("a model version: its record", _evaluate),
    ):
        times: list[list[float]] = [[], []]
        written: list[list[int]] = [[], []]
        for number in range(max(ROUNDS, options.rounds) + 1):
            for side, own, files in zip(sides, times, written, strict=True):
                publish = prepare(side, number + 1)
                before = side.files()
                started = time.process_time()
                publish()
                taken = 1000 * (time.process_time() - started)
                after = side.files()
                if number:  # the first one imports
                    own.append(taken)
                    files.append(sum(before.get(path) != stamp for path, stamp in after.items()))
        figures = [median(own) for own in times]
        counts = [median(own) for own in written]
        rows.append(
            (
                what,
                *(
                    f"{files:.0f}, {taken:.0f}"
                    for files, taken in zip(counts, figures, strict=True)
                ),
                f"{counts[1] / counts[0]:.2f}",
                f"{figures[1] / figures[0]:.2f}",
                f"{WANTED:g}",
            )
        )
    names = [f"{count:,} exist: files, CPU ms" for count in (FEW, MANY)]
    print_table(("publishing one more", *names, "× files", "× CPU", "wanted"), rows)
    for side in sides:
        side.store.registry.close()


def _land(side: Existing, seed: int) -> Callable[[], None]:
    side.land(seed)
    return side.commit


def _evaluate(side: Existing, seed: int) -> Callable[[], None]:
    row = side.evaluated_model(seed)
    return lambda: side.publish_model(row)


def _copies(row: DataVersion | ModelVersion, run: Run | None, number: int) -> list[Base]:
    """Return the rows of one more version, older than the one that is copied if it is a model's."""
    if run is None:
        changes: dict[str, object] = {
            "version": f"v{number}",
            "number": number,
            "digest": f"{number:064x}",
        }
        return [_copied(row, changes)]
    version = f"v1-{number:08x}"
    own = str(uuid.UUID(int=number))
    created = row.created - timedelta(minutes=number)
    return [
        _copied(row, {"version": version, "run_id": own, "created": created}),
        _copied(run, {"run_id": own, "model_version": version}),
    ]


def _copied(row: Any, changes: dict[str, object]) -> Any:
    columns = {column.name: getattr(row, column.name) for column in type(row).__table__.columns}
    return type(row)(**{**columns, **changes})
