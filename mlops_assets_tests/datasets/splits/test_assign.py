"""Splits are stable when a dataset grows, do not leak, and come near the declared fractions."""

from __future__ import annotations

import string
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.datasets.specification.dataset import Split
from mlops_assets.datasets.splits.assign import ALIASES, _place, _placed, assign_splits
from mlops_assets.datasets.versions.contents import Contents, file_rows
from mlops_assets.datasets.versions.sample_shape import PatchShape, RowShape, WindowShape
from mlops_assets.errors import SpecificationError

REPEATABLE = settings(deadline=None, derandomize=True, database=None, max_examples=30)
FRACTIONS = {"train": 0.5, "validation": 0.2, "test": 0.3}


def split(method: str, **changes: Any) -> Split:
    return Split.model_validate({"method": method, "fractions": FRACTIONS} | changes)


def table(values: list[int], **columns: Any) -> Contents:
    """Rows whose content is their value; `columns` are further columns of the samples."""
    samples = pd.DataFrame(
        {
            "path": "a.csv",
            "row": range(len(values)),
            "column": -1,
            "label": "x",
            "group": None,
            "content": [np.float32(value).tobytes() for value in values],
            **columns,
        }
    )
    return Contents(samples, file_rows([{"path": "a.csv"}]), None, ["value"], RowShape())


def scene(
    labelled: np.ndarray[Any, Any], path: str = "images/a.tif", window: int | None = None
) -> Contents:
    rows, columns = np.nonzero(labelled[:: window or 1, :: window or 1])
    samples = pd.DataFrame(
        {
            "path": path,
            "row": rows * (window or 1),
            "column": columns * (window or 1),
            "label": "1",
            "group": None,
        }
    )
    shape = WindowShape(size=window) if window else PatchShape(size=3)
    height, width = labelled.shape
    return Contents(
        samples,
        file_rows([{"path": path, "height": height, "width": width}]),
        None,
        ["B001"],
        shape,
    )


def together(*parts: Contents) -> Contents:
    samples = pd.concat([part.samples for part in parts], ignore_index=True)
    return Contents(samples, pd.concat([part.files for part in parts]), None, [], parts[0].input)


def outcome(contents: Contents, how: Split, keys: list[str]) -> dict[Any, Any]:
    """Return what became of each sample, or nothing where the data is too little to split."""
    try:
        found = assign_splits(contents, how)
    except SpecificationError:
        return {}
    return {
        key: name if isinstance(name, str) else None
        for *key_parts, name in found[[*keys, "split"]].itertuples(index=False)
        for key in [tuple(key_parts)]
    }


def assert_kept(before: dict[Any, Any], after: dict[Any, Any]) -> None:
    assert {key: after[key] for key in before} == before


# growth


@REPEATABLE
@given(
    st.lists(st.integers(0, 50), min_size=8, max_size=40),
    st.lists(st.integers(), max_size=30),
    st.randoms(),
)
def test_growth_moves_no_row_of_a_random_split(
    first: list[int], more: list[int], random: Any
) -> None:
    grown = first + more
    random.shuffle(grown)
    how = split("random")
    assert_kept(outcome(table(first), how, ["content"]), outcome(table(grown), how, ["content"]))


@REPEATABLE
@given(
    st.lists(st.text(string.ascii_letters, max_size=3), min_size=6, max_size=30),
    st.lists(st.text(), max_size=10),
)
def test_growth_moves_no_group(first: list[str], more: list[str]) -> None:
    how, grown = split("group"), [*more, *first]
    before = outcome(table(list(range(len(first))), group=first), how, ["group"])
    after = outcome(table(list(range(len(grown))), group=grown), how, ["group"])
    assert_kept(before, after)


@REPEATABLE
@given(seed=st.integers(0, 2**32 - 1), block=st.integers(1, 9), buffer=st.integers(0, 5))
def test_growth_moves_no_pixel_of_a_spatial_split_in_or_out_of_its_buffer(
    seed: int, block: int, buffer: int
) -> None:
    rng = np.random.default_rng(seed)
    before = rng.random((20, 23)) < 0.3
    after = before | (rng.random((20, 23)) < 0.3)
    how = split("spatial_block", block=block, buffer=buffer)
    place = ["path", "row", "column"]
    grown = together(scene(after, "images/b.tif"), scene(after))
    assert_kept(outcome(scene(before), how, place), outcome(grown, how, place))


@pytest.mark.parametrize("method", ["random", "spatial_block"])
def test_the_order_of_samples_changes_nothing(method: str) -> None:
    contents = scene(np.ones((20, 20), dtype=bool))
    shuffled = replace(contents, samples=contents.samples.sample(frac=1, random_state=0))
    how, place = split(method, block=4, buffer=1), ["path", "row", "column"]
    assert outcome(contents, how, place) == outcome(shuffled, how, place)


# leakage


@REPEATABLE
@given(st.lists(st.integers(0, 15), min_size=20, max_size=80), st.integers(0, 1000))
def test_equal_rows_never_land_in_different_splits(values: list[int], seed: int) -> None:
    try:
        found = assign_splits(table(values), split("random", seed=seed))
    except SpecificationError:
        return
    assert (found.groupby("content")["split"].nunique() == 1).all()


def test_groups_never_cross() -> None:
    groups = np.random.default_rng(0).integers(0, 60, 2000).astype(str)
    found = assign_splits(table(list(range(2000)), group=groups), split("group"))
    assert (found.groupby("group")["split"].nunique() == 1).all()
    assert set(found["split"]) == {"train", "validation", "test"}


@pytest.mark.parametrize("window", [None, 4])
@pytest.mark.parametrize(("block", "buffer"), [(8, 0), (8, 1), (8, 3), (4, 6)])
def test_no_held_out_sample_has_a_pixel_of_a_training_block_within_the_buffer(
    window: int | None, block: int, buffer: int
) -> None:
    shape = (64, 70)
    found = assign_splits(
        scene(np.ones(shape, dtype=bool), window=window),
        split(
            "spatial_block",
            block=block,
            buffer=buffer,
            seed=3,
            fractions={"train": 0.1, "test": 0.9},
        ),
    )
    side = window or 1
    trained = np.zeros(shape, dtype=bool)
    in_train = found.loc[found["split"] == "train", ["row", "column"]].to_numpy()
    for row, column in in_train // block * block:
        trained[row : row + block, column : column + block] = True
    places = zip(found["row"], found["column"], found["split"], found["reason"], strict=True)
    for row, column, of, reason in places:
        reach = trained[
            max(row - buffer, 0) : row + side + buffer,
            max(column - buffer, 0) : column + side + buffer,
        ]
        in_training_block = trained[row, column]
        if in_training_block:
            assert of == "train"
        elif buffer and reach.any():
            assert pd.isna(of) and reason == "within the buffer of a training block"
        else:
            assert of == "test" and reason is None
    assert found["split"].isna().any() == (buffer > 0)


def test_a_training_block_without_any_label_keeps_its_distance_too() -> None:
    how = split("spatial_block", block=8, buffer=2, fractions={"train": 0.5, "test": 0.5})
    everywhere = assign_splits(scene(np.ones((32, 32), dtype=bool)), how)
    emptied = next(
        (r, c)
        for r, c, name in everywhere[["row", "column", "split"]].itertuples(index=False)
        if name == "train"
    )
    labelled = np.ones((32, 32), dtype=bool)
    labelled[emptied[0] // 8 * 8 :, emptied[1] // 8 * 8 :][:8, :8] = False
    place = ["row", "column"]
    assert_kept(
        outcome(scene(labelled), how, place),
        outcome(scene(np.ones((32, 32), dtype=bool)), how, place),
    )


# fractions and methods


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("method", ["random", "group", "temporal"])
def test_the_fractions_are_roughly_those_declared(method: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    times = pd.Timestamp("2020-01-01", tz="UTC") + pd.to_timedelta(
        rng.integers(0, 10**6, 5000), unit="s"
    )
    contents = table(list(range(5000)), group=[str(i) for i in range(5000)], time=times)
    shares = assign_splits(contents, split(method, seed=seed))["split"].value_counts(normalize=True)
    # 3.5 standard deviations of a share of 0.5
    assert shares.to_dict() == pytest.approx(FRACTIONS, abs=0.025)


@given(
    st.lists(st.one_of(st.text(max_size=4), st.binary(max_size=4)), min_size=1),
    st.integers(0, 9),
    st.sampled_from([{"train": 0.6, "validation": 0.1, "test": 0.3}, {"train": 0.7, "test": 0.3}]),
)
@settings(deadline=None)
def test_many_keys_are_placed_as_each_alone(
    keys: list[str | bytes], seed: int, fractions: Any
) -> None:
    how = Split(method="random", seed=seed, fractions=fractions)
    assert _placed(how, keys, pd.RangeIndex(len(keys))).tolist() == [
        _place(how, key) for key in keys
    ]


def test_another_seed_gives_another_division() -> None:
    first, second = (
        assign_splits(table(list(range(200))), split("random", seed=seed))["split"]
        for seed in (0, 1)
    )
    assert (first != second).any()


def test_later_times_are_held_out() -> None:
    times = pd.date_range("2020-01-01", periods=100, tz="UTC")
    found = assign_splits(table(list(range(100)), time=times), split("temporal"))
    assert found["split"].tolist() == ["train"] * 50 + ["validation"] * 20 + ["test"] * 30


@pytest.mark.parametrize(
    ("written", "meant"), [*ALIASES.items(), *((name, name) for name in FRACTIONS)]
)
def test_the_split_column_may_use_common_names(written: str, meant: str) -> None:
    contents = table([1, 2, 3], declared_split=["train", "test", written])
    assert assign_splits(contents, split("column"))["split"].tolist() == ["train", "test", meant]


def test_an_unknown_split_in_the_column_is_refused_with_its_name() -> None:
    with pytest.raises(SpecificationError, match=r"has 'holdout', 'nan'; allowed are train"):
        assign_splits(table([1, 2, 3], declared_split=["train", "holdout", "nan"]), split("column"))


@pytest.mark.parametrize(
    ("contents", "how", "empty"),
    [
        (table([1] * 20), split("random"), "train|test"),
        (table([1, 2, 3], group=["a"] * 3), split("group"), "train|test"),
        (table([1, 2], declared_split=["test", "test"]), split("column"), "train"),
        (table([1, 2], declared_split=["train", "val"]), split("column"), "test"),
        (scene(np.ones((16, 16), dtype=bool)), split("spatial_block", block=4, buffer=30), "test"),
        (scene(np.ones((16, 16), dtype=bool)), split("spatial_block", block=64), "train|test"),
    ],
    ids=["one content", "one group", "no train", "no test", "all buffer", "one block"],
)
def test_a_split_that_leaves_training_or_test_empty_is_refused(
    contents: Contents, how: Split, empty: str
) -> None:
    with pytest.raises(SpecificationError, match=f"puts no sample into ({empty})"):
        assign_splits(contents, how)


def test_equal_times_are_never_divided() -> None:
    times = pd.date_range("2020-01-01", periods=10, tz="UTC").repeat(30)
    found = assign_splits(table(list(range(300)), time=times), split("temporal")).assign(time=times)
    assert (found.groupby("time")["split"].nunique() == 1).all()
    assert found.groupby("split")["time"].max().to_dict() == {
        "train": times[149],
        "validation": times[209],
        "test": times[-1],
    }


@pytest.mark.parametrize("first", [1, 30, 49, 50, 51, 70, 99])
def test_of_two_dates_the_first_is_trained_on_and_the_second_tested(first: int) -> None:
    times = [pd.Timestamp("2020-01-01", tz="UTC")] * first + [
        pd.Timestamp("2020-02-01", tz="UTC")
    ] * (100 - first)
    contents = table(list(range(100)), time=times)
    found = assign_splits(contents, split("temporal", fractions={"train": 0.5, "test": 0.5}))[
        "split"
    ]
    assert found.tolist() == ["train"] * first + ["test"] * (100 - first)


def test_samples_without_a_time_are_named() -> None:
    times = [pd.Timestamp("2020-01-01", tz="UTC"), None, pd.NaT]
    contents = table([1, 2, 3], time=times)
    contents.samples["path"] = ["a.tif", "b.tif", "c.tif"]
    with pytest.raises(
        SpecificationError,
        match=r"needs every sample's time; it is unknown for b\.tif, c\.tif; add",
    ):
        assign_splits(contents, split("temporal"))


def test_a_sample_that_is_left_out_for_a_reason_stays_so() -> None:
    contents = table(list(range(100)), reason=["no data at the centre", *[None] * 99])
    found = assign_splits(contents, split("random"))
    assert pd.isna(found["split"][0]) and found["reason"][0] == "no data at the centre"
    assert found["split"][1:].notna().all() and found["reason"][1:].isna().all()


def test_a_block_of_windows_is_a_multiple_of_their_size_in_pixels() -> None:
    windows = scene(np.ones((32, 32), dtype=bool), window=3)
    with pytest.raises(
        SpecificationError, match="split block 8 must be a multiple of the window size 3, in pixels"
    ):
        assign_splits(windows, split("spatial_block", block=8))
    assert assign_splits(windows, split("spatial_block", block=6))["split"].notna().all()


def test_a_block_without_a_size_has_32_pixels() -> None:
    found = assign_splits(scene(np.ones((96, 96), dtype=bool)), split("spatial_block"))
    blocks = found.groupby([found["row"] // 32, found["column"] // 32])["split"]
    assert (blocks.nunique() == 1).all()
    assert found["split"].nunique() > 1


@pytest.mark.parametrize("known", [None, [0.5, None, 0.5]])
def test_rows_and_images_without_a_place_have_no_blocks(known: Any) -> None:
    places = {} if known is None else {"longitude": known, "latitude": known}
    with pytest.raises(
        SpecificationError, match=r"needs to know where samples are, and \d of 3 have no longitude"
    ):
        assign_splits(table([1, 2, 3], **places), split("spatial_block"))


def test_the_samples_handed_in_are_left_as_they_are() -> None:
    contents = table(list(range(50)))
    before = contents.samples.copy()
    assign_splits(contents, split("random"))
    pd.testing.assert_frame_equal(contents.samples, before)
