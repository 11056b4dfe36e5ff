"""Polygons and points as labels: which pixel belongs to which, and what is refused or noted."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import pyogrio
import pytest
from numpy.typing import NDArray
from rasterio import Affine
from shapely import Geometry, LineString, MultiPolygon, Point, Polygon, box

from mlops_assets.datasets.versions.contents import Contents
from mlops_assets.errors import DataProblems
from mlops_assets.testing.reader_cases import read_landing
from mlops_assets_tests.conftest import scenes_specification
from mlops_assets_tests.datasets.readers.landing import UTM, write_raster

SIDE = 20
Read = Callable[..., Contents]
Row = tuple[Geometry | None, Any]


def square(top: int, left: int, bottom: int, right: int) -> Polygon:
    """The outline of pixels in the coordinates of the scene."""
    (x0, y0), (x1, y1) = UTM["transform"] @ (left, top), UTM["transform"] @ (right, bottom)
    return box(x0, y1, x1, y0)


def land(
    folder: Path,
    *rows: Row,
    name: str = "a.geojson",
    crs: str | None = "EPSG:32630",
    scene: str = "a",
) -> None:
    write_raster(folder / f"{scene}.tif", np.ones((2, SIDE, SIDE), dtype=np.uint8), **UTM)
    geometry, labels = zip(*rows, strict=True)
    frame = geopandas.GeoDataFrame({"crop": list(labels)}, geometry=list(geometry), crs=crs)
    if name.endswith(".geojson"):
        (folder / name).write_text(frame.to_json(to_wgs84=crs is not None, drop_id=True))
    else:
        (
            frame.to_parquet(folder / name)
            if name.endswith("parquet")
            else frame.to_file(folder / name)
        )


def burned(found: Contents) -> NDArray[np.int64]:
    """Labels of the pixels of the first scene, 0 where unknown."""
    labels = np.zeros((SIDE, SIDE), dtype=np.int64)
    labels[found.samples["row"], found.samples["column"]] = found.samples["label"].astype(np.int64)
    return labels


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "landing").mkdir()
    return tmp_path / "landing"


@pytest.fixture
def read(folder: Path) -> Read:
    """Read the landing with options of the layout, or `classes`, in place of the usual.

    `read(labels="*.gpkg")`.
    """

    def read_with(
        classes: dict[int, str] | list[str] | None = None, by: str | None = None, **options: Any
    ) -> Contents:
        layout = {"images": "*.tif", "labels": "*.geojson", "label_column": "crop", **options}
        source = {"url": "landing", "layout": "scenes", "scenes": layout}
        changes = {"classes": classes} if classes else {}
        split = {"method": "group", "by": by} if by else {"method": "random"}
        return read_landing(folder, scenes_specification(source=source, split=split, **changes))

    return read_with


def problems(read: Read, **options: Any) -> list[str]:
    with pytest.raises(DataProblems) as raised:
        read(**options)
    return raised.value.problems


# which pixel belongs to what


def test_a_pixel_belongs_to_the_polygon_that_its_centre_lies_in(folder: Path, read: Read) -> None:
    shift = 4.0  # metres; less than half a pixel
    x, y = square(3, 5, 9, 11).exterior.xy
    land(folder, (Polygon(zip(np.add(x, shift), np.add(y, shift), strict=True)), "water"))
    expected = np.zeros((SIDE, SIDE), dtype=np.int64)
    expected[3:9, 5:11] = 1
    np.testing.assert_array_equal(burned(read()), expected)


def test_names_are_numbered_in_the_order_of_the_list(folder: Path, read: Read) -> None:
    land(folder, (square(0, 0, 4, 4), "wheat"), (square(8, 8, 12, 12), "maize"))
    found = read(classes=["maize", "wheat"])
    assert found.classes == [{"value": 1, "name": "maize"}, {"value": 2, "name": "wheat"}]
    expected = np.zeros((SIDE, SIDE), dtype=np.int64)
    expected[0:4, 0:4], expected[8:12, 8:12] = 2, 1
    np.testing.assert_array_equal(burned(found), expected)


def test_holes_and_parts_of_polygons_are_seen(folder: Path, read: Read) -> None:
    ring = Polygon(square(2, 2, 10, 10).exterior, [square(4, 4, 8, 8).exterior])
    land(folder, (MultiPolygon([ring, square(15, 15, 18, 18)]), "land"))
    expected = np.zeros((SIDE, SIDE), dtype=np.int64)
    expected[2:10, 2:10] = expected[15:18, 15:18] = 2
    expected[4:8, 4:8] = 0
    np.testing.assert_array_equal(burned(read()), expected)


def test_points_label_the_pixel_they_lie_in_and_lines_those_they_cross(
    folder: Path, read: Read
) -> None:
    at = UTM["transform"]
    land(
        folder,
        (Point(*(at @ (7.9, 3.1))), "water"),
        (LineString([at @ (2.5, 10.5), at @ (9.5, 10.5)]), "land"),
    )
    expected = np.zeros((SIDE, SIDE), dtype=np.int64)
    expected[3, 7], expected[10, 2:10] = 1, 2
    np.testing.assert_array_equal(burned(read()), expected)


@pytest.mark.parametrize("crs", ["EPSG:32630", "EPSG:4326", "EPSG:3857", "EPSG:32631"])
@pytest.mark.parametrize("name", ["a.gpkg", "a.shp", "a.fgb", "a.parquet", "a.geoparquet"])
def test_labels_in_any_format_and_projection_are_laid_on_the_scene(
    folder: Path, read: Read, name: str, crs: str
) -> None:
    frame = geopandas.GeoSeries([square(3, 5, 9, 11)], crs="EPSG:32630").to_crs(crs)
    land(folder, (frame.iloc[0], "water"), name=name, crs=crs)
    assert np.argwhere(burned(read(labels=f"*.{name.split('.')[1]}")) == 1).tolist() == [
        [row, column] for row in range(3, 9) for column in range(5, 11)
    ]


@pytest.mark.parametrize(
    ("label", "classes"),
    [(True, {1: "flooded"}), (1.0, {1: "flooded"}), ("Gru\u0308nland", {1: "Gr\u00fcnland"})],
)
def test_labels_are_spelled_as_in_tables(
    folder: Path, read: Read, label: object, classes: dict[int, str]
) -> None:
    land(folder, (square(3, 5, 9, 11), label), name="a.gpkg")
    assert (burned(read(labels="*.gpkg", classes=classes)) == 1).sum() == 36


@pytest.mark.parametrize("upside", ["down", "rotated"])
def test_labels_are_laid_on_scenes_of_any_orientation(
    folder: Path, read: Read, upside: str
) -> None:
    north_down = Affine(10, 0, 500_000, 0, 10, 4_700_000)
    turned = Affine.translation(500_000, 4_700_000) @ Affine.rotation(30) @ Affine.scale(10, -10)
    grid = {"down": north_down, "rotated": turned}[upside]
    land(
        folder, (Polygon([grid @ corner for corner in ((5, 3), (11, 3), (11, 9), (5, 9))]), "water")
    )
    write_raster(
        folder / "a.tif", np.ones((2, SIDE, SIDE), dtype=np.uint8), crs="EPSG:32630", transform=grid
    )
    expected = np.zeros((SIDE, SIDE), dtype=np.int64)
    expected[3:9, 5:11] = 1
    np.testing.assert_array_equal(burned(read()), expected)


@pytest.mark.parametrize(
    ("rows", "disputed"),
    [
        ([(square(2, 2, 8, 8), "water"), (square(5, 5, 12, 12), "land")], 9),
        (
            [
                (square(2, 2, 8, 8), "water"),
                (square(5, 5, 12, 12), "land"),
                (square(2, 2, 8, 8), "water"),
            ],
            9,
        ),
        ([(square(2, 2, 8, 8), "land"), (square(5, 5, 12, 12), "land")], 0),
        ([(square(2, 2, 8, 8), "water"), (square(2, 8, 8, 14), "land")], 0),
    ],
    ids=["two", "one twice", "one class", "side by side"],
)
def test_pixels_that_features_of_two_classes_claim_are_unlabelled_and_noted(
    folder: Path, read: Read, rows: list[Row], disputed: int
) -> None:
    land(folder, *rows)
    found = read()
    labels = burned(found)
    if disputed:
        assert not labels[5:8, 5:8].any()
        assert found.notes == [
            "a.geojson: 9 pixel(s) of a are claimed by features of different labels and are"
            " unlabelled"
        ]
    else:
        assert found.notes == []
    squares = {shape.wkt: shape for shape, _ in rows if shape is not None}
    claimed = sum(shape.area for shape in squares.values()) / 100
    assert np.count_nonzero(labels) == claimed - (
        2 * disputed if disputed else 9 * (rows[0][1] == rows[1][1])
    )


def test_equal_numbers_are_not_a_conflict_and_others_are(folder: Path, read: Read) -> None:
    land(folder, (square(2, 2, 8, 8), 0.5), (square(2, 2, 8, 8), 0.5), (square(2, 2, 4, 4), 0.75))
    found = read(label_is="number")
    assert len(found.samples) == 36 - 4
    assert set(found.samples["label"]) == {0.5}
    assert found.notes == [
        "a.geojson: 4 pixel(s) of a are claimed by features of different labels and are unlabelled"
    ]


def test_without_a_value_for_unlabelled_the_ground_outside_of_polygons_is_still_unknown(
    folder: Path, read: Read
) -> None:
    land(folder, (square(2, 2, 8, 8), "water"), (square(10, 10, 12, 12), "none"))
    found = read(classes={0: "none", 1: "water"}, unlabelled=None)
    assert found.samples["label"].value_counts().to_dict() == {"1": 36, "0": 4}


# labels


@pytest.mark.parametrize(
    "labels",
    [["water", "land"], [1, 2], ["1", "2"], [1.0, 2.0], [["water"], ["land"]]],
    ids=["names", "values", "texts of values", "floats", "lists of one"],
)
def test_a_label_may_be_the_name_or_the_value_of_a_class(
    folder: Path, read: Read, labels: list[Any]
) -> None:
    land(folder, (square(2, 2, 8, 8), labels[0]), (square(10, 10, 12, 12), labels[1]))
    assert read().samples["label"].value_counts().to_dict() == {"1": 36, "2": 4}


@pytest.mark.parametrize(
    ("labels", "problem"),
    [
        (
            ["rye", "oats"],
            (
                r"has label\(s\) 'oats', 'rye' that are not declared classes; add them to 'classes'"
                r" or correct"
            ),
        ),
        (
            [["water", "land"], ["land"]],
            r"has a feature with 2 labels \(water, land\); give each one",
        ),
        ([[], ["land"]], "has a feature with 0 labels"),
        ([None, "land"], r"1 feature\(s\) have no 'crop'; label or remove them"),
    ],
)
def test_labels_that_are_not_a_class_are_refused(
    folder: Path, read: Read, labels: list[Any], problem: str
) -> None:
    land(folder, (square(2, 2, 8, 8), labels[0]), (square(10, 10, 12, 12), labels[1]))
    (found,) = problems(read)
    assert found.startswith("a.geojson: ")
    with pytest.raises(DataProblems, match=problem):
        read()


@pytest.mark.parametrize("labels", [["tall", "high"], [1.5, None], [1.5, float("inf")]])
def test_labels_that_are_not_numbers_are_refused(
    folder: Path, read: Read, labels: list[Any]
) -> None:
    land(
        folder,
        (square(2, 2, 8, 8), labels[0]),
        (square(10, 10, 12, 12), labels[1]),
        name="a.parquet",
    )
    (found,) = problems(read, labels="*.parquet", label_is="number")
    assert found.startswith("a.parquet: ")
    assert re.search(
        r"(not numbers: .*|have no 'crop'|has infinite labels); (correct|label) ", found
    )


def test_a_missing_column_is_named_with_the_existing_ones(folder: Path, read: Read) -> None:
    land(folder, (square(2, 2, 8, 8), "water"))
    assert problems(read, label_column="kind") == [
        "a.geojson: has no column 'kind'; it has 'crop'; name it as 'label_column'"
    ]


# geometry


def test_a_scene_s_own_feature_outside_of_it_is_refused(folder: Path, read: Read) -> None:
    land(
        folder,
        (square(2, 2, 8, 8), "water"),
        (square(2, 200, 8, 208), "land"),
        (square(-9, 2, -5, 8), "land"),
    )
    assert problems(read) == [
        "a.geojson: 2 of 3 feature(s) lie outside of every scene it labels (a), the first is number"
        " 2; correct their coordinates or remove them"
    ]


def test_swapped_coordinates_lie_outside_and_are_refused(folder: Path, read: Read) -> None:
    land(folder, (square(2, 2, 8, 8), "water"))
    document = json.loads((folder / "a.geojson").read_text())
    (ring,) = document["features"][0]["geometry"]["coordinates"]
    document["features"][0]["geometry"]["coordinates"] = [[[y, x] for x, y in ring]]
    (folder / "a.geojson").write_text(json.dumps(document))
    (found,) = problems(read)
    assert "1 of 1 feature(s) lie outside of every scene" in found


@pytest.mark.parametrize(("lost", "refused"), [(1, False), (3, True)])
def test_a_file_for_all_scenes_may_reach_beyond_them_but_not_with_most_of_it(
    folder: Path, read: Read, lost: int, refused: bool
) -> None:
    rows: list[Row] = [(square(2, 2, 8, 8), "water"), (square(10, 2, 18, 8), "land")]
    land(
        folder, *rows, *[(square(500 + i, 2, 508, 8), "land") for i in range(lost)], name="all.gpkg"
    )
    if refused:
        (found,) = problems(read, labels="all.gpkg")
        assert found.startswith("all.gpkg: 3 of 5 feature(s) lie outside")
    else:
        (note,) = read(labels="all.gpkg").notes
        assert note.startswith("all.gpkg: 1 of 3 feature(s) lie outside") and note.endswith(
            "; they are not used"
        )


@pytest.mark.parametrize(
    "geometry", [None, Polygon(), MultiPolygon()], ids=["none", "empty", "empty parts"]
)
def test_a_feature_without_geometry_is_refused(
    folder: Path, read: Read, geometry: Geometry | None
) -> None:
    land(folder, (square(2, 2, 8, 8), "water"), (geometry, "land"), name="a.parquet")
    assert problems(read, labels="*.parquet") == [
        "a.parquet: has 1 feature(s) without geometry, first number 2; remove them"
    ]


def test_a_file_without_any_feature_is_refused(folder: Path, read: Read) -> None:
    land(folder, (square(2, 2, 8, 8), "water"))
    (folder / "a.geojson").write_text('{"type": "FeatureCollection", "features": []}')
    assert problems(read) == ["a.geojson: has no feature; remove the file or draw some"]


def test_a_polygon_that_crosses_itself_labels_what_it_encloses(folder: Path, read: Read) -> None:
    at = UTM["transform"]
    bow = Polygon([at @ corner for corner in ((2, 2), (12, 12), (12, 2), (2, 12))])
    assert not bow.is_valid
    land(folder, (bow, "water"), (square(15, 15, 18, 18), "land"))
    found = read()
    assert [note.partition(" (")[0] for note in found.notes] == [
        "a.geojson: feature number 1: is not a valid polygon"
    ]
    labels = burned(found)
    assert labels[7, 3] == labels[7, 11] == 1  # in the wings left and right
    assert labels[3, 7] == labels[11, 7] == 0  # above and below the knot


@pytest.mark.parametrize("lacking", ["image", "labels"])
def test_labels_and_image_need_a_georeference_both_or_neither(
    folder: Path, read: Read, lacking: str
) -> None:
    land(
        folder,
        (square(2, 2, 8, 8), "water"),
        name="a.parquet",
        crs=None if lacking == "labels" else "EPSG:32630",
    )
    if lacking == "image":
        write_raster(folder / "a.tif", np.ones((2, SIDE, SIDE), dtype=np.uint8))
    (found,) = problems(read, labels="*.parquet")
    assert found.startswith("a.parquet: cannot be laid over the image: ")
    assert "no coordinate reference system; set it" in found


def test_a_geopackage_may_have_styles_beside_its_one_layer_of_labels(
    folder: Path, read: Read
) -> None:
    land(folder, (square(2, 2, 8, 8), "water"), name="a.gpkg")
    styles = pd.DataFrame({"f_table_name": ["a"], "styleQML": ["<qgis/>"]})
    pyogrio.write_dataframe(styles, folder / "a.gpkg", layer="layer_styles", append=True)
    assert len(read(labels="*.gpkg").samples) == 36


def test_a_file_with_several_layers_of_labels_is_refused_with_their_names(
    folder: Path, read: Read
) -> None:
    land(folder, (square(2, 2, 8, 8), "water"), name="a.gpkg")
    more = geopandas.GeoDataFrame(
        {"crop": ["land"]}, geometry=[square(9, 9, 12, 12)], crs="EPSG:32630"
    )
    more.to_file(folder / "a.gpkg", layer="fields 2020")
    (found,) = problems(read, labels="*.gpkg")
    assert found.startswith("a.gpkg: ")
    assert found.endswith(
        "has 2 layers with geometry (a, fields 2020), of which one is allowed; correct or replace"
        " the file"
    )


def test_a_geopackage_with_unsaved_changes_is_refused_and_reading_one_writes_nothing(
    folder: Path, read: Read
) -> None:
    land(folder, (square(2, 2, 8, 8), "water"), name="a.gpkg")
    with closing(sqlite3.connect(folder / "a.gpkg")) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("CREATE TABLE other (x)")
        (found,) = problems(read, labels="*.gpkg")
        assert found.startswith(
            "a.gpkg: has changes in a.gpkg-wal that are not in it yet; close the program"
        )
    assert len(read(labels="*.gpkg").samples) == 36
    assert sorted(path.name for path in folder.iterdir()) == ["a.gpkg", "a.tif"]


def test_a_shapefile_without_its_parts_is_refused(folder: Path, read: Read) -> None:
    land(folder, (square(2, 2, 8, 8), "water"), name="a.shp")
    (folder / "a.dbf").unlink()
    (found,) = problems(read, labels="*.shp")
    assert found.startswith("a.shp: ")


# groups


def land_grouped(folder: Path, *rows: tuple[Polygon, Any, Any], name: str = "a.parquet") -> None:
    write_raster(folder / "a.tif", np.ones((2, SIDE, SIDE), dtype=np.uint8), **UTM)
    shapes, crops, farms = zip(*rows, strict=True)
    frame = geopandas.GeoDataFrame(
        {"crop": crops, "farm": farms}, geometry=list(shapes), crs="EPSG:32630"
    )
    frame.to_parquet(folder / name)


PARCELS = [
    (square(0, 0, 6, 20), "water", 7.0),
    (square(6, 0, 10, 20), "land", 7.0),
    (square(8, 5, 16, 20), "land", 8.0),  # overlaps the one before
]


def test_pixels_of_a_polygon_stay_together_and_those_of_two_are_left_out(
    folder: Path, read: Read
) -> None:
    land_grouped(folder, *PARCELS)
    found = read(labels="*.parquet", by="polygon").samples
    groups = np.full((SIDE, SIDE), "", dtype=object)
    groups[found["row"], found["column"]] = found["group"]
    assert (
        len(set(groups[:6].ravel()))
        == len(set(groups[6:8].ravel()))
        == len(set(groups[10:16, 5:].ravel()))
        == 1
    )
    assert len({groups[0, 0], groups[6, 0], groups[12, 12]}) == 3
    left_out = found[found["reason"].notna()]
    assert (set(left_out["row"]), set(left_out["column"])) == ({8, 9}, set(range(5, 20)))
    assert set(left_out["reason"]) == {"in features of several groups"}


def test_a_group_does_not_depend_on_other_features(folder: Path, read: Read) -> None:
    land_grouped(folder, *PARCELS)
    before = read(labels="*.parquet", by="polygon").samples.set_index(["row", "column"])["group"]
    land_grouped(folder, (square(17, 0, 20, 20), "water", 1.0), *PARCELS)
    after = read(labels="*.parquet", by="polygon").samples.set_index(["row", "column"])["group"]
    assert (after[before.index] == before).all()


def test_pixels_may_be_grouped_by_a_column_of_the_layer(folder: Path, read: Read) -> None:
    land_grouped(folder, *PARCELS)
    found = read(labels="*.parquet", by="farm").samples
    assert set(found.loc[found["row"] < 8, "group"]) == {"7"}
    assert set(found.loc[found["row"] >= 10, "group"]) == {"8"}


def test_an_unknown_group_is_a_problem(folder: Path, read: Read) -> None:
    land_grouped(folder, *PARCELS[:2], (*PARCELS[2][:2], np.nan))
    assert problems(read, labels="*.parquet", by="farm") == [
        "a.parquet: 1 feature(s) have no 'farm', by which they are split; fill it"
    ]
    assert problems(read, labels="*.parquet", by="owner") == [
        "a.parquet: has no column 'owner'; it has 'crop', 'farm'; name one of them as 'split:"
        " {by: …}'"
    ]
    write_raster(folder / "a_labels.tif", np.ones((SIDE, SIDE), dtype=np.uint8), **UTM)
    (raster,) = problems(read, labels="*_labels.tif", by="polygon")
    assert raster.startswith("a_labels.tif: is a raster, which has no 'polygon'")


# longitudes


@pytest.mark.parametrize("shift", [-360, 0, 360])
@pytest.mark.parametrize("west", [179.9, -180.1, 9.0])
def test_labels_and_scenes_may_count_degrees_differently(
    folder: Path, read: Read, west: float, shift: float
) -> None:
    at = Affine(0.01, 0, west, 0, -0.01, 1)
    write_raster(
        folder / "a.tif", np.ones((2, SIDE, SIDE), dtype=np.uint8), crs="EPSG:4326", transform=at
    )
    shape = box(west + 0.05 + shift, 0.9, west + 0.15 + shift, 0.95)
    frame = geopandas.GeoDataFrame({"crop": ["water"]}, geometry=[shape], crs="EPSG:4326")
    frame.to_parquet(folder / "a.parquet")
    labels = burned(read(labels="*.parquet"))
    expected = np.zeros((SIDE, SIDE), dtype=np.int64)
    expected[5:10, 5:15] = 1
    np.testing.assert_array_equal(labels, expected)


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:32630"])
def test_a_feature_that_is_nowhere_on_the_globe_lies_in_no_scene(
    folder: Path, read: Read, crs: str
) -> None:
    at = Affine(0.001, 0, -3, 0, -0.001, 42.46) if crs == "EPSG:4326" else UTM["transform"]
    write_raster(folder / "a.tif", np.ones((2, SIDE, SIDE), dtype=np.uint8), crs=crs, transform=at)
    inside = geopandas.GeoSeries([box(-2.9999, 42.4503, -2.9985, 42.4522)], crs="EPSG:4326").to_crs(
        "EPSG:3857"
    )
    shapes = [inside[0], box(1e12, 1e12, 2e12, 2e12)]
    geopandas.GeoDataFrame(
        {"crop": ["water", "land"]}, geometry=shapes, crs="EPSG:3857"
    ).to_parquet(folder / "a.parquet")
    (found,) = problems(read, labels="*.parquet")
    assert "1 of 2 feature(s) lie outside of every scene" in found


def test_a_polygon_in_two_parts_at_the_antimeridian_labels_both_sides(
    folder: Path, read: Read
) -> None:
    at = Affine(0.01, 0, 179.9, 0, -0.01, 1)
    write_raster(
        folder / "a.tif", np.ones((2, SIDE, SIDE), dtype=np.uint8), crs="EPSG:4326", transform=at
    )
    shape = MultiPolygon([box(179.95, 0.9, 180, 0.95), box(-180, 0.9, -179.95, 0.95)])
    frame = geopandas.GeoDataFrame({"crop": ["water"]}, geometry=[shape], crs="EPSG:4326")
    frame.to_parquet(folder / "a.parquet")
    assert sorted(set(np.argwhere(burned(read(labels="*.parquet")))[:, 1])) == list(range(5, 15))


@pytest.mark.parametrize("values", [[True, False], ["true", "False"], [1, 0]])
def test_truths_are_labels_as_in_tables(folder: Path, read: Read, values: list[Any]) -> None:
    land(
        folder,
        (square(0, 0, 5, 20), values[0]),
        (square(5, 0, 10, 20), values[1]),
        name="a.parquet",
    )
    found = read({0: "no", 1: "yes"}, labels="*.parquet", unlabelled=None).samples
    assert (
        set(found.loc[found["row"] < 5, "label"]),
        set(found.loc[found["row"] >= 5, "label"]),
    ) == ({"1"}, {"0"})
    numbers = read({0: "no"}, labels="*.parquet", label_is="number").samples
    assert set(numbers["label"]) == {1.0, 0.0}


def test_warnings_of_gdal_are_logged_and_not_printed(
    folder: Path, read: Read, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    land(folder, (square(2, 2, 8, 8), "water"), (square(10, 10, 12, 12), "water"))
    document = json.loads((folder / "a.geojson").read_text())
    for feature in document["features"]:
        feature["id"] = 1
    (folder / "a.geojson").write_text(json.dumps(document))
    read()
    assert "Several features with id = 1" in caplog.text
    assert not any(capfd.readouterr())


def test_a_shapefile_whose_reference_system_is_damaged_is_a_problem(
    folder: Path, read: Read
) -> None:
    land(folder, (square(2, 2, 8, 8), "water"), name="a.shp")
    (folder / "a.prj").write_text('PROJCS["x",EXTENSION["PROJ4","+proj=longlat"]]')
    (found,) = problems(read, labels="*.shp")
    assert found.startswith("a.shp: cannot be read as vector labels: ")
