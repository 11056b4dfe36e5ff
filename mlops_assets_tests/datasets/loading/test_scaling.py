"""Bands and scaling.

What may be declared, the figures of the training split, and that they are applied in one way.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from mlops_assets.datasets.io.rasters import open_raster
from mlops_assets.datasets.loading import statistics
from mlops_assets.datasets.loading import training_data as module
from mlops_assets.datasets.loading.scaling import (
    DeclaredScaling,
    Preparation,
    Scaling,
    ScalingObject,
    fit,
    methods_of,
)
from mlops_assets.errors import SpecificationError
from mlops_assets.store import Store
from mlops_assets_tests.conftest import crops_table, table_specification
from mlops_assets_tests.datasets.views import (
    committed,
    land,
    opened,
    training_data,
    windows,
    write_two_scenes,
)

NDVI = ["ndvi_06", "ndvi_01", "ndvi_03"]


def declared(value: Any) -> DeclaredScaling:
    return TypeAdapter(DeclaredScaling).validate_python(value)


def by_feature(X: Any) -> Any:
    """Values of a batch with one column a feature."""
    return np.moveaxis(X, 1, -1).reshape(-1, X.shape[1])


@pytest.mark.parametrize("view", ["row", "pixel", "patch", "window", "image"])
@pytest.mark.parametrize(
    ("scaling", "scaler"), [("standardize", StandardScaler()), ("minmax", MinMaxScaler())]
)
def test_samples_are_scaled_with_the_figures_of_the_training_split(
    store: Store, view: str, scaling: Any, scaler: Any
) -> None:
    dataset = committed(store, view)
    raw, data = opened(dataset, view), opened(dataset, view, scaling=scaling)
    X, _ = raw.arrays("train")
    centres = X[:, :, X.shape[2] // 2, X.shape[3] // 2] if view == "patch" else X
    scaler.fit(by_feature(centres.astype(np.float64)))
    for split in ("train", "validation", "test"):
        X, _ = raw.arrays(split)
        scaled, _ = data.arrays(split)
        assert (str(scaled.dtype), scaled.shape) == ("float32", X.shape)
        if len(X):
            np.testing.assert_allclose(
                by_feature(scaled), scaler.transform(by_feature(X)), rtol=1e-4, atol=1e-5
            )
    X, scaled = raw.arrays("train", 5)[0], data.arrays("train", 5)[0]
    np.testing.assert_allclose(
        by_feature(scaled), scaler.transform(by_feature(X)), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("view", ["row", "patch", "window", "image"])
def test_bands_are_given_in_the_order_they_are_named(store: Store, view: str) -> None:
    dataset = committed(store, view)
    everything = opened(dataset, view)
    names = [everything.features[2], everything.features[0]]
    data = opened(dataset, view, bands=names)
    assert (data.features, data.sample_shape[0]) == (names, 2)
    assert data.source_features == everything.features
    (X, y), (chosen, labels) = everything.arrays("train"), data.arrays("train")
    np.testing.assert_array_equal(chosen, X[:, [2, 0]])
    np.testing.assert_array_equal(labels, y)
    np.testing.assert_array_equal(
        data.arrays("train", 7)[0], everything.arrays("train", 7)[0][:, [2, 0]]
    )
    np.testing.assert_array_equal(data.prepare(data.memmap("train")[0]), chosen)


def test_a_frame_has_the_columns_that_were_chosen(store: Store) -> None:
    frame = training_data(store, "row", bands=NDVI, scaling="minmax").frame("train")
    assert list(frame.columns) == [*NDVI, "label"]
    assert frame[NDVI].min().tolist() == [0, 0, 0] and frame[NDVI].max().tolist() == [1, 1, 1]


def test_batches_are_the_arrays_part_by_part(store: Store) -> None:
    data = training_data(store, "window", scaling="standardize")
    parts = list(data.batches("train", size=3))
    X, y = data.arrays("train")
    assert len(parts) > 2 and {len(part) for part, _ in parts[:-1]} == {3}
    np.testing.assert_array_equal(np.concatenate([part for part, _ in parts]), X)
    np.testing.assert_array_equal(np.concatenate([labels for _, labels in parts]), y)


def test_each_band_can_be_scaled_in_its_own_way(store: Store) -> None:
    dataset = committed(store, "row")
    raw, _ = opened(dataset, "row", bands=NDVI).arrays("train")
    ways = declared(
        {"ndvi_01": "none", "ndvi_03": {"minimum": -1, "maximum": 3}, "*": "standardize"}
    )
    data = opened(dataset, "row", NDVI, ways)
    assert data.scaling is not None
    assert [entry["type"] for entry in data.scaling.entries] == ["z-score", "scale", "min-max"]
    scaled, _ = data.arrays("train")
    np.testing.assert_array_equal(scaled[:, 1], raw[:, 1])
    np.testing.assert_allclose(scaled[:, 2], (raw[:, 2] + 1) / 4, rtol=1e-6)
    np.testing.assert_allclose([scaled[:, 0].mean(), scaled[:, 0].std()], [0, 1], atol=1e-5)


def test_figures_of_ones_own_need_no_statistics(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "training_statistics", None)
    data = training_data(store, "patch", scaling=declared({"*": {"minimum": 0, "maximum": 10_000}}))
    raw = opened(data.committed, "patch").arrays("test")[0]
    np.testing.assert_allclose(data.arrays("test")[0], raw / 10_000, rtol=1e-6)
    nothing = opened(data.committed, "patch", scaling=declared({"B001": "none"}))
    assert nothing.scaling is None


def test_figures_do_not_depend_on_how_many_samples_are_read_at_once(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = committed(store, "row")
    whole = opened(dataset, "row", scaling="standardize").scaling
    monkeypatch.setattr(statistics, "BLOCK_BYTES", 8 * 7 * 10)
    parts = opened(dataset, "row", scaling="standardize").scaling
    assert whole is not None and parts is not None
    np.testing.assert_allclose(parts.offset, whole.offset, rtol=1e-6)
    np.testing.assert_allclose(parts.divisor, whole.divisor, rtol=1e-6)
    # but are the same every time
    assert opened(dataset, "row", scaling="standardize").scaling == parts


def test_test_samples_do_not_change_the_figures(store: Store) -> None:
    def scaling(offset: float) -> Scaling:
        frame = crops_table(200).assign(part=["train", "train", "test", "validation"] * 50)
        frame.loc[frame["part"] != "train", "ndvi_01"] += offset
        source = {
            "url": f"landing/at{offset:.0f}",
            "layout": "table",
            "table": {"label": "crop", "split": "part"},
        }
        specification = table_specification(
            f"at{offset:.0f}", source=source, split={"method": "column"}
        )
        dataset = land(
            store, specification, lambda folder: frame.to_csv(folder / "a.csv", index=False)
        )
        found = opened(dataset, "row", scaling="standardize").scaling
        assert found is not None
        return found

    assert scaling(0) == scaling(1000)


def test_nodata_is_no_measurement(store: Store) -> None:
    def write(folder: Path) -> None:
        write_two_scenes(folder)
        with open_raster(folder / "images/a.tif", "r+") as raster:
            image = raster.read()
            image[:, ::3] = 65_535
            raster.write(image)
            raster.nodata = 65_535

    dataset = land(store, windows(), write)
    data = opened(dataset, "window", scaling="minmax")
    assert data.scaling is not None
    assert all(entry["maximum"] < 300 for entry in data.scaling.entries)
    assert data.memmap("train")[0].max() == 65_535  # the samples themselves are as they were


def test_a_feature_without_spread_is_only_shifted() -> None:
    found = {"mean": [5.0], "std": [0.0], "min": [5.0], "max": [5.0]}
    X = np.array([[5.0], [7.0]], dtype=np.float32)
    for method in ("standardize", "minmax"):
        scaling = fit({"a": method}, found)
        assert scaling is not None
        np.testing.assert_array_equal(scaling.apply(X), [[0], [2]])


def test_a_feature_without_a_value_is_named() -> None:
    nothing: dict[str, list[float | None]] = {
        name: [None] for name in ("mean", "std", "min", "max")
    }
    with pytest.raises(
        SpecificationError,
        match="swir has no value in the training split; leave it out with 'bands'",
    ):
        fit({"swir": "standardize"}, nothing)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("normalize", "none"),
        ({"a": "normalize"}, "none"),
        ({"a": {"minimum": 0}}, "give 'mean' and 'stddev', or 'minimum' and 'maximum'"),
        (
            {"a": {"minimum": 0, "stddev": 1}},
            "give 'mean' and 'stddev', or 'minimum' and 'maximum'",
        ),
        ({"a": {"mean": 0, "stddev": 1, "minimum": 0, "maximum": 1}}, "give 'mean' and 'stddev'"),
        ({"a": {}}, "give 'mean' and 'stddev'"),
        ({"a": {"mean": 0, "stddev": 0}}, "stddev must be above 0"),
        ({"a": {"minimum": 3, "maximum": 3}}, "maximum above minimum"),
        ({"a": {"minimum": 3, "maximum": 2}}, "maximum above minimum"),
        ({"a": {"mean": 0, "stddev": 1, "unit": "m"}}, "unit"),
    ],
    ids=str,
)
def test_an_ambiguous_scaling_is_refused(value: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        declared(value)


def test_unknown_bands_are_named_with_the_existing_ones(store: Store) -> None:
    dataset = committed(store, "patch")
    with pytest.raises(
        SpecificationError, match="scenes@v1 has no B04, B08; it has B001, B002, B003, B004"
    ):
        opened(dataset, "patch", bands=["B001", "B08", "B04"])
    with pytest.raises(SpecificationError, match="scaling: no B003; there is B001, B002"):
        opened(dataset, "patch", ["B001", "B002"], {"B003": "minmax"})


def test_every_feature_gets_its_method() -> None:
    assert methods_of({"b": "minmax"}, ["a", "b"]) == {"a": "none", "b": "minmax"}
    assert methods_of("standardize", ["a", "b"]) == {"a": "standardize", "b": "standardize"}


def test_preparing_is_selecting_then_scaling() -> None:
    scaling = Scaling(
        ({"type": "z-score", "mean": 10.0, "stddev": 2.0}, {"type": "scale", "value": 1.0})
    )
    X = np.arange(24, dtype=np.uint16).reshape(2, 3, 2, 2)
    found = Preparation([2, 0], scaling)(X)
    np.testing.assert_array_equal(found, np.stack([(X[:, 2] - 10.0) / 2, X[:, 0]], axis=1))
    assert found.dtype == np.float32


@pytest.mark.parametrize("bands", [None, [2, 0]])
def test_preparing_in_blocks_is_preparing_at_once(
    bands: list[int] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry: ScalingObject = {"type": "z-score", "mean": 10.0, "stddev": 3.0}
    scaling = Scaling((entry,) * len(bands or range(3)))
    X = np.arange(7 * 3 * 4, dtype=np.uint16).reshape(7, 3, 2, 2)
    at_once = Preparation(bands, scaling)(X)
    monkeypatch.setattr("mlops_assets.datasets.loading.scaling.BLOCK_BYTES", 100)
    in_blocks = Preparation(bands, scaling)
    np.testing.assert_array_equal(in_blocks(X), at_once)
    positions = np.array([6, 0, 3, 3])
    np.testing.assert_array_equal(in_blocks(X, positions), at_once[positions])
