"""Declarations that are refused before any data is read, and what is kept of those that are not."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from pydantic import ValidationError

from mlops_assets.datasets.specification.dataset import DatasetSpecification
from mlops_assets_tests.conftest import scenes_specification, table_specification

TABLE: dict[str, Any] = {"url": "landing/x", "layout": "table", "table": {"label": "crop"}}
SCENES: dict[str, Any] = {"url": "landing/x", "layout": "scenes"}
IMAGES: dict[str, Any] = {"url": "landing/x", "layout": "image_folder"}
STAC: dict[str, Any] = {
    "url": "landing/x",
    "layout": "stac",
    "stac": {"labels": None, "label": "crop"},
}
INTERVAL = ["2020-01-01", "2020-12-31"]


def table(**options: Any) -> dict[str, Any]:
    return {"source": TABLE | {"table": {"label": "crop", **options}}}


NO_CLASSES: tuple[dict[int, str] | None, ...] = (None, {})


def scenes(**options: Any) -> dict[str, Any]:
    return {"source": SCENES | {"scenes": options}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"colour": "red"}, "colour.*Extra inputs"),
        (table(lable="x"), "lable.*Extra inputs"),
        ({"split": {"methd": "random"}}, "methd.*Extra inputs"),
        ({"name": "1st"}, "dataset name '1st' cannot be used"),
        ({"name": "a/b"}, "cannot be used"),
        ({"source": TABLE | {"layout": "cube"}}, "layout"),
        (
            {"source": TABLE | {"url": "ftp://host/x"}},
            r"landings on ftp:// are not supported; use file, s3, az, gs",
        ),
        ({"source": TABLE | {"url": "file://x/y"}}, "a file URL is written file:///ABSOLUTE/PATH"),
        ({"source": TABLE | {"url": "landing/../../x"}}, "leads out of the workspace"),
        (
            {"source": TABLE | {"url": "stac+https://host/x"}},
            "a stac\\+https:// URL needs 'layout: stac'",
        ),
        (
            {"source": TABLE | {"files": ["a.csv"]}},
            "files: only a landing on a web server needs its files named",
        ),
        (
            {"source": TABLE | {"notifications": {"queue": "x"}}},
            "notifications: only buckets on s3://",
        ),
        ({"source": TABLE | {"table": None}}, "layout 'table' needs 'table: {label: COLUMN}'"),
        ({"source": TABLE | {"table": {}}}, "label.*Field required"),
        *(
            ({"source": TABLE | {name: {}}}, f"'{name}:' does not go with layout 'table'")
            for name in ("scenes", "image_folder", "stac")
        ),
        (
            {"source": SCENES | {"table": {"label": "x"}}},
            "'table:' does not go with layout 'scenes'",
        ),
        (table(features="all"), "features"),
        (table(longitude="x"), "longitude and latitude: name both columns, or neither"),
        (table(x="e", y="n"), "x, y and crs: name both columns and their reference system"),
        (table(crs="EPSG:4326"), "x, y and crs: name both columns and their reference system"),
        (
            table(x="e", y="n", crs="EPSG:32632", longitude="x", latitude="y"),
            "name one pair of columns",
        ),
        ({"split": {"method": "magic"}}, "method"),
        (
            scenes() | {"split": {"by": "polygon"}},
            "by: goes with 'method: group', not with 'random'",
        ),
        (
            table(group="farm") | {"split": {"method": "group", "by": "farm"}},
            r"source: \{table: \{group: COLUMN\}\}",
        ),
        (
            scenes(read="windows") | {"split": {"method": "group", "by": "polygon"}},
            "split.by: needs 'read: patches'",
        ),
        ({"split": {"method": "group"}}, r"needs 'table: \{group: COLUMN\}'"),
        ({"split": {"method": "column"}}, r"needs 'table: \{split: COLUMN\}'"),
        ({"split": {"method": "temporal"}}, r"needs 'table: \{time: COLUMN\}'"),
        ({"split": {"block": 0}}, "block"),
        ({"split": {"buffer": -1}}, "buffer"),
        ({"split": {"fractions": {"train": 0.5, "test": 0.4}}}, "sum to 1, not 0.9"),
        ({"split": {"fractions": {"train": 1.2, "test": -0.2}}}, "must be positive"),
        ({"split": {"fractions": {"train": 1.0}}}, "need a 'train' and a 'test' share"),
        ({"split": {"fractions": {"train": 0.5, "tset": 0.5}}}, "tset"),
        (
            {"split": {"fractions": {"train": float("nan"), "test": 0.3}}},
            "fractions must be positive",
        ),
        (
            {"classes": {False: "Norway"}},
            r"classes: False is how YAML parsed an unquoted value; quote it .* \"NO\"",
        ),
        ({"classes": {0: False, 1: True}}, "classes: False is how YAML parsed an unquoted value"),
        ({"classes": {1.5: "wheat"}}, r"classes: 1\.5 is how YAML parsed an unquoted value"),
        ({"classes": {datetime.date(2024, 1, 1): "wheat"}}, "is how YAML parsed an unquoted value"),
        (
            {"classes": {1: "2", 2: "1"}},
            "classes: 1, 2 is both a value and another class's name; rename it",
        ),
        ({"classes": {1: "wheat", 2: "1"}}, "classes: 1 is both a value and another class's name"),
        ({"classes": {1: "1", 2: "1"}}, "classes: 1 is both a value and another class's name"),
        ({"classes": {"a": "b", "b": "c"}}, "classes: b is both a value and another class's name"),
        ({"classes": []}, r"classes.*\[\] has no class; name them"),
        ({"classes": ["wheat", "maize", "wheat"]}, "classes.*wheat is listed twice"),
        ({"classes": ["wheat", " "]}, "classes.*' ' in a list of names is not a name"),
        ({"classes": ["wheat", False]}, "classes: False is how YAML parsed an unquoted value"),
        ({"classes": [1, 2]}, "1, 2 in a list .* write value and name: {1: NAME, 2: NAME}"),
        (table(label_is="text"), "label_is"),
        (table(decimal=";"), "decimal"),
        ({"quality": {"max_duplicates": 1.5}}, "max_duplicates"),
        ({"sensor": {"interval_seconds": 1}}, "interval_seconds"),
        ({"extent": {"bbox": [0, 0, 1], "interval": INTERVAL}}, "bbox"),
        (
            {"extent": {"bbox": [0, 10, 1, 5], "interval": INTERVAL}},
            r"is not \[west, south, east, north\]",
        ),
        (
            {"extent": {"bbox": [500_000, 4_000_000, 500_100, 4_000_100], "interval": INTERVAL}},
            "in degrees",
        ),
        ({"extent": {"bbox": [0, 0, 1, float("nan")], "interval": INTERVAL}}, "in degrees"),
        (
            {"extent": {"bbox": [0, 0, 1, 1], "interval": INTERVAL[::-1]}},
            "interval ends before it starts",
        ),
        ({"extent": {"bbox": [0, 0, 1, 1], "interval": ["yesterday", None]}}, "interval"),
        ({"providers": [{"name": "x", "roles": ["owner"]}]}, "roles"),
    ],
)
def test_a_table_that_cannot_be_meant_is_refused_with_the_reason(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=f"(?s){message}"):
        table_specification(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (scenes(size=4), "odd size to have a centre pixel, not 4"),
        (scenes(size=0), "size"),
        (scenes(size=2048, read="windows"), "size"),
        (scenes(read="tiles"), "read"),
        (scenes(images="images/a.tif"), r"exactly one '\*'"),
        (scenes(images=["images/*.tif", "b.tif"]), r"'b.tif' needs exactly one '\*'"),
        (scenes(images=[]), r"exactly one '\*'"),
        (scenes(labels="*/labels/*.tif"), r"needs one '\*', the scene's name, or none"),
        (scenes(read="windows", label_is="number"), "numbers are estimated for patches"),
        *(
            (scenes(read=read) | {"classes": classes}, r"classes: \{VALUE: NAME\} is needed")
            for read in ("patches", "windows")
            for classes in NO_CLASSES
        ),
        (
            {"classes": {"water": "Water"}},
            "classes: 'water' is not a whole number, as labels of scenes are",
        ),
        (
            {"classes": {0: "water", 1: "land"}},
            "classes: 0 is the value that 'unlabelled' marks as unknown",
        ),
        (scenes(unlabelled=2), "classes: 2 is the value that 'unlabelled' marks as unknown"),
        (
            {"classes": ["water", "land"]},
            r"label rasters \(labels/\*\.tif\) each has; .* {1: NAME, 2: NAME}",
        ),
        (
            {"source": STAC | {"stac": {}}, "classes": ["water", "land"]},
            r"label rasters \(assets of STAC Items\) each has",
        ),
        (
            scenes(labels="labels/*.gpkg") | {"classes": ["10", "20"]},
            "classes.*'10', '20' in a list of names is not a name",
        ),
        ({"split": {"method": "column"}}, "'column' does not go with layout 'scenes'"),
    ],
)
def test_scenes_that_cannot_be_meant_are_refused_with_the_reason(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=f"(?s){message}"):
        scenes_specification(**changes)


@pytest.mark.parametrize(
    ("source", "split", "message"),
    [
        (IMAGES | {"image_folder": {"pattern": "*/*.tif"}}, "random", r"needs '\{label\}' once"),
        (
            IMAGES | {"image_folder": {"pattern": "{label}/{label}/*"}},
            "random",
            r"needs '\{label\}' once",
        ),
        (
            IMAGES | {"image_folder": {"pattern": "{label}/{year}/*"}},
            "random",
            r"needs '\{label\}' once",
        ),
        (IMAGES | {"image_folder": {"size": 0}}, "random", "size"),
        (IMAGES, "column", r"needs 'image_folder: \{pattern: '\{split\}/\{label\}/\*'\}'"),
        (IMAGES, "group", r"needs 'image_folder: \{pattern: '\{label\}/\{group\}_\*'\}'"),
        (
            STAC | {"stac": {"label": "crop"}},
            "random",
            "name the key of the label asset, or 'labels: null' and",
        ),
        (
            STAC | {"stac": {"labels": None}},
            "random",
            "name the key of the label asset, or 'labels: null' and",
        ),
        (STAC | {"stac": {"images": [], "labels": None, "label": "x"}}, "random", "images"),
        (STAC | {"stac": {"bbox": [0, 0, 1], "labels": None, "label": "x"}}, "random", "bbox"),
        (STAC | {"stac": {"assets": "link", "labels": None, "label": "x"}}, "random", "assets"),
        (STAC, "column", r"needs 'stac: \{split: PROPERTY\}'"),
    ],
)
def test_images_and_catalogues_that_cannot_be_meant_are_refused_with_the_reason(
    source: dict[str, Any], split: str, message: str
) -> None:
    with pytest.raises(ValidationError, match=f"(?s){message}"):
        table_specification(source=source, split={"method": split})


@pytest.mark.parametrize("method", ["random", "group", "spatial_block", "temporal"])
def test_scenes_can_be_divided_in_every_way_but_by_a_column(method: str) -> None:
    scenes_specification(split={"method": method})


@pytest.mark.parametrize(
    "interval", [["2020-01-01", "2021-01-01T00:00:00Z"], ["2020-01-01T00:00:00Z", "2021-01-01"]]
)
def test_a_time_without_a_zone_is_utc_in_an_interval(interval: list[str]) -> None:
    table_specification(extent={"bbox": [0, 0, 1, 1], "interval": interval})
    with pytest.raises(ValidationError, match="interval ends before it starts"):
        table_specification(extent={"bbox": [0, 0, 1, 1], "interval": interval[::-1]})


@pytest.mark.parametrize(
    "changes",
    [
        {"source": TABLE | {"url": "/data/x"}},
        {"source": TABLE | {"url": "file:///data/x"}},
        *(
            {"source": TABLE | {"url": f"{scheme}://data/x"}}
            for scheme in ("s3", "az", "gs", "https")
        ),
        {"source": TABLE | {"url": "https://host/x", "files": ["a.csv"]}},
        {"source": TABLE | {"url": "s3://bucket/x", "notifications": {"queue": "https://sqs/q"}}},
        {"source": STAC | {"url": "stac+https://host/x"}},
        {"source": IMAGES, "split": {"method": "spatial_block"}},
        {"source": IMAGES, "split": {"method": "temporal"}},
        {"extent": {"bbox": [170, -10, -170, 10], "interval": [None, None]}},
        {"split": {"fractions": {"train": 0.1 + 0.2, "validation": 0.3, "test": 0.4}}},
        {"classes": {"wheat": "Winter wheat", 2: "Maize"}},
        {"classes": {1: "1", "wheat": "wheat"}},
    ],
    ids=[
        "absolute",
        "file url",
        "s3",
        "az",
        "gs",
        "https",
        "named files",
        "notified",
        "stac",
        "images",
        "dated",
        "antimeridian",
        "rounding",
        "mixed classes",
        "classes named as their values",
    ],
)
def test_a_declaration_that_can_be_meant_is_accepted(changes: dict[str, Any]) -> None:
    table_specification(**changes)


@pytest.mark.parametrize(
    ("changes", "mapping"),
    [
        (table(), {"wheat": "wheat", "maize": "maize"}),
        ({"source": IMAGES}, {"wheat": "wheat", "maize": "maize"}),
        ({"source": STAC}, {"wheat": "wheat", "maize": "maize"}),
        (scenes(labels="fields.GPKG"), {1: "wheat", 2: "maize"}),
    ],
    ids=["table", "folders", "property", "vectors"],
)
def test_a_list_of_classes_stands_for_a_mapping_in_its_order(
    changes: dict[str, Any], mapping: dict[int | str, str]
) -> None:
    listed = table_specification(**changes, classes=["wheat", "maize"])
    assert listed.classes == mapping and list(listed.classes or {}) == list(mapping)
    assert listed == table_specification(**changes, classes=mapping)


def test_a_declaration_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        table_specification().title = "new"


def test_what_is_committed_leaves_out_how_the_landing_is_watched_and_reads_back() -> None:
    declared = table_specification(sensor={"interval_seconds": 99}, title="Fields")
    committed = declared.committed()
    assert "sensor" not in committed
    assert DatasetSpecification.model_validate(committed).committed() == committed
    assert table_specification(title="Fields").committed() == committed
