"""Pages of samples: filters, orders, and suspicious labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from pydantic import JsonValue

from mlops_assets.datasets.commit.commit import Commit
from mlops_assets.datasets.quality.checks import Report
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.errors import SpecificationError
from mlops_assets.hub.views.samples.listing import SampleFilter, list_samples
from mlops_assets.hub.views.samples.opened import OpenVersion
from mlops_assets.hub.views.samples.sample import sample_detail
from mlops_assets.hub.views.samples.suspicion import suspicions_of
from mlops_assets.names import Reference
from mlops_assets.store import Store
from mlops_assets_tests.conftest import scenes_specification

FIELDS = Reference("fields", "v1")


def assessed(store: Store, name: str, measured: Mapping[str, JsonValue]) -> OpenVersion:
    """A version with a quality report of these measurements."""
    committed = CommittedDataset.open(store.workspace, store.registry, Reference(name, "v1"))
    return OpenVersion(committed, Report.model_validate({"checks": [], **measured}), 0.0)


def test_filters_hold_at_once_and_count_what_matches(store: Store) -> None:
    wanted = SampleFilter(class_name="wheat", split="test", text="SAMPLES.csv")
    found = list_samples(store, FIELDS, wanted, first=1, limit=2)
    committed = CommittedDataset.open(store.workspace, store.registry, FIELDS)
    both = (committed.samples["label"] == "wheat") & (committed.samples["split"] == "test")
    expected = committed.samples.index[both].tolist()
    assert found.matching == len(expected) > 3
    assert [row.index for row in found.rows] == expected[1:3]
    assert {(row.label, row.split) for row in found.rows} == {("wheat", "test")}
    assert sum(one.samples or 0 for one in found.classes) == found.samples == 300
    assert not list_samples(store, FIELDS, SampleFilter(text="elsewhere")).rows


def test_the_mixed_order_has_every_sample_once_on_its_pages(store: Store) -> None:
    wanted = SampleFilter(split="train", order="mixed")
    pages = [list_samples(store, FIELDS, wanted, first, 50) for first in range(0, 300, 50)]
    mixed = [row.index for page in pages for row in page.rows]
    in_order = [
        row.index
        for first in range(0, 300, 50)
        for row in list_samples(store, FIELDS, SampleFilter(split="train"), first, 50).rows
    ]
    assert sorted(mixed) == in_order != mixed


@pytest.mark.parametrize("wanted", [SampleFilter(class_name="rye"), SampleFilter(split="tset")])
def test_an_unknown_class_or_split_is_named_with_those_that_exist(
    store: Store, wanted: SampleFilter
) -> None:
    with pytest.raises(SpecificationError, match=r"has fallow, maize|use train, validation, test"):
        list_samples(store, FIELDS, wanted)


def test_pixels_of_windows_have_classes_so_that_windows_are_not_filtered_by_them(
    store: Store, land_scenes: Callable[..., Commit]
) -> None:
    source = {"url": "landing/tiles", "layout": "scenes", "scenes": {"size": 16, "read": "windows"}}
    land_scenes(scenes_specification("tiles", source=source, split={"method": "random"}))
    with pytest.raises(SpecificationError, match="pixels have classes"):
        list_samples(store, Reference("tiles", "v1"), SampleFilter(class_name="water"))
    # the report names a pixel; the sample is the window around it
    suspect: dict[str, JsonValue] = {
        "path": "images/a.tif",
        "row": 20,
        "column": 33,
        "given": "water",
        "likely": "land",
    }
    version = assessed(store, "tiles", {"label_noise": {"suspects": 9, "worst": [suspect]}})
    found = suspicions_of(version)
    (index,) = found.named
    assert found.found == 9
    found_at = version.committed.samples.iloc[index]
    assert (found_at["row"], found_at["column"]) == (16, 32)


def test_neighbours_are_the_nearest_in_the_scene(
    store: Store, land_scenes: Callable[..., Commit]
) -> None:
    land_scenes()
    found = sample_detail(store, Reference("scenes", "v1"), 500)
    own = found.sample
    assert [file.path for file in found.files] == ["images/a.tif", "labels/a.tif"]
    assert found.neighbours[0].distance == 1 and found.neighbours[0].unit == "px"
    for one in found.neighbours:
        rows, columns = one.sample.row, one.sample.column
        assert rows is not None and columns is not None and own.row is not None
        assert own.column is not None
        assert one.distance == pytest.approx(
            ((rows - own.row) ** 2 + (columns - own.column) ** 2) ** 0.5
        )
