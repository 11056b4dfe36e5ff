"""Going through the values.

All of them, or of a large version the same choice every time, however they are read.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from mlops_assets.datasets.commit.commit import Commit, commit
from mlops_assets.datasets.io.rasters import open_raster
from mlops_assets.datasets.loading.training_data import TrainingData
from mlops_assets.datasets.quality.content import sample_values, scan
from mlops_assets.datasets.quality.content.sample_values import SampleValues
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.names import Reference
from mlops_assets.store import Store
from mlops_assets_tests.conftest import crops_table, scenes_specification, write_scene
from mlops_assets_tests.datasets.readers.landing import write_raster

Land = Callable[..., Commit]
SPLITS = ("train", "validation", "test")


@pytest.fixture
def windows(store: Store, land_scenes: Land) -> CommittedDataset:
    return read_as(store, land_scenes, "windows", 8)


def read_as(store: Store, land_scenes: Land, read: str, size: int) -> CommittedDataset:
    source = {"url": "landing/scenes", "layout": "scenes", "scenes": {"read": read, "size": size}}
    write_scene(store.workspace.root / "landing/scenes", "b", seed=1)
    land_scenes(scenes_specification(source=source, split={"method": "random"}))
    return CommittedDataset.open(store.workspace, store.registry, Reference("scenes"))


@pytest.mark.parametrize(("read", "size"), [("patches", 5), ("windows", 8)])
def test_all_samples_of_a_small_version_are_read(
    store: Store, land_scenes: Land, read: str, size: int
) -> None:
    committed = read_as(store, land_scenes, read, size)
    found = scan.scan(SampleValues(committed))
    assert found.positions.tolist() == np.flatnonzero(committed.samples["split"].notna()).tolist()
    assert found.statistics.samples == len(committed.split("train"))
    assert len(found.digests) == len(found.descriptors) == len(found.positions)
    assert found.ceiling == 65535


@pytest.mark.parametrize(("read", "size"), [("patches", 5), ("windows", 8)])
def test_blocks_are_what_trainers_get(
    store: Store, land_scenes: Land, read: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample_values, "BLOCK_BYTES", 10_000)  # many blocks
    monkeypatch.setattr(sample_values, "MIN_READ", 4)
    committed = read_as(store, land_scenes, read, size)
    data = TrainingData(
        committed, "classification" if read == "patches" else "semantic-segmentation"
    )
    # from the cache, and some from the files
    for source in (
        SampleValues(committed),
        SampleValues(committed, most=20_000),
    ):
        for split in SPLITS:
            X, y = data.arrays(split)  # type: ignore[arg-type]
            own = np.flatnonzero(committed.samples["split"] == split)
            seen = []
            for block in source.blocks(split, source.chosen[split]):
                inside = np.searchsorted(own, block.positions)
                np.testing.assert_array_equal(block.X, X[inside])
                assert block.X.dtype == np.uint16
                if read == "windows":
                    np.testing.assert_array_equal(block.y, y[inside])
                seen += block.positions.tolist()
            assert sorted(seen) == source.chosen[split].tolist()


def test_of_a_large_version_so_many_are_read_and_the_same_ones(
    windows: CommittedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample_values, "MIN_READ", 4)
    first, second = (SampleValues(windows, most=20 * 4 * 64 * 2) for _ in range(2))
    numbers = {split: len(first.chosen[split]) for split in SPLITS}
    assert min(numbers.values()) >= 4
    assert sum(numbers.values()) <= 24
    for split in SPLITS:
        assert first.chosen[split].tolist() == second.chosen[split].tolist()
    a, b = scan.scan(first), scan.scan(second)
    assert a.digests.tolist() == b.digests.tolist()
    assert a.statistics.document() == b.statistics.document()
    assert len(a.positions) == sum(numbers.values())


def test_equal_samples_have_equal_digests_and_others_do_not(store: Store, land_table: Land) -> None:
    frame = crops_table(100)
    frame.iloc[40:50] = frame.iloc[:10].to_numpy()
    land_table(frame)
    committed = CommittedDataset.open(store.workspace, store.registry, Reference("fields"))
    found = scan.scan(SampleValues(committed))
    assert len(np.unique(found.digests)) == 90
    assert (found.digests[40:50] == found.digests[:10]).all()


def test_pixels_of_windows_know_their_place_value_and_label(windows: CommittedDataset) -> None:
    found = scan.scan(SampleValues(windows))
    data = TrainingData(windows, "semantic-segmentation")
    X, y = data.arrays("train")
    own = np.flatnonzero(windows.samples["split"] == "train")
    for pixels in (found.drawn, found.labelled):
        window = np.searchsorted(own, pixels.sample)
        row, column = pixels.place.T
        np.testing.assert_array_equal(pixels.values, X[window, :, row, column])
        np.testing.assert_array_equal(pixels.labels, y[window, row, column])
    assert (found.drawn.labels == -1).any()
    assert (found.labelled.labels >= 0).all()
    assert len(np.unique(found.labelled.sample)) == len(own)


def test_pixels_of_patches_are_their_centres(store: Store, land_scenes: Land) -> None:
    committed = read_as(store, land_scenes, "patches", 5)
    found = scan.scan(SampleValues(committed))
    X, _ = TrainingData(committed, "classification", "pixel").arrays("train")
    np.testing.assert_array_equal(found.drawn.values, X)


def test_nodata_is_that_of_each_file(store: Store, land_scenes: Land) -> None:
    from mlops_assets.datasets.io.rasters import open_raster

    source = {"url": "landing/scenes", "layout": "scenes", "scenes": {"read": "windows", "size": 8}}
    write_scene(store.workspace.root / "landing/scenes", "b", seed=1)
    path = store.workspace.root / "landing/scenes/images/b.tif"
    with open_raster(path) as raster:
        pixels, profile = raster.read(), raster.profile
    pixels[:, :8, :8] = 7
    pixels[1, 0, 8:12] = 7
    with open_raster(path, "w", **{**profile, "nodata": 7}) as raster:
        raster.write(pixels)
    land_scenes(
        scenes_specification(
            source=source, split={"method": "random", "fractions": {"train": 0.9, "test": 0.1}}
        )
    )
    committed = CommittedDataset.open(store.workspace, store.registry, Reference("scenes"))
    values = SampleValues(committed)
    of_b = (committed.samples["path"] == "images/b.tif").to_numpy()
    nodata = values.nodata(np.arange(len(committed.samples)))
    assert nodata.shape == (len(of_b), 4)
    assert (nodata[of_b] == 7).all()
    assert np.isnan(nodata[~of_b]).all()
    found = scan.scan(values)
    X, _ = TrainingData(committed, "semantic-segmentation").arrays("train")
    lost = (X == 7) & of_b[committed.samples["split"] == "train"][:, None, None, None]
    np.testing.assert_allclose(found.statistics.nodata, lost.mean(axis=(0, 2, 3)))
    assert lost.any()
    drawn_of_b = of_b[found.drawn.sample]
    assert not (found.drawn.values[drawn_of_b] == 7).any()
    assert (found.drawn.values[~drawn_of_b] == 7).any()


def test_what_alpha_hides_is_in_no_figure(store: Store, land_scenes: Land) -> None:
    """Half of each window is hidden; there the bands have another value."""
    for name in "ab":
        write_scene(store.workspace.root / "landing/scenes", name)
        path = store.workspace.root / f"landing/scenes/images/{name}.tif"
        with open_raster(path) as raster:
            height, width = raster.shape
        image = np.random.default_rng(0).integers(5, 10, (4, height, width)).astype(np.uint8)
        image[3, :, ::2], image[:3, :, ::2] = 0, 250
        write_raster(path, image, photometric="RGB", alpha="YES")
    source = {"url": "landing/scenes", "layout": "scenes", "scenes": {"read": "windows", "size": 8}}
    commit(
        store.workspace,
        store.registry,
        scenes_specification(source=source, split={"method": "random"}),
    )
    committed = CommittedDataset.open(store.workspace, store.registry, Reference("scenes"))
    for most in (None, 20_000):  # from the cache, and from the files
        found = scan.scan(SampleValues(committed, most))
        assert found.statistics.nodata.tolist() == [0.5, 0.5, 0.5]
        assert found.statistics.document()["max"] == [9, 9, 9]
        assert np.nanmax(found.drawn.values) == 9
    scaling = TrainingData(committed, "semantic-segmentation", scaling="minmax").scaling
    assert scaling is not None
    assert [entry["maximum"] for entry in scaling.entries] == [9, 9, 9]
