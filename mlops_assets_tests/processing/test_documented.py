"""The example of docs/processing.md, word for word, on Landsat scenes with clouds put into them."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio

from mlops_assets.cli import main
from mlops_assets.components.examples import PROCESSED, example
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.names import Reference
from mlops_assets.settings import Settings
from mlops_assets.store import open_store
from mlops_assets_tests.conftest import require_shared_data

DOCUMENT = Path(__file__).parents[2] / "docs" / "processing.md"
SCENES = """
type: mlops_assets.components.TrainingDataset
attributes:
  name: field_scenes
  source: {url: landing/field_scenes, layout: scenes, scenes: {size: 1}}
  classes: {1: developed, 3: herbaceous, 5: forest, 6: water}
  split: {method: spatial_block, block: 500, fractions: {train: 0.6, test: 0.4}}
"""
DATES = ("2000-04-01", "2000-04-17", "2000-05-03")
# rows that are cloudy at each date, and those that are at all of them
CLOUDY = (slice(180, 260), slice(200, 210), slice(150, 210))
NEVER_CLEAR = slice(200, 210)
BANDS = ("10", "20", "30", "40")


def blocks(language: str) -> list[str]:
    """Return the code of the page in a language."""
    return re.findall(rf"```{language}\n(.*?)```", DOCUMENT.read_text(), flags=re.DOTALL)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project called `fieldwork`, with the example's files and scenes that have landed."""
    root = tmp_path / "fieldwork"
    run(monkeypatch, "init", str(root))
    monkeypatch.chdir(root)
    monkeypatch.syspath_prepend(str(root))
    (code,), (declaration,) = blocks("python"), blocks("yaml")
    assert declaration.split("\n", 1)[1] == example(PROCESSED, "ProcessedDataset").split("\n", 1)[1]
    (root / "fieldwork" / "processing.py").write_text(code)
    for name, text in (("field_scenes", SCENES), ("monthly_composites", declaration)):
        folder = root / "fieldwork" / "defs" / name
        folder.mkdir()
        (folder / "defs.yaml").write_text(text)
    yield root
    for name in [name for name in sys.modules if name.split(".")[0] == "fieldwork"]:
        del sys.modules[name]


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    """Run `mlops …`, which must succeed."""
    monkeypatch.setattr(sys, "argv", ["mlops", *arguments])
    try:
        main()
    except SystemExit as ended:
        assert not ended.code


def land(folder: Path) -> np.ndarray:
    """Land one place of Landsat at three dates, with clouds; return the bands without any."""
    source = require_shared_data("nc_landsat7")
    layers = []
    for band in BANDS:
        with rasterio.open(source / f"lsat7_2000_{band}.tif") as image:
            profile = image.profile
            layers.append(image.read(1))
    with rasterio.open(source / "landsat96_labelled_pixels.tif") as image:
        labels = image.read(1)
    bands = np.stack(layers)
    labels = np.where(np.isin(labels, (1, 3, 5, 6)), labels, 0).astype("uint8")
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True)
    for date, cloudy in zip(DATES, CLOUDY, strict=True):
        mask = np.zeros_like(bands[0])
        mask[cloudy] = 1
        image_bands = np.stack([*np.where(mask == 1, 255, bands), mask])
        profile.update(driver="GTiff", count=len(image_bands))
        with rasterio.open(folder / "images" / f"wake_{date}.tif", "w", **profile) as image:
            image.write(image_bands)
        own = {**profile, "count": 1, "dtype": "uint8", "nodata": None}
        with rasterio.open(folder / "labels" / f"wake_{date}.tif", "w", **own) as image:
            image.write(labels, 1)
    return bands


def test_composites_have_the_clear_values_and_say_where_there_are_none(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bands = land(project / "workspace" / "landing" / "field_scenes")
    run(monkeypatch, "dataset", "commit", "field_scenes", "--no-assess")
    run(monkeypatch, "dataset", "commit", "monthly_composites")
    store = open_store(Settings.from_environment())
    committed = CommittedDataset.open(
        store.workspace, store.registry, Reference("monthly_composites")
    )
    assert sorted(committed.manifest["path"]) == ["images/wake.tif", "labels/wake.tif"]
    with rasterio.open(committed.local_path("images/wake.tif")) as image:
        composite = image.read(masked=True)
    clear = bands != -99999
    assert clear[:, NEVER_CLEAR].any()
    clear[:, NEVER_CLEAR] = False
    np.testing.assert_array_equal(composite.data[clear], bands[clear])
    assert composite.mask[~clear].all()
    note = f"wake: {(~clear.all(axis=0)).sum()} pixels are clear on no date"
    assert note in committed.document.notes
    made = committed.document.processing
    assert made is not None and made.function == "fieldwork.processing:composite"
    # patches of the composite can be trained on
    assert set(committed.samples["split"].dropna()) == {"train", "test"}
