"""The whole report: what is published, that it is the same every time, and that damage stops it."""

from __future__ import annotations

import io
import json
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mlops_assets.datasets.commit.commit import Commit, commit
from mlops_assets.datasets.io.rasters import open_raster
from mlops_assets.datasets.loading.training_data import TrainingData
from mlops_assets.datasets.quality import CHECKS
from mlops_assets.datasets.quality.assessment import assess
from mlops_assets.datasets.quality.checks import FORMAT
from mlops_assets.datasets.quality.content import sample_values
from mlops_assets.datasets.quality.content.scan import scan
from mlops_assets.datasets.quality.findings.integrity import check_readable
from mlops_assets.datasets.quality.published import checks_of, published_report
from mlops_assets.datasets.specification.dataset import DatasetSpecification, QualityThresholds
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.datasets.versions.decoded_cache import split_folder
from mlops_assets.datasets.versions.documents import json_bytes
from mlops_assets.names import Reference
from mlops_assets.paths import Owner, data_owner
from mlops_assets.registry.files.publication import publication
from mlops_assets.store import Store
from mlops_assets_tests.conftest import (
    crops_table,
    scenes_specification,
    table_specification,
    write_scene,
)
from mlops_assets_tests.datasets.quality.conftest import Assess, check

Land = Callable[..., Commit]


def with_columns(
    method: str = "column", quality: dict[str, Any] | None = None, **table: Any
) -> DatasetSpecification:
    return table_specification(
        source={"url": "landing/fields", "layout": "table", "table": {"label": "crop", **table}},
        split={"method": method},
        quality=quality or {},
    )


def folds(rows: int) -> list[str]:
    return ["train"] * (rows // 2) + ["test"] * (rows - rows // 2)


def test_good_data_passes_every_check_and_is_written_down(
    store: Store, land_table: Land, assessed: Assess
) -> None:
    land_table()
    committed, quality = assessed()
    assert [(c.name, c.passed, c.blocking) for c in quality.checks] == [
        (name, True, kind.blocking) for name, kind in CHECKS.items()
    ]
    folder = "datasets/fields/v1"
    names = [
        "statistics.json",
        "quality.json",
        "figures/class_counts.png",
        "figures/band_histograms.png",
    ]
    assert [file.path for file in quality.files] == [f"{folder}/{name}" for name in names]
    registered = store.registry.files(Owner("data:fields@v1"))
    assert set(quality.files) <= set(registered)
    assert sorted(store.workspace.list(folder)) == sorted(file.path for file in registered)
    assert json.loads(store.workspace.get(f"{folder}/statistics.json")) == quality.statistics
    report = json.loads(store.workspace.get(f"{folder}/quality.json"))
    assert (report["data_version"], report["digest"]) == ("fields@v1", committed.row.digest)
    assert sum(report["samples"].values()) == 300 == sum(report["read"].values())
    assert [entry["name"] for entry in report["checks"]] == list(CHECKS)


@pytest.mark.parametrize("read", ["rows", "patches", "windows"])
def test_assessing_again_gives_the_same_bytes(
    store: Store, land_table: Land, land_scenes: Land, assessed: Assess, read: str
) -> None:
    if read == "rows":
        land_table()
    else:
        layout = {"read": read, "size": {"patches": 3, "windows": 8}[read]}
        source = {"url": "landing/scenes", "layout": "scenes", "scenes": layout}
        land_scenes(scenes_specification(source=source, split={"method": "random"}))
    name = "fields" if read == "rows" else "scenes"
    committed, first = assessed(name)
    for split in ("train", "validation", "test"):  # also when everything has to be decoded again
        folder = split_folder(committed, split, committed.document.input.kind)
        folder.rename(folder.with_name(f"{split}-moved"))
    (store.workspace.root / f"datasets/{name}/v1/quality.json").unlink()  # or it is taken up again
    again = assessed(name)[1]
    assert again.files == first.files
    reused = assessed(name)[1]
    assert (reused.statistics, reused.files, reused.figures) == (
        first.statistics,
        first.files,
        first.figures,
    )
    pd.testing.assert_frame_equal(reused.counts, first.counts)
    for published, found in zip(reused.checks, first.checks, strict=True):
        reported = (published.name, published.passed, published.blocking, published.description)
        assert reported == (found.name, found.passed, found.blocking, found.description)
        assert published.values == {
            key: pytest.approx(value, rel=1e-6) if isinstance(value, float) else value
            for key, value in found.values.items()
        }


@pytest.fixture
def scans(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """One entry for every time that samples are gone through."""
    seen: list[Any] = []

    def counted(source: Any) -> Any:
        seen.append(source)
        return scan(source)

    monkeypatch.setattr("mlops_assets.datasets.quality.assessment.scan", counted)
    return seen


@pytest.mark.usefixtures("undrawn")
def test_a_published_report_is_taken_up_again(
    land_table: Land, assessed: Assess, scans: list[Any]
) -> None:
    land_table()
    assert assessed()[1].files == assessed()[1].files
    assert len(scans) == 1


@pytest.mark.usefixtures("undrawn")
def test_of_two_that_assess_a_version_at_once_one_measures(
    land_table: Land, assessed: Assess, scans: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    land_table()
    both = threading.Barrier(2, timeout=60)

    def when_both_are_there(committed: CommittedDataset) -> Any:
        both.wait()
        return check_readable(committed)

    where = "mlops_assets.datasets.quality.assessment.check_readable"
    monkeypatch.setattr(where, when_both_are_there)
    with ThreadPoolExecutor(2) as threads:
        first, second = [threads.submit(assessed) for _ in range(2)]
        assert first.result()[1].files == second.result()[1].files
    assert len(scans) == 1


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("harm", ["change", "remove"])
def test_a_changed_report_is_measured_again_and_repaired(
    store: Store, land_table: Land, assessed: Assess, scans: list[Any], harm: str
) -> None:
    land_table()
    first = assessed()[1]
    for name in ("quality.json", "statistics.json", "figures/class_counts.png"):
        scans.clear()
        path = store.workspace.root / "datasets/fields/v1" / name
        content = path.read_bytes()
        if harm == "change":
            path.write_bytes(content.replace(b'"passed": true', b'"passed": false') + b" ")
        else:
            path.unlink()
        assert assessed()[1].checks == first.checks, name
        assert path.read_bytes() == content, name
        assert len(scans) == 1, name


@pytest.mark.usefixtures("undrawn")
def test_a_report_by_other_checks_is_made_anew(
    land_table: Land, assessed: Assess, scans: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    land_table()
    assessed()
    monkeypatch.setattr("mlops_assets.datasets.quality.assessment.FORMAT", FORMAT + 1)
    assessed()
    assessed()
    assert len(scans) == 2


@pytest.mark.usefixtures("undrawn")
def test_a_report_of_an_early_release_is_read_and_made_anew(
    store: Store, land_table: Land, assessed: Assess
) -> None:
    land_table()
    committed, first = assessed()
    key = "datasets/fields/v1/quality.json"
    content = store.workspace.get(key)
    report = json.loads(content)
    early = {
        "class_counts": report["class_counts"]["classes"],
        "checks": [
            {name: value for name, value in entry.items() if name != "blocking"}
            for entry in report["checks"]
        ],
        "notes": report["notes"],
    }
    with publication(store.workspace, store.registry) as publishing:
        publishing.put_all({key: json_bytes(early)})
        store.registry.add_files(data_owner("fields", "v1"), publishing.files)
    found = published_report(store.workspace, store.registry, committed.row)
    assert found is not None
    assert [
        (check.name, check.passed, check.blocking)
        for check in checks_of(found, committed.classes, QualityThresholds())
    ] == [(check.name, check.passed, check.blocking) for check in first.checks]
    assert assessed()[1].checks == first.checks
    assert store.workspace.get(key) == content


@pytest.mark.usefixtures("undrawn")
def test_damage_is_found_beside_a_published_report(land_table: Land, assessed: Assess) -> None:
    land_table()
    committed, _ = assessed()
    committed.local_path("samples.csv").write_bytes(b"damaged")
    assert not any(found.passed for found in assessed()[1].checks)


@pytest.mark.usefixtures("drawn")
def test_figures_are_small_pictures(land_scenes: Land, assessed: Assess) -> None:
    land_scenes(
        scenes_specification(split={"method": "spatial_block", "block": 8, "buffer": 1}),
        crs="EPSG:32631",
    )
    _, quality = assessed("scenes")
    assert list(quality.figures) == [
        "class_counts",
        "band_histograms",
        "split_distances",
        "sample_map",
    ]
    for png in quality.figures.values():
        assert len(png) < 100_000
        assert min(Image.open(io.BytesIO(png)).size) > 100


# statistics


@pytest.mark.usefixtures("undrawn")
def test_statistics_of_a_table_are_those_of_its_training_rows(
    land_table: Land, assessed: Assess
) -> None:
    frame = crops_table(400)
    fold = np.where(np.arange(400) % 2, "train", "test")
    frame.loc[fold == "test", "ndvi_01"] += 100  # would show
    land_table(frame.assign(fold=fold), with_columns(split="fold"))
    _, quality = assessed()
    trained = (
        frame.loc[fold == "train", quality.statistics["features"]]
        .to_numpy(np.float32)
        .astype(np.float64)
    )
    assert (quality.statistics["split"], quality.statistics["samples"]) == ("train", 200)
    for name in ("mean", "std", "min", "max"):
        np.testing.assert_allclose(
            quality.statistics[name], getattr(trained, name)(axis=0), rtol=1e-12
        )


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("read", ["patches", "windows"])
def test_statistics_of_scenes_are_those_of_training_pixels(
    land_scenes: Land, assessed: Assess, read: str
) -> None:
    layout = {"read": read, "size": {"patches": 3, "windows": 8}[read]}
    source = {"url": "landing/scenes", "layout": "scenes", "scenes": layout}
    land_scenes(scenes_specification(source=source, split={"method": "spatial_block", "block": 8}))
    committed, quality = assessed("scenes")
    task, view = (
        ("classification", "pixel") if read == "patches" else ("semantic-segmentation", "window")
    )
    X, _ = TrainingData(committed, task, view).arrays("train")  # type: ignore[arg-type]
    pixels = np.moveaxis(X, 1, -1).reshape(-1, 4) if X.ndim > 2 else X
    np.testing.assert_allclose(quality.statistics["mean"], pixels.astype(np.float64).mean(axis=0))
    np.testing.assert_allclose(quality.statistics["std"], pixels.astype(np.float64).std(axis=0))
    assert quality.statistics["features"] == ["B001", "B002", "B003", "B004"]


def test_a_band_without_any_value_is_reported(store: Store, assessed: Assess) -> None:
    source = {"url": "landing/scenes", "layout": "scenes", "scenes": {"read": "windows", "size": 8}}
    path = store.workspace.root / "landing/scenes/images/z.tif"
    write_scene(path.parents[1], "z")
    with open_raster(path) as raster:
        pixels, profile = raster.read(), raster.profile
    pixels[2] = 9999
    with open_raster(path, "w", **{**profile, "nodata": 9999}) as raster:
        raster.write(pixels)
    shutil.copy(path, path.with_name("a.tif"))
    shutil.copy(path.parents[1] / "labels/z.tif", path.parents[1] / "labels/a.tif")
    specification = scenes_specification(source=source, split={"method": "random"})
    commit(store.workspace, store.registry, specification)
    _, quality = assessed("scenes")
    assert [value is None for value in quality.statistics["mean"]] == [False, False, True, False]
    found = check(quality, "valid_values")
    assert (found.passed, found.values["missing_or_nodata"]) == (False, 1)
    assert found.description.startswith("100.0% of B003 is missing or nodata")
    assert quality.figures


# counts


@pytest.mark.usefixtures("undrawn")
def test_counts_are_by_class_in_declared_order_and_by_split(
    land_table: Land, assessed: Assess
) -> None:
    classes = {"wheat": "Winter wheat", "fallow": "Fallow", "maize": "Maize"}
    frame = crops_table(100)
    land_table(
        frame.assign(fold=folds(100)),
        with_columns(split="fold").model_copy(update={"classes": classes}),
    )
    _, quality = assessed()
    assert quality.counts.index.tolist() == list(classes.values())
    expected = pd.crosstab(frame["crop"].map(classes), pd.Series(folds(100)))
    for split in expected.columns:
        for name in expected.index:
            assert quality.counts.loc[name, split] == expected.loc[name, split]
    assert quality.counts["validation"].sum() == 0


@pytest.mark.usefixtures("undrawn")
def test_counts_of_windows_are_of_their_pixels(land_scenes: Land, assessed: Assess) -> None:
    source = {"url": "landing/scenes", "layout": "scenes", "scenes": {"read": "windows", "size": 8}}
    land_scenes(scenes_specification(source=source, split={"method": "spatial_block", "block": 8}))
    committed, quality = assessed("scenes")
    for split in ("train", "test"):
        y = TrainingData(committed, "semantic-segmentation").arrays(split)[1]
        assert quality.counts[split].tolist() == [(y == 0).sum(), (y == 1).sum()]
    assert check(quality, "labels").description.startswith(
        f"{quality.counts.to_numpy().sum()} labelled pixels, all"
    )


@pytest.mark.usefixtures("undrawn")
def test_all_pixels_are_counted_where_not_all_windows_are_read(
    store: Store, land_scenes: Land, assessed: Assess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample_values, "MAX_READ_BYTES", 1)
    monkeypatch.setattr(sample_values, "MIN_READ", 2)
    source = {"url": "landing/scenes", "layout": "scenes", "scenes": {"read": "windows", "size": 8}}
    land_scenes(scenes_specification(source=source, split={"method": "spatial_block", "block": 8}))
    committed, quality = assessed("scenes")
    report = json.loads(store.workspace.get("datasets/scenes/v1/quality.json"))
    assert report["read"]["train"] < report["samples"]["train"]
    y = TrainingData(committed, "semantic-segmentation").arrays("train")[1]
    assert quality.counts["train"].tolist() == [(y == 0).sum(), (y == 1).sum()]
    assert report["class_counts"]["of"] == "labelled pixels"
    assert quality.statistics["class_pixels"] == quality.counts["train"].to_dict()


def test_numbers_to_learn_have_no_class_counts(land_table: Land, assessed: Assess) -> None:
    land_table(crops_table(100).assign(crop=np.linspace(0.1, 0.9, 100)))
    _, quality = assessed()
    assert quality.counts.empty
    assert "class_counts" not in quality.figures
    assert all(check.passed for check in quality.checks)


@pytest.mark.usefixtures("undrawn")
def test_a_class_that_does_not_reach_every_split_is_a_warning_only(
    land_table: Land, assessed: Assess
) -> None:
    frame = crops_table(100)
    frame.loc[50:, "crop"] = frame.loc[50:, "crop"].replace("wheat", "maize")
    land_table(frame.assign(fold=folds(100)), with_columns(split="fold"))
    _, quality = assessed()
    found = check(quality, "classes_in_each_split")
    assert (found.passed, found.blocking, found.description) == (False, False, "not in test: wheat")
    assert all(check.passed for check in quality.checks if check.blocking)
    assert quality.files


# thresholds


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(("limit", "passes"), [(0.05, False), (0.5, True)])
def test_thresholds_come_from_the_declaration(
    land_table: Land, assessed: Assess, limit: float, passes: bool
) -> None:
    frame = crops_table(200)
    frame.loc[frame.index[100:130], "crop"] = "fallow"
    declared = with_columns(split="fold", quality={"max_class_shift": limit})
    land_table(frame.assign(fold=folds(200)), declared)
    found = check(assessed()[1], "class_balance")
    assert found.passed == passes
    assert found.values["test_from_train"] == pytest.approx(0.27)


def troubled_table() -> pd.DataFrame:
    """Rows with copies across and within splits, saturation, unequal classes and wrong labels."""
    frame = crops_table(300).drop(columns="farm")
    frame.iloc[200:230] = frame.iloc[20:50].to_numpy()
    frame.iloc[290:295] = frame.iloc[280:285].to_numpy()
    frame.loc[100:140, "crop"] = "fallow"
    frame.loc[::4, "ndvi_03"] = 2.0
    return frame.assign(fold=folds(300))


LAX = QualityThresholds(
    max_duplicates=1,
    max_near_duplicates=1,
    max_missing=1,
    max_saturated=1,
    max_class_shift=1,
    max_label_noise=1,
)
STRICT = QualityThresholds(
    max_duplicates=0,
    max_near_duplicates=0,
    max_missing=0,
    max_saturated=0,
    max_imbalance=1,
    max_class_shift=0,
    max_label_noise=0,
)


@pytest.mark.usefixtures("undrawn")
def test_a_published_report_is_judged_by_the_thresholds_in_force(
    store: Store, land_table: Land, scans: list[Any], few_trees: None
) -> None:
    land_table(troubled_table(), with_columns(split="fold"))
    committed = CommittedDataset.open(store.workspace, store.registry, Reference("fields"))
    judged = {}
    for name, thresholds in {"declared": None, "lax": LAX, "strict": STRICT}.items():
        judged[name] = assess(store.registry, committed, thresholds).checks
        report = json.loads(store.workspace.get("datasets/fields/v1/quality.json"))
        assert report["thresholds"] == (thresholds or QualityThresholds()).model_dump(mode="json")
        assert [entry["passed"] for entry in report["checks"]] == [
            found.passed for found in judged[name]
        ]
    assert len(scans) == 1
    failed = {
        name: {found.name for found in checks if not found.passed}
        for name, checks in judged.items()
    }
    assert "leakage" in failed["declared"]
    assert not failed["lax"]
    assert failed["strict"] >= {
        "leakage",
        "class_balance",
        "valid_values",
        "duplicates",
        "label_noise",
    }
    (store.workspace.root / "datasets/fields/v1/quality.json").unlink()
    assert assess(store.registry, committed, STRICT).checks == judged["strict"]


@pytest.mark.usefixtures("undrawn")
def test_another_distance_is_measured_anew_as_a_figure_shows_it(
    store: Store, land_scenes: Land, scans: list[Any], few_trees: None
) -> None:
    land_scenes()
    committed = CommittedDataset.open(store.workspace, store.registry, Reference("scenes"))
    for limit, passes in ((None, False), (1.0, True), (1.0, True), (40.0, False)):
        checks = assess(store.registry, committed, QualityThresholds(min_distance=limit)).checks
        assert {found.name: found.passed for found in checks}["distance_between_splits"] == passes
    assert len(scans) == 3


# files


@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_a_damaged_object_blocks_and_nothing_is_computed_from_it(
    store: Store, land_table: Land, assessed: Assess, damage: str
) -> None:
    land_table()
    committed = CommittedDataset.open(store.workspace, store.registry, Reference("fields"))
    path = committed.local_path("samples.csv")
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[200] ^= 1
        path.write_bytes(content)
    elif damage == "cut":
        path.write_bytes(content[:-1])
    else:
        path.unlink()
    _, quality = assessed()
    assert [check.name for check in quality.checks] == list(CHECKS)
    assert not any(check.passed for check in quality.checks)
    assert "samples.csv" in quality.checks[0].description
    assert {check.description for check in quality.checks[1:]} == {
        "not assessed, as files are damaged"
    }
    assert (quality.statistics, quality.files, quality.figures) == ({}, [], {})
    assert not store.workspace.exists("datasets/fields/v1/quality.json")


@pytest.mark.usefixtures("undrawn")
def test_landing_a_file_again_repairs_its_damaged_object(
    store: Store, land_table: Land, assessed: Assess
) -> None:
    land_table()
    path = CommittedDataset.open(store.workspace, store.registry, Reference("fields")).local_path(
        "samples.csv"
    )
    path.write_bytes(b"damaged")
    assert "land them again" in assessed()[1].checks[0].description
    land_table()
    assert check(assessed()[1], "readable").passed
