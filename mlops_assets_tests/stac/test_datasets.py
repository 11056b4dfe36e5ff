"""The record of a data version, for data of every layout, and the facts that it leaves open."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pystac
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from pystac.extensions.classification import ClassificationExtension
from pystac.extensions.file import FileExtension
from pystac.extensions.projection import ProjectionExtension
from pystac.extensions.scientific import ScientificExtension
from pystac.extensions.table import TableExtension
from pystac.extensions.version import CollectionVersionExtension, ItemVersionExtension
from pystac.validation import validate_dict
from shapely import geometry

from mlops_assets.datasets.quality.assessment import assess
from mlops_assets.datasets.recall.verify import verify
from mlops_assets.datasets.specification.dataset import DatasetSpecification, QualityThresholds
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.datasets.versions.extents import enclosing
from mlops_assets.errors import IntegrityError
from mlops_assets.names import Reference
from mlops_assets.paths import Owner, dataset_collection_key
from mlops_assets.principals import local
from mlops_assets.registry import Registry
from mlops_assets.stac.dataset_items import STAC_SPLITS
from mlops_assets.stac.datasets import write_dataset_record
from mlops_assets.stac.description import changes, description
from mlops_assets.stac.extents import WHOLE_WORLD
from mlops_assets.storage import Workspace
from mlops_assets.store import Store
from mlops_assets_tests.conftest import crops_table
from mlops_assets_tests.stac.recorded import (
    COVER,
    PLACES,
    PLATFORM,
    collection,
    document,
    items,
    land_images,
    land_scene,
    land_table,
    record,
    record_all,
)

DATASETS = {
    "fields": 1,
    "bare": 1,
    "photos": 12,
    "stacked": 2,
    "pacific": 1,
    "drawn": 1,
    "found": 2,
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """One data version of every layout, recorded."""
    root = tmp_path_factory.mktemp("records") / "workspace"
    store = Store(
        Workspace(root.as_uri()),
        Registry(f"sqlite:///{root / 'registry.db'}").acting(local("tester")),
    )
    record_all(store)
    return store


@pytest.mark.parametrize("name", DATASETS)
def test_every_document_is_valid_and_every_extension_readable(name: str, store: Store) -> None:
    found = collection(store, name)
    assert len(validate_dict(found, extensions=[])) == 1
    assert CollectionVersionExtension.ext(pystac.Collection.from_dict(found)).version == "v1"
    documents = items(store, name)
    assert len(documents) == DATASETS[name]
    for plain in documents:
        assert len(validate_dict(plain, extensions=[])) == 1
        item = pystac.Item.from_dict(plain)
        assert ItemVersionExtension.ext(item).version == "v1"
        assert {"label:type", "label:properties", "label:description"} <= plain["properties"].keys()
        for asset in item.assets.values():
            assert str(FileExtension.ext(asset).checksum).startswith("1220")
            assert asset.extra_fields.get("ml-aoi:role") in ("feature", "label")


@pytest.mark.parametrize("name", DATASETS)
def test_exactly_the_extensions_in_use_are_named(name: str, store: Store) -> None:
    for found in (collection(store, name), *items(store, name)):
        text = json.dumps({k: v for k, v in found.items() if k != "stac_extensions"})
        named = {uri.split("/")[3]: uri for uri in found["stac_extensions"]}
        prefixes = {"projection": "proj", "scientific": "sci"}
        used = {
            extension for extension in named if f'"{prefixes.get(extension, extension)}:' in text
        }
        assert used | {"version"} == set(named)
        for prefix in (
            "proj",
            "label",
            "classification",
            "table",
            "raster",
            "ml-aoi",
            "eo",
            "sci",
            "file",
        ):
            if f'"{prefix}:' in text:
                assert {v: k for k, v in prefixes.items()}.get(prefix, prefix) in named


def test_a_table_has_columns_with_types_and_rows(store: Store) -> None:
    (found,) = items(store, "fields")
    table = TableExtension.ext(pystac.Item.from_dict(found))
    columns = {column.name: (column.col_type, column.description) for column in table.columns or []}
    assert table.row_count == 120
    assert columns["crop"] == ("str", "label") and columns["farm"] == ("int64", "group")
    assert columns["ndvi_01"] == ("float64", "feature") and columns["lon"][1] is None
    assert found["assets"]["table"]["file:local_path"] == "samples of 2024.csv"
    (bare,) = items(store, "bare")
    types = {column["name"]: column["type"] for column in bare["properties"]["table:columns"]}
    assert types["ndvi_01"] == "double" and bare["properties"]["table:row_count"] == 80


def test_a_table_is_where_and_when_its_rows_are(store: Store, tmp_path: Path) -> None:
    table = land_table(tmp_path / "again")
    (found,) = items(store, "fields")
    expected = [table["lon"].min(), table["lat"].min(), table["lon"].max(), table["lat"].max()]
    assert found["bbox"] == pytest.approx(expected)
    assert geometry.shape(found["geometry"]).bounds == pytest.approx(tuple(expected))
    assert PLACES["minx"] <= found["bbox"][0] < found["bbox"][2] <= PLACES["maxx"]
    interval = ["2024-03-01T00:00:00Z", "2024-06-28T00:00:00Z"]
    properties = found["properties"]
    assert [properties["datetime"], properties["start_datetime"], properties["end_datetime"]] == [
        interval[0],
        *interval,
    ]
    assert collection(store, "fields")["extent"]["temporal"]["interval"] == [interval]


@pytest.mark.parametrize("name", ["bare", "photos"])
def test_unknown_values_are_null_and_stated_to_be_unknown(name: str, store: Store) -> None:
    row = store.registry.data_version(Reference(name))
    for found in items(store, name):
        assert found["geometry"] is None and "bbox" not in found
        properties = found["properties"]
        assert properties["datetime"][:19] == row.created.isoformat()[:19]
        assert properties["mlops:datetime_is"] == "unknown"
        assert not {"start_datetime", "end_datetime"} & properties.keys()
        assert properties.get("proj:code") is None and "proj:transform" not in properties
        assert not any(
            "nodata" in asset or "raster:spatial_resolution" in asset
            for asset in found["assets"].values()
        )
    described = collection(store, name)
    extent = described["extent"]
    assert (
        extent["spatial"]["bbox"] == [WHOLE_WORLD] and extent["temporal"]["interval"][0][0] is None
    )
    assert (
        described["mlops:extent"].startswith("unknown")
        and described["mlops:datetime_is"] == "unknown"
    )


def test_ids_of_items_are_unique_in_the_whole_catalogue(store: Store, tmp_path: Path) -> None:
    again = Store(
        Workspace((tmp_path / "workspace").as_uri()),
        Registry(f"sqlite:///{tmp_path / 'r.db'}").acting(local("tester")),
    )
    for rows in (40, 60):
        (tmp_path / "workspace/landing/bare").mkdir(parents=True, exist_ok=True)
        crops_table(rows).to_csv(tmp_path / "workspace/landing/bare/crops.csv", index=False)
        record(again, "bare", {"layout": "table", "table": {"label": "crop"}})
    ids = [item["id"] for version in ("v1", "v2") for item in items(again, "bare", version)]
    assert ids == ["bare-v1-crops.csv", "bare-v2-crops.csv"]
    manifests = (
        again.workspace.local_path(f"datasets/bare/{version}/manifest.parquet")
        for version in ("v1", "v2")
    )
    assert [pq.read_table(path)["id"].to_pylist() for path in manifests] == [
        [found] for found in ids
    ]


NULLABLE = ("geometry", "label:properties", "name")


@pytest.mark.parametrize("name", DATASETS)
def test_what_is_not_known_is_left_out(name: str, store: Store) -> None:
    def nulls(value: object) -> list[str]:
        if isinstance(value, dict):
            own = [key for key, entry in value.items() if entry is None and key not in NULLABLE]
            return own + [found for entry in value.values() for found in nulls(entry)]
        return (
            [found for entry in value for found in nulls(entry)] if isinstance(value, list) else []
        )

    assert not nulls([collection(store, name), *items(store, name)])


def test_an_assessed_version_has_figures_failed_checks_and_thresholds(
    tmp_path: Path,
) -> None:
    store = Store(
        Workspace((tmp_path / "workspace").as_uri()),
        Registry(f"sqlite:///{tmp_path / 'r.db'}").acting(local("tester")),
    )
    land_table(tmp_path / "workspace/landing/fields")
    committed = record(store, "fields", {"layout": "table", "table": {"label": "crop"}})
    assert "mlops:quality" not in collection(store, "fields")
    assess(store.registry, committed, QualityThresholds(max_imbalance=1))
    write_dataset_record(store.workspace, store.registry, committed)
    quality = collection(store, "fields")["mlops:quality"]
    assert "class_balance" in quality["failed"] and quality["thresholds"]["max_imbalance"] == 1
    roles = {name: asset["roles"] for name, asset in collection(store, "fields")["assets"].items()}
    assert roles["figures-band_histograms"] == ["graphic"]
    assert [name for name, own in roles.items() if "thumbnail" in own] == ["figures-class_counts"]
    assert not any("overview" in own for own in roles.values())


def test_a_changed_description_changes_the_record_and_nothing_else(tmp_path: Path) -> None:
    store = Store(
        Workspace((tmp_path / "workspace").as_uri()),
        Registry(f"sqlite:///{tmp_path / 'r.db'}").acting(local("tester")),
    )
    land_table(tmp_path / "workspace/landing/fields")
    committed = record(
        store, "fields", {"layout": "table", "table": {"label": "crop"}}, license="CC-BY-3.0"
    )
    before = description(store.workspace, store.registry, committed.row)
    extent = {"bbox": [9, 47, 11, 48], "interval": ["2024-03-01T00:00:00Z", "2024-06-01T00:00:00Z"]}
    declared = {"title": "Fields", "license": "CC-BY-4.0", "extent": extent}
    now = DatasetSpecification.model_validate(
        committed.specification.model_dump(mode="json") | declared
    )
    described = committed.described_as(now)
    write_dataset_record(store.workspace, store.registry, described)
    found = changes(before, description(store.workspace, store.registry, committed.row))
    assert found[:2] == ["title: not set → Fields", "license: CC-BY-3.0 → CC-BY-4.0"]
    assert [line.partition(":")[0] for line in found] == ["title", "license", "extent"]
    (item,) = items(store, "fields")
    assert (item["bbox"], item["properties"]["license"]) == ([9, 47, 11, 48], "CC-BY-4.0")
    assert (
        described.row == committed.row
        and described.specification.split == committed.specification.split
    )


def test_a_changed_record_is_named_and_not_written_again_with_its_new_links(tmp_path: Path) -> None:
    store = Store(
        Workspace((tmp_path / "workspace").as_uri()),
        Registry(f"sqlite:///{tmp_path / 'r.db'}").acting(local("tester")),
    )
    landed = land_table(tmp_path / "workspace/landing/fields")
    source = {"layout": "table", "table": {"label": "crop"}}
    first = record(store, "fields", source)
    key = dataset_collection_key("fields", "v1")
    path = store.workspace.root / key
    changed = path.read_text().replace("Training data", "Changed data")
    path.write_text(changed)
    with pytest.raises(IntegrityError, match=f"{key} is not as it was published"):
        description(store.workspace, store.registry, first.row)
    landed.iloc[:-1].to_csv(tmp_path / "workspace/landing/fields/samples of 2024.csv", index=False)
    with pytest.raises(
        IntegrityError,
        match=f"{key} is not as it was published; .* remove it and record that version",
    ):
        record(store, "fields", source)
    assert path.read_text() == changed
    assert store.registry.files(Owner("record:fields@v2")) == []
    path.unlink()
    write_dataset_record(store.workspace, store.registry, first)
    second = CommittedDataset.open(store.workspace, store.registry, Reference("fields", "v2"))
    write_dataset_record(store.workspace, store.registry, second)
    assert [link["rel"] for link in collection(store, "fields")["links"]].count(
        "successor-version"
    ) == 1
    for version in ("v1", "v2"):
        assert verify(store.workspace, store.registry, Reference("fields", version)).damages == []


def test_an_image_has_its_label_and_split(store: Store) -> None:
    found = items(store, "photos")
    samples = store.registry.data_version(Reference("photos")).counts
    for item in found:
        path = item["assets"]["image"]["file:local_path"]
        assert item["properties"]["mlops:label"] == path.split("/")[0]
        assert item["properties"]["label:properties"] == ["mlops:label"]
        assert item["properties"]["label:classes"] == [
            {"name": "mlops:label", "classes": ["forest", "lake"]}
        ]
        assert item["assets"]["image"]["data_type"] == "uint8" and item["properties"][
            "proj:shape"
        ] == [8, 8]
        assert [band["name"] for band in item["assets"]["image"]["bands"]] == [
            "B001",
            "B002",
            "B003",
        ]
    splits = [item["properties"]["ml-aoi:split"] for item in found]
    assert {split: splits.count(word) for split, word in STAC_SPLITS.items() if word in splits} == {
        split: count for split, count in samples.items() if count
    }


def test_a_scene_has_all_its_files_bands_and_classes(store: Store) -> None:
    found = {item["id"]: item for item in items(store, "stacked")}
    assert set(found) == {"stacked-v1-north 1", "stacked-v1-south"}
    assert found["stacked-v1-south"]["properties"]["title"] == "south"
    assets = found["stacked-v1-north 1"]["assets"]
    assert {name: asset["file:local_path"] for name, asset in assets.items()} == {
        "image": "a/north 1.tif",
        "image-2": "b/north 1.tif",
        "image-3": "c/north 1.tif",
        "labels": "labels/north 1.tif",
    }
    assert [
        [band["name"] for band in assets[name]["bands"]] for name in ("image", "image-2", "image-3")
    ] == [
        ["blue", "green"],
        ["red"],
        ["nir"],
    ]
    assert assets["image-3"]["bands"][0]["eo:center_wavelength"] == 0.84
    for name in ("image", "image-2"):
        assert (assets[name]["data_type"], assets[name]["nodata"]) == ("uint16", 65535)
        assert assets[name]["raster:spatial_resolution"] == 10.0
    classes = ClassificationExtension.ext(
        pystac.Item.from_dict(found["stacked-v1-south"]).assets["labels"]
    ).classes
    assert classes is not None
    assert [(entry.value, entry.title) for entry in classes] == list(COVER.items())
    assert [entry.name for entry in classes] == ["water_body", "land"]
    (overview,) = found["stacked-v1-south"]["properties"]["label:overviews"]
    assert sum(entry["count"] for entry in overview["counts"]) == 24 * 24
    assert found["stacked-v1-south"]["properties"]["label:type"] == "raster"


def test_a_scene_is_where_its_raster_is(store: Store) -> None:
    landing = store.workspace.root / "landing/stacked"
    for item in items(store, "stacked"):
        with rasterio.open(landing / item["assets"]["image"]["file:local_path"]) as raster:
            bounds = rasterio.warp.transform_bounds(raster.crs, "EPSG:4326", *raster.bounds)
            projection = ProjectionExtension.ext(pystac.Item.from_dict(item))
            assert (projection.code, projection.shape) == ("EPSG:32630", [24, 24])
            assert projection.transform == list(raster.transform)[:6]
        assert item["bbox"] == pytest.approx(bounds)
        outline = geometry.shape(item["geometry"])
        assert outline.is_valid and outline.exterior.is_ccw
        assert outline.bounds == pytest.approx(bounds, abs=1e-5)
    assert collection(store, "stacked")["summaries"]["proj:code"] == ["EPSG:32630"]


def test_a_scene_across_the_antimeridian_is_not_around_the_world(store: Store) -> None:
    (found,) = items(store, "pacific")
    west, _, east, _ = found["bbox"]
    assert 179.8 < west < 180 and -180 < east < -179.7
    outline = geometry.shape(found["geometry"])
    assert outline.geom_type == "MultiPolygon" and outline.area < 1
    assert collection(store, "pacific")["extent"]["spatial"]["bbox"] == [found["bbox"]]
    assert found["properties"]["label:tasks"] == ["segmentation"]
    assert "label:overviews" not in found["properties"]  # windows have no label of their own


def test_outlines_are_labels_with_the_property_they_are_of(store: Store) -> None:
    (found,) = items(store, "drawn")
    properties, labels = found["properties"], found["assets"]["labels"]
    assert (properties["label:type"], properties["label:properties"]) == ("vector", ["cover"])
    assert properties["label:classes"] == [{"name": "cover", "classes": list(COVER.values())}]
    assert properties["label:overviews"][0]["property_key"] == "cover"
    assert (labels["type"], labels["file:local_path"]) == ("application/geo+json", "fields.geojson")
    assert "data_type" not in labels and "classification:classes" not in labels
    assert "classification:classes" not in collection(store, "drawn")["item_assets"]["labels"]


def test_an_item_of_a_catalogue_keeps_its_name_and_names_its_source(store: Store) -> None:
    found = {item["properties"]["title"]: item for item in items(store, "found")}
    assert set(found) == {"S2:A", "plain"}
    for name, item in found.items():
        (via,) = (link["href"] for link in item["links"] if link["rel"] == "via")
        assert item["id"] == f"found-v1-{name}"
        assert via == f"https://example.org/items/{name.replace(':', '_')}.json"
        assert item["properties"]["datetime"] == "2024-05-06T10:20:30Z"
    assert not any(
        link["rel"] == "via" for item in items(store, "stacked") for link in item["links"]
    )


def test_band_fields_on_which_all_items_agree_are_in_the_collection(store: Store) -> None:
    shared = collection(store, "found")["item_assets"]["image"]["bands"]
    assert [band.get("eo:common_name") for band in shared] == ["blue", "green", "red", "nir"]


def test_platform_and_bands_of_an_item_are_kept(store: Store) -> None:
    for item in items(store, "found"):
        assert PLATFORM.items() <= item["properties"].items()
        assert "mission" not in item["properties"]  # a number is no name of one
        image = item["assets"]["image"]
        assert image["nodata"] == 65535  # as the file has it
        assert [
            (b["name"], b["eo:common_name"], b["eo:center_wavelength"], b["nodata"])
            for b in image["bands"]
        ] == [
            (f"x-{name}", name, wavelength, 0)
            for name, wavelength in {"blue": 0.49, "green": 0.56, "red": 0.66, "nir": 0.84}.items()
        ]
        assert not any("eo:full_width_half_max" in band for band in image["bands"])
    summaries = collection(store, "found")["summaries"]
    assert {name: summaries[name] for name in PLATFORM} == {
        "platform": ["sentinel-2a"],
        "constellation": ["sentinel-2"],
        "instruments": ["msi"],
        "gsd": [10],
    }


def test_a_declared_extent_fills_in_for_the_files(tmp_path: Path) -> None:
    root = tmp_path / "workspace"
    store = Store(
        Workspace(root.as_uri()),
        Registry(f"sqlite:///{root / 'registry.db'}").acting(local("tester")),
    )
    land_images(root / "landing/photos")
    dated = {
        "bbox": [-10, 40, -5, 45],
        "interval": ["2020-01-01T00:00:00Z", None],
        "approximate": True,
    }
    record(store, "photos", {"layout": "image_folder"}, extent=dated)
    row = store.registry.data_version(Reference("photos"))
    for item in items(store, "photos"):
        properties = item["properties"]
        assert (
            item["bbox"] == [-10, 40, -5, 45]
            and properties["start_datetime"] == "2020-01-01T00:00:00Z"
        )
        assert properties["end_datetime"][:19] == row.created.isoformat()[:19]
        assert "mlops:datetime_is" not in properties and "proj:transform" not in properties
    manifest = pq.read_table(store.workspace.local_path("datasets/photos/v1/manifest.parquet"))
    assert set(manifest["start_datetime"].to_pylist()) == {datetime(2020, 1, 1, tzinfo=UTC)}
    # the files themselves have no place
    assert manifest["geometry"].null_count == manifest["bbox"].null_count == 12
    found = collection(store, "photos")
    assert found["extent"] == {
        "spatial": {"bbox": [[-10, 40, -5, 45]]},
        "temporal": {"interval": [["2020-01-01T00:00:00Z", None]]},
    }
    assert found["mlops:extent"] == "approximate; as declared"


def test_the_collection_has_the_declaration(store: Store) -> None:
    found = collection(store, "stacked")
    assert (found["license"], found["title"]) == ("CC-BY-4.0", "Two scenes, v1")
    assert found["providers"] == [
        {"name": "Somebody", "roles": ["producer"], "url": "https://example.org"}
    ]
    cited = ScientificExtension.ext(pystac.Collection.from_dict(found))
    assert (cited.doi, cited.citation) == ("10.1234/scenes", "Somebody (2024).")
    assert found["summaries"]["label:classes"] == [{"name": None, "classes": list(COVER.values())}]
    assert found["item_assets"]["labels"]["classification:classes"][0]["value"] == 1


@pytest.mark.parametrize("name", DATASETS)
def test_the_manifest_is_an_asset_of_the_collection(name: str, store: Store) -> None:
    found = collection(store, name)["assets"]["manifest"]
    assert (found["type"], found["roles"]) == (
        "application/vnd.apache.parquet",
        ["collection-mirror"],
    )
    assert found["href"] == f"../../../../datasets/{name}/v1/manifest.parquet"
    stat = store.workspace.stat(f"datasets/{name}/v1/manifest.parquet")
    assert (found["file:checksum"], found["file:size"]) == (f"1220{stat.sha256}", stat.size)


def test_many_items_are_in_the_manifest_only(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlops_assets.stac.datasets.MAX_ITEMS", 11)
    land_images(store.workspace.root / "landing/many")
    record(store, "many", {"layout": "image_folder"})
    found = collection(store, "many")
    assert not any(link["rel"] == "item" for link in found["links"])
    assert found["mlops:items"].startswith("12 Items")
    keys = sorted(
        key.rpartition("/")[2] for key in store.workspace.list("catalog/datasets/many/v1")
    )
    assert keys == ["collection.json", "training-dml.json"]
    assert "mlops:items" not in collection(store, "photos")


def test_recording_again_changes_nothing(store: Store) -> None:
    from mlops_assets.datasets.versions.committed_dataset import CommittedDataset

    for name in DATASETS:
        before = {
            key: store.workspace.get(key)
            for key in store.workspace.list(f"catalog/datasets/{name}")
        }
        committed = CommittedDataset.open(store.workspace, store.registry, Reference(name, "v1"))
        files = write_dataset_record(store.workspace, store.registry, committed)
        assert files[0].path == dataset_collection_key(name, "v1")
        assert {
            key: store.workspace.get(key)
            for key in store.workspace.list(f"catalog/datasets/{name}")
        } == before
        registered = {file.path: file for file in store.registry.files(Owner(f"record:{name}@v1"))}
        assert registered.keys() == before.keys() - {f"catalog/datasets/{name}/catalog.json"}


def test_files_by_reference_are_named_where_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "workspace"
    store = Store(
        Workspace(root.as_uri()),
        Registry(f"sqlite:///{root / 'registry.db'}").acting(local("tester")),
    )
    land_scene(root / "landing/far", "a")
    scenes = {"images": "image/*.tif", "labels": "labels/*.tif", "size": 1}
    committed = record(store, "far", {"layout": "scenes", "scenes": scenes}, classes=COVER)
    committed.manifest["href"] = [
        "https://example.org/" + path for path in committed.manifest["path"]
    ]
    write_dataset_record(store.workspace, store.registry, committed)
    (item,) = items(store, "far")
    assert item["assets"]["image"]["href"] == "https://example.org/image/a.tif"
    described = document(store, "catalog/datasets/far/v1/training-dml.json")
    assert {url for entry in described["data"] for url in entry["dataURL"]} == {
        "https://example.org/image/a.tif"
    }


degrees = st.integers(-180, 180).map(float)
boxes = st.tuples(degrees, degrees).map(lambda ends: [ends[0], 0.0, ends[1], 1.0])


def inside(longitude: float, box: list[float]) -> bool:
    west, _, east, _ = box
    return west <= longitude <= east if west <= east else longitude >= west or longitude <= east


@given(st.lists(boxes, min_size=1, max_size=6))
def test_a_box_around_boxes_holds_them_all(found: list[list[float]]) -> None:
    around = enclosing(found)
    for longitude in range(-180, 181):
        assert inside(longitude, around) or not any(inside(longitude, box) for box in found)


@pytest.mark.parametrize(
    ("found", "around"),
    [
        ([[-5, 40, -4, 41], [3, 30, 4, 31]], [-5, 30, 4, 41]),
        ([[-178, 0, -177, 1], [177, 0, 178, 1]], [177, 0, -177, 1]),
        ([[175, 0, -175, 1]], [175, 0, -175, 1]),
        ([[-180, -90, 180, 90]], [-180, -90, 180, 90]),
    ],
)
def test_a_box_around_boxes_is_the_smallest(found: list[list[float]], around: list[float]) -> None:
    assert enclosing(found) == around


def test_a_collection_has_keywords_splits_and_classes_with_colours(store: Store) -> None:
    found = collection(store, "found")
    assert {"msi", "sentinel-2", "classification"} <= set(found["keywords"])
    assert found["summaries"]["ml-aoi:split"] == ["train", "test"]
    classes = found["summaries"]["classification:classes"]
    assert classes == found["item_assets"]["labels"]["classification:classes"]
    assert [(own["value"], own["title"]) for own in classes] == list(COVER.items())
    assert len({own["color_hint"] for own in classes}) == 2
    # classes that are texts have their indices
    texts = collection(store, "photos")["summaries"]["classification:classes"]
    assert [(own["value"], own["name"]) for own in texts] == [(0, "forest"), (1, "lake")]
