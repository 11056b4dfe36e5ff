"""Fixtures that every test may use: an empty workspace, small real-shaped data, and no network."""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from mlops_assets.datasets.commit.commit import Commit, commit
from mlops_assets.datasets.io.rasters import open_raster
from mlops_assets.datasets.specification.dataset import DatasetSpecification
from mlops_assets.principals import local
from mlops_assets.registry import Registry
from mlops_assets.storage import Workspace
from mlops_assets.store import Store

# read when PyTorch is imported: workers must not spin for long
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
# as a shell has it for what it starts in the background
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
with suppress(ImportError), redirect_stderr(sys.__stderr__):
    # TensorFlow and JAX log by absl, which closes the stderr it was imported with when Dagster sets
    # logging up: imported in a test, that is pytest's own, and every later test fails
    import absl.logging  # noqa: F401

pytest_plugins = [
    f"mlops_assets_tests.servers.{name}"
    for name in ("buckets", "aws", "web", "postgres", "pgstac", "mlflow")
]
pytest_plugins.append("mlops_assets_tests.faults.tally")
_SERVERS = {
    "azure_server",
    "gcs_server",
    "mlflow_server",
    "moto_server",
    "pgstac",
    "postgres",
    "s3_server",
    "stac_api",
    "web_server",
}


@pytest.hookimpl(tryfirst=True)  # before `-m` selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that start a server.

    A parameter that names such a fixture at run time needs the mark itself.
    """
    for item in items:
        if isinstance(item, pytest.Function) and not _SERVERS.isdisjoint(item.fixturenames):
            item.add_marker("services")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test runs in an empty directory and with none of our settings in the environment."""
    for name in ("MLOPS_WORKSPACE", "MLOPS_REGISTRY", "MLOPS_USER", "MLOPS_MLFLOW", "DAGSTER_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLOPS_USER", "tester")
    # where the servers of the tests listen
    monkeypatch.setenv("MLOPS_TRUSTED_SOURCES", "127.0.0.1, localhost")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def restored_environment() -> Iterator[None]:
    """Put the environment back, whatever the product has put there."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def drawn() -> None:
    """Figures are drawn, for a test that reads them."""


@pytest.fixture(autouse=True)
def _undrawn(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are made but not drawn, unless `drawn` is asked for.

    That takes longer than most of a model's life.
    """
    if "drawn" not in request.fixturenames:
        monkeypatch.setattr(Figure, "savefig", _save_one_pixel)


def _save_one_pixel(_figure: Figure, file: io.BytesIO, **_options: Any) -> None:
    Image.new("RGB", (1, 1)).save(file, "png")


@pytest.fixture(scope="session")
def _empty_registry(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A registry's file with its tables, which take longer to make than to copy."""
    path = tmp_path_factory.mktemp("registry") / "registry.db"
    Registry(f"sqlite:///{path}").close()
    return path.read_bytes()


@pytest.fixture
def store(tmp_path: Path, _empty_registry: bytes) -> Store:
    """An empty workspace with its registry, where the settings would find it: ./workspace."""
    workspace = Workspace((tmp_path / "workspace").as_uri())
    registry = workspace.root / "registry.db"
    registry.write_bytes(_empty_registry)
    return Store(workspace, Registry(f"sqlite:///{registry}").acting(local("tester")))


def table_specification(name: str = "fields", /, **changes: object) -> DatasetSpecification:
    """A table dataset with label column `crop`; `changes` replace attributes."""
    attributes: dict[str, object] = {
        "name": name,
        "source": {"url": f"landing/{name}", "layout": "table", "table": {"label": "crop"}},
        "split": {"fractions": {"train": 0.6, "validation": 0.1, "test": 0.3}},
    }
    return DatasetSpecification.model_validate(attributes | changes)


def scenes_specification(name: str = "scenes", /, **changes: object) -> DatasetSpecification:
    """A dataset of scenes with classes 1 and 2, read as 3 x 3 patches.

    It is split by blocks of 8 pixels with a buffer.
    """
    attributes: dict[str, object] = {
        "name": name,
        "source": {"url": f"landing/{name}", "layout": "scenes", "scenes": {"size": 3}},
        "classes": {1: "water", 2: "land"},
        "split": {
            "method": "spatial_block",
            "block": 8,
            "buffer": 1,
            "fractions": {"train": 0.6, "test": 0.4},
        },
    }
    return DatasetSpecification.model_validate(attributes | changes)


def crops_table(rows: int = 300, seed: int = 0) -> pd.DataFrame:
    """Samples of three crops that a model can separate, with a farm each."""
    rng = np.random.default_rng(seed)
    crop = rng.choice(["wheat", "maize", "fallow"], rows)
    centre = pd.Series(crop).map({"wheat": 0.2, "maize": 0.5, "fallow": 0.8}).to_numpy()
    months = {
        f"ndvi_{month:02d}": (centre + rng.normal(0, 0.05, rows)).round(5) for month in range(1, 7)
    }
    return pd.DataFrame({"farm": rng.integers(0, 30, rows).astype(str), **months, "crop": crop})


def write_scene(
    folder: Path,
    name: str = "a",
    size: int = 48,
    seed: int = 0,
    bands: int = 4,
    crs: str | None = None,
) -> NDArray[np.uint8]:
    """Land one scene of `size` pixels and its label raster (0 unknown, 1 water, 2 land).

    Return the labels.
    """
    from rasterio import Affine

    rng = np.random.default_rng(seed)
    labels = np.where(np.add.outer(np.arange(size), np.arange(size)) // 6 % 2 == 0, 1, 2).astype(
        np.uint8
    )
    labels[rng.random((size, size)) < 0.2] = 0
    image = (labels * 100 + rng.integers(0, 50, (bands, size, size))).astype(np.uint16)
    georeference = (
        {"crs": crs, "transform": Affine(10, 0, 500_000, 0, -10, 4_700_000)} if crs else {}
    )
    for kind, array in (("images", image), ("labels", labels[None])):
        path = folder / kind / f"{name}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        profile = {
            "driver": "GTiff",
            "height": size,
            "width": size,
            "count": len(array),
            "dtype": array.dtype.name,
        }
        with open_raster(path, "w", **profile, **georeference) as raster:
            raster.write(array)
    return labels


@pytest.fixture
def land_table(store: Store) -> Callable[..., Commit]:
    """Land a table and commit it: `land_table(frame, specification)`."""

    def land(
        frame: pd.DataFrame | None = None, specification: DatasetSpecification | None = None
    ) -> Commit:
        specification = specification or table_specification()
        folder = store.workspace.root / specification.source.url
        folder.mkdir(parents=True, exist_ok=True)
        (crops_table() if frame is None else frame).to_csv(folder / "samples.csv", index=False)
        return commit(store.workspace, store.registry, specification)

    return land


@pytest.fixture
def land_scenes(store: Store) -> Callable[..., Commit]:
    """Land one scene and commit it: `land_scenes(specification, size=…)`."""

    def land(specification: DatasetSpecification | None = None, **scene: object) -> Commit:
        specification = specification or scenes_specification()
        write_scene(
            store.workspace.root / specification.source.url,
            **scene,  # type: ignore[arg-type]
        )
        return commit(store.workspace, store.registry, specification)

    return land


def require_shared_data(*parts: str) -> Path:
    """Return a path of the test data beside the checkout, or skip the test.

    The product does not need it.
    """
    root = Path(os.environ.get("MLOPS_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
    path = root.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"needs the test data {'/'.join(parts)}, which is not beside this checkout")
    return path
