"""A project of 100 datasets and 100 models, with 1,000 versions of each, as a team has it in years.

Rows are written by SQL: reading is measured, not writing. The files of the versions are not there.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import psycopg
import yaml
from dagster._core.events import StepMaterializationData  # noqa: F401 - unpacks events
from sqlalchemy import create_engine, insert, text
from sqlalchemy.engine import make_url

from mlops_assets.registry import Alias, DataVersion, ModelVersion, Registry, Run

MODELS = 100
VERSIONS = 1_000
PACKAGE = "many_models"
STARTED = datetime(2026, 1, 1, tzinfo=UTC)
# assets that have a materialisation of each version
_MATERIALISED = ("{dataset}/record", "{model}/record")
_KEY, _PARTITION = "template_key", "template_partition"


@dataclass(frozen=True)
class ScaleProject:
    """A project on disk and its databases.

    Attributes:
        folder: of the project.
        registry: URL of the registry.
        home: of the Dagster instance.
    """

    folder: Path
    registry: str
    home: Path

    @property
    def environment(self) -> dict[str, str]:
        """Settings of its processes."""
        return {
            "MLOPS_WORKSPACE": str(self.folder / "workspace"),
            "MLOPS_REGISTRY": self.registry,
            "DAGSTER_HOME": str(self.home),
        }

    @property
    def module(self) -> str:
        """Its definitions."""
        return f"{PACKAGE}.definitions"


def dataset_name(number: int) -> str:
    """Return the name of a dataset."""
    return f"dataset_{number}"


def model_name(number: int) -> str:
    """Return the name of the model that is trained on the dataset of the same number."""
    return f"model_{number}"


def make_project(folder: Path, url: str) -> ScaleProject:
    """Write the project, and fill its registry and its Dagster instance.

    Args:
        folder: where it is written.
        url: of a database of PostgreSQL that is empty; a second one is made beside it.
    """
    project = ScaleProject(folder, url, folder / "dagster")
    _write(project)
    Registry(url).close()
    _fill_registry(url)
    _fill_dagster(project)
    return project


def _write(project: ScaleProject) -> None:
    package = project.folder / PACKAGE
    (package / "defs").mkdir(parents=True)
    project.home.mkdir()
    (project.folder / "workspace").mkdir()
    (package / "__init__.py").touch()
    (package / "definitions.py").write_text(
        "import dagster as dg\n\nfrom mlops_assets.components import load_project\n\n\n"
        "@dg.definitions\ndef defs() -> dg.Definitions:\n    return load_project(__file__)\n"
    )
    (project.folder / "pyproject.toml").write_text(
        f'[tool.dg]\ndirectory_type = "project"\n\n[tool.dg.project]\nroot_module = "{PACKAGE}"\n'
        f'code_location_name = "{PACKAGE}.definitions"\n'
    )
    for number in range(MODELS):
        place = package / "defs" / dataset_name(number)
        place.mkdir()
        documents = (_dataset(number, project.folder), _model(number))
        (place / "defs.yaml").write_text(yaml.safe_dump_all(documents, sort_keys=False))
    own = make_url(project.registry)
    database = own.set(drivername="postgresql+psycopg2", database="dagster")
    (project.home / "dagster.yaml").write_text(
        yaml.safe_dump(
            {
                "telemetry": {"enabled": False},
                "storage": {
                    "postgres": {
                        "postgres_url": database.render_as_string(hide_password=False),
                    }
                },
            }
        )
    )


def _dataset(number: int, folder: Path) -> dict[str, object]:
    landing = folder / "landing" / dataset_name(number)
    landing.mkdir(parents=True)
    return {
        "type": "mlops_assets.components.TrainingDataset",
        "attributes": {
            "name": dataset_name(number),
            "source": {"url": str(landing), "layout": "image_folder"},
            "sensor": {"status": "running"},
        },
    }


def _model(number: int) -> dict[str, object]:
    return {
        "type": "mlops_assets.components.TrainedModel",
        "attributes": {
            "name": model_name(number),
            "dataset": dataset_name(number),
            "task": "classification",
            "trainer": "mlops_assets.training.trainers.sklearn:train",
            "params": {"estimator": "sklearn.ensemble.RandomForestClassifier"},
            "auto_train": number % 2 == 0,
        },
    }


def _fill_registry(url: str) -> None:
    """Record versions of the first dataset and model, and copies of them for all others."""
    engine = create_engine(url)
    names = ["accuracy", "macro_f1", "kappa", *(f"f1/class {number}" for number in range(10))]
    metrics = dict.fromkeys(names, 0.123456789)
    signature = {
        "view": "patch",
        "shape": [10, 9, 9],
        "features": [f"band_{number}" for number in range(10)],
        "classes": [{"name": f"class {number}", "value": number} for number in range(10)],
    }
    data, runs, versions = [], [], []
    for number in range(1, VERSIONS + 1):
        created = STARTED + timedelta(hours=number)
        version = f"v{number}"
        data.append(
            {
                "dataset": dataset_name(0),
                "version": version,
                "number": number,
                "digest": f"{number:064d}",
                "created": created,
                "created_by": "ann",
                "files": 10_000,
                "samples": 10_000,
                "size": 1 << 30,
                "specification": {},
                "counts": {"train": 7_000, "validation": 1_000, "test": 2_000},
            }
        )
        made = {
            "model": model_name(0),
            "run_id": f"{number:036d}",
            "dataset": dataset_name(0),
            "data_version": version,
            "data_digest": f"{number:064d}",
            "metrics": metrics,
        }
        runs.append(
            made
            | {
                "status": "succeeded",
                "parameters": {"learning_rate": 0.001, "epochs": 10},
                "seed": 0,
                "trainer": "mlops_assets.training.trainers.sklearn:train",
                "code_version": "1a2b3c4d5e6f",
                "hardware": {},
                "started": created,
                "finished": created + timedelta(minutes=5),
                "host": "node",
                "pid": 1,
                "model_version": f"{version}-{number:08x}",
                "created_by": "ann",
                "seconds": 300.0,
            }
        )
        versions.append(
            made
            | {
                "version": f"{version}-{number:08x}",
                "task": "classification",
                "framework": "sklearn",
                "signature": signature,
                "stage": "recorded",
                "created": created + timedelta(minutes=5),
                "visibility": "workspace",
            }
        )
    aliases = [
        {
            "model": model_name(0),
            "alias": "production",
            "version": versions[-1]["version"],
            "since": STARTED,
        }
    ]
    with engine.begin() as connection:
        for table, rows in (
            (DataVersion, data),
            (Run, runs),
            (ModelVersion, versions),
            (Alias, aliases),
        ):
            connection.execute(insert(table), rows)
            columns = [column.name for column in table.__table__.columns]
            own = {
                "dataset": "'dataset_' || n",
                "model": "'model_' || n",
                "run_id": "lpad(n || '', 6, '0') || substr(run_id, 7)",
                "digest": "lpad(n || '', 6, '0') || substr(digest, 7)",
            }
            wanted = ", ".join(own.get(name, f'"{name}"') for name in columns)
            quoted = ", ".join(f'"{name}"' for name in columns)
            name = table.__tablename__
            connection.execute(
                text(
                    f"INSERT INTO {name} ({quoted}) SELECT {wanted} FROM {name},"
                    f" generate_series(1, {MODELS - 1}) AS n"
                )
            )
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE"))
        connection.execute(text("CREATE DATABASE dagster"))
    engine.dispose()


def _fill_dagster(project: ScaleProject) -> None:
    """Make all partitions known, and materialise them all but the newest of each."""
    instance = dg.DagsterInstance.from_config(str(project.home))
    instance.report_runless_asset_event(dg.AssetMaterialization(_KEY, partition=_PARTITION))
    names = [
        each.format(dataset=dataset_name(number), model=model_name(number))
        for number in range(MODELS)
        for each in _MATERIALISED
    ]
    instance.dispose()
    paths = [json.dumps(name.split("/")) for name in names]
    yaml_text = yaml.safe_load((project.home / "dagster.yaml").read_text())
    url = yaml_text["storage"]["postgres"]["postgres_url"].replace("+psycopg2", "")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO dynamic_partitions (partitions_def_name, partition)"
            " SELECT 'dataset_' || d || '_versions', 'v' || v"
            " FROM generate_series(0, %s) AS d, generate_series(1, %s) AS v ORDER BY d, v",
            (MODELS - 1, VERSIONS),
        )
        connection.execute("CREATE TEMP TABLE wanted (path text)")
        with connection.cursor().copy("COPY wanted FROM STDIN") as copy:
            for path in paths:
                copy.write_row((path,))
        template = f'["{_KEY}"]'
        for table in ("asset_keys", "event_logs"):
            found = connection.execute(
                "SELECT column_name FROM information_schema.columns WHERE table_name = %s"
                " AND column_name <> 'id'",
                (table,),
            ).fetchall()
            columns = [name for (name,) in found]
            versions = f"generate_series(1, {VERSIONS - 1}) AS v"
            own = {"asset_key": "path", "partition": "'v' || v"}
            if table == "event_logs":
                event = f"replace(event, '{_PARTITION}', 'v' || v)"
                own["event"] = f"replace({event}, '\"path\": {template}', '\"path\": ' || path)"
            chosen = ", ".join(own.get(name, f"{table}.{name}") for name in columns)
            beside = f", {versions}" if table == "event_logs" else ""
            connection.execute(
                f"INSERT INTO {table} ({', '.join(columns)}) SELECT {chosen} FROM {table},"
                f" wanted{beside} WHERE asset_key = %s",
                (template,),
            )
        connection.execute("ANALYZE")
