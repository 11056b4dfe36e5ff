"""STAC catalogues from anybody: hrefs that lead elsewhere, circles, half documents.

Nothing outside is ever read.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlops_assets.datasets.commit.commit import commit
from mlops_assets.datasets.readers import LAYOUTS
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.datasets.versions.contents import Contents
from mlops_assets.errors import DataProblems, EmptyLanding
from mlops_assets.names import Reference
from mlops_assets.store import Store
from mlops_assets.testing.reader_cases import read_landing
from mlops_assets_tests.conftest import scenes_specification
from mlops_assets_tests.datasets.readers.landed_catalogues import item, write_catalog
from mlops_assets_tests.datasets.readers.landing import UTM, write_raster

Read = Callable[..., Contents]
SECRET = "root:x:0:0:secret"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A landing with two whole Items, a and b, beside an unrelated file."""
    folder = tmp_path / "landing"
    (tmp_path / "passwd").write_text(SECRET)
    items = []
    for number, name in enumerate("ab"):
        write_raster(
            folder / f"{name}/image.tif", np.full((2, 12, 12), number + 1, dtype=np.uint8), **UTM
        )
        write_raster(folder / f"{name}/labels.tif", np.ones((12, 12), dtype=np.uint8), **UTM)
        items.append(
            (
                f"{name}/item.json",
                item(name, {"image": "./image.tif", "labels": "./labels.tif"}, number),
            )
        )
    write_catalog(folder, items)
    return folder


@pytest.fixture
def read(folder: Path) -> Read:
    def read_with(**options: Any) -> Contents:
        source = {"url": "landing", "layout": "stac", "stac": options}
        return read_landing(
            folder,
            scenes_specification(source=source, classes={1: "x"}, split={"method": "random"}),
        )

    return read_with


def change(folder: Path, path: str, edit: Callable[[dict[str, Any]], object]) -> None:
    document = json.loads((folder / path).read_text())
    edit(document)
    (folder / path).write_text(json.dumps(document))


def set_assets(assets: Mapping[str, object]) -> Callable[[dict[str, Any]], None]:
    return lambda item: item.update(assets=assets)


def set_properties(**properties: object) -> Callable[[dict[str, Any]], None]:
    return lambda item: item["properties"].update(properties)


def add_link(link: dict[str, str]) -> Callable[[dict[str, Any]], None]:
    return lambda document: document["links"].append(link)


def problems(read: Read, **options: Any) -> list[str]:
    with pytest.raises(DataProblems) as raised:
        read(**options)
    assert SECRET not in str(raised.value)
    return raised.value.problems


def test_bands_are_joined_by_the_names_that_items_give_or_refused(folder: Path, read: Read) -> None:
    bands = [{"name": "red"}, {"name": "nir", "center_wavelength": 0.84}]
    change(folder, "a/item.json", lambda item: item["assets"]["image"].update({"bands": bands}))
    (problem,) = problems(read)
    assert problem.startswith("b/image.tif: has no band names, a/image.tif has red, nir; ")
    change(
        folder,
        "b/item.json",
        lambda item: item["assets"]["image"].update({"eo:bands": bands[::-1]}),
    )
    found = read()
    assert found.features == ["red", "nir"]
    assert found.files.set_index("path")["bands"].to_dict()["b/image.tif"] == [2, 1]
    change(
        folder,
        "b/item.json",
        lambda item: item["assets"]["image"].update({"eo:bands": [{"name": "red"}, "nir"]}),
    )
    assert len(problems(read)) == 1


# where hrefs lead


@pytest.mark.parametrize(
    "href",
    [
        "../../passwd",
        "../../../../../../etc/passwd",
        "/etc/passwd",
        "file:///etc/passwd",
        "{parent}/passwd",
        "%2e%2e/%2e%2e/passwd",
        "..%2F..%2Fpasswd",
        "./x/../../../passwd",
        "//host/etc/passwd",
        "ftp://host/x.tif",
        "..",
        "",
        "?x=1",
        "#x",
        "\\\\host\\share",
        "..\\..\\passwd",
    ],
)
@pytest.mark.parametrize("key", ["image", "labels"])
def test_an_asset_that_leads_out_of_the_landing_is_refused(
    folder: Path, read: Read, href: str, key: str
) -> None:
    at = href.format(parent=folder.parent)
    change(folder, "b/item.json", lambda item: item["assets"][key].update(href=at))
    (found,) = problems(read)
    assert found.startswith(f"Item b: asset {key!r} at {at!r} ")
    assert found.endswith("; correct the href or land the file")


@pytest.mark.parametrize(
    "href",
    ["../../passwd", "/etc/passwd", "file:///etc/passwd", "..%2F..%2Fpasswd", "../../x.json"],
)
def test_a_link_that_leads_out_of_the_landing_is_refused(
    folder: Path, read: Read, href: str
) -> None:
    change(
        folder,
        "catalog.json",
        lambda catalog: catalog["links"].append({"rel": "child", "href": href}),
    )
    (found,) = problems(read)
    assert found == f"catalog.json: its link {href!r} leads out of the landing"


def test_an_asset_behind_a_link_out_of_the_landing_is_refused(folder: Path, read: Read) -> None:
    (folder / "a/image.tif").unlink()
    (folder / "a/image.tif").symlink_to(folder.parent / "passwd")
    assert problems(read) == ["a/image.tif: links out of the landing; put the file itself there"]


def test_a_hidden_file_is_not_landed_for_a_catalogue_either(folder: Path, read: Read) -> None:
    (folder / "a/image.tif").rename(folder / "a/.image.tif")
    change(folder, "a/item.json", lambda item: item["assets"]["image"].update(href=".image.tif"))
    (found,) = problems(read)
    assert "is missing; correct the href or land the file" in found


@pytest.mark.parametrize("url", ["https://host/x.tif?sig=abc", "s3://bucket/x.tif?versionId=1"])
def test_a_signed_url_is_refused_as_it_will_not_last(folder: Path, read: Read, url: str) -> None:
    change(folder, "b/item.json", lambda item: item["assets"]["image"].update(href=url))
    (found,) = problems(read)
    assert (
        found
        == "Item b: asset 'image' has a signed or query URL, which will not last; give a plain one"
    )


def test_hrefs_are_unquoted_and_may_go_up_within_the_landing(folder: Path, read: Read) -> None:
    (folder / "more data").mkdir()
    (folder / "a/image.tif").rename(folder / "more data/im#1.tif")
    change(
        folder,
        "a/item.json",
        lambda item: item["assets"]["image"].update(href="../more%20data/im%231.tif"),
    )
    assert "more data/im#1.tif" in read().files["path"].tolist()


def test_absolute_hrefs_may_lead_into_the_landing(folder: Path, read: Read) -> None:
    before = read()
    base = folder.as_uri()
    for name in "ab":
        assets = {key: {"href": f"{base}/{name}/{key}.tif"} for key in ("image", "labels")}
        change(folder, f"{name}/item.json", set_assets(assets))
    links = [{"rel": "item", "href": f"{base}/{name}/item.json"} for name in "ab"]
    change(folder, "all/collection.json", lambda found: found.update(links=links))
    change(
        folder,
        "catalog.json",
        lambda found: found["links"][0].update(href=f"{base}/all/collection.json"),
    )
    after = read()
    assert after.files["path"].tolist() == before.files["path"].tolist()
    pd.testing.assert_frame_equal(after.samples, before.samples)


# circles and repetitions


def test_links_in_a_circle_end(folder: Path, read: Read) -> None:
    circle = [
        {"rel": "child", "href": "./catalog.json"},
        {"rel": "child", "href": "all/collection.json"},
    ]
    change(folder, "catalog.json", lambda catalog: catalog["links"].extend(circle))
    change(
        folder,
        "all/collection.json",
        lambda found: found["links"].append({"rel": "child", "href": "../catalog.json"}),
    )
    assert len(read().files) == 5  # with the catalogue


def test_two_items_with_one_id_are_refused(folder: Path, read: Read) -> None:
    change(folder, "b/item.json", lambda item: item.update(id="a"))
    assert problems(read) == ["a: two Items have this id; give each its own"]


def test_an_image_that_two_items_share_is_refused_as_its_samples_would_be_duplicates(
    folder: Path, read: Read
) -> None:
    change(
        folder, "b/item.json", lambda item: item["assets"]["image"].update(href="../a/image.tif")
    )
    (found,) = problems(read)
    assert found.startswith("a/image.tif: is an image of Items a, b; ")


def test_a_file_is_not_part_of_a_stack_twice(folder: Path, read: Read) -> None:
    change(folder, "b/item.json", lambda item: item["assets"].update(other={"href": "./image.tif"}))
    change(
        folder, "a/item.json", lambda item: item["assets"].update(other={"href": "./labels.tif"})
    )
    (found,) = problems(read, images=["image", "other"])
    assert found.startswith("b/image.tif: is an image of Items b, b; ")


# documents


@pytest.mark.parametrize(
    "edit",
    [
        lambda item: item.pop("assets"),
        lambda item: item.update(assets=None),
        lambda item: item.update(assets=[]),
        lambda item: item.update(assets={"image": "image.tif", "labels": "labels.tif"}),
        lambda item: item["assets"].update(image={}),
        lambda item: item["assets"].update(image={"href": None}),
        lambda item: item["assets"].update(image={"href": ["image.tif"]}),
        lambda item: item["assets"].pop("image"),
        lambda item: item["assets"].pop("labels"),
        lambda item: item.pop("id"),
        lambda item: item.update(id=7),
        lambda item: item.update(id=""),
        lambda item: item.update(type="Fiction"),
        lambda item: item.pop("type"),
        lambda item: item.update(links=[None]),
        lambda item: item.update(links=[{"rel": "source"}]),
        lambda item: item.update(links=None),
        lambda item: item.update(properties=None),
        lambda item: item.pop("properties"),
        lambda item: item.update(bbox=[0, 1, 2]),
        lambda item: item.update(bbox="x"),
        lambda item: item.update(bbox=[]),
    ],
)
def test_half_an_item_is_named_with_what_it_lacks(
    folder: Path, read: Read, edit: Callable[[dict[str, Any]], Any]
) -> None:
    change(folder, "b/item.json", edit)
    (found,) = problems(read)
    assert found.startswith(("b/item.json: ", "Item b: "))
    assert "; " in found


@pytest.mark.parametrize("when", ["yesterday", None, 7, {"start": 1}])
def test_a_time_that_is_none_is_unknown(folder: Path, read: Read, when: Any) -> None:
    change(folder, "b/item.json", lambda item: item["properties"].update(datetime=when))
    assert read().files.set_index("path")["datetime"].isna()["b/image.tif"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"7",
        b'"x"',
        b"\xff\xfe",
        b"{}",
        b'{"type": "Catalog", "links": null}',
        (
            b'{"type": "Catalog", "links": [7, null, {"rel": "child"}, {"rel": "child", "href":'
            b" null}]}"
        ),
        b'{"type": "FeatureCollection", "features": null}',
        b"[" * 100_000,
        b'{"type": ["Catalog"]}',
    ],
    ids=[
        "empty",
        "half",
        "list",
        "null",
        "number",
        "text",
        "bytes",
        "nothing",
        "no links",
        "half links",
        "no features",
        "deep",
        "list of types",
    ],
)
@pytest.mark.parametrize("path", ["catalog.json", "all/collection.json", "b/item.json"])
def test_a_document_that_is_none_is_named(
    folder: Path, read: Read, path: str, content: bytes
) -> None:
    (folder / path).write_bytes(content)
    (found,) = problems(read)
    assert found.startswith(f"{path}: ")
    assert "; " in found


def test_a_feature_that_is_not_an_item_is_reported(folder: Path, read: Read) -> None:
    items = [json.loads((folder / f"{name}/item.json").read_text()) for name in "ab"]
    for name, document in zip("ab", items, strict=True):
        for key in ("image", "labels"):
            document["assets"][key]["href"] = f"{name}/{key}.tif"
    del items[1]["assets"]
    (folder / "all.json").write_text(
        json.dumps({"type": "FeatureCollection", "features": [*items, {"id": "x"}]})
    )
    found = problems(read, catalog="all.json")
    assert [text.split(":")[0] for text in found] == ["all.json", "all.json"]


def test_missing_documents_are_all_named(folder: Path, read: Read) -> None:
    (folder / "b/item.json").unlink()
    gone = [{"rel": "item", "href": "./gone.json"}]
    change(folder, "catalog.json", lambda catalog: catalog["links"].extend(gone))
    assert sorted(problems(read)) == [
        "b/item.json: is not in the landing; land it or correct the link",
        "gone.json: is not in the landing; land it or correct the link",
    ]


def test_a_catalogue_without_any_item_is_an_empty_landing(folder: Path, read: Read) -> None:
    change(folder, "all/collection.json", lambda found: found.update(links=[]))
    with pytest.raises(EmptyLanding, match="has no Item"):
        read()


def test_keys_that_no_item_has_are_reported_with_the_existing_ones(
    folder: Path, read: Read
) -> None:
    (found,) = problems(read, images=["B04"])
    assert (
        found
        == "no Item has an asset 'B04'; there are image, labels; name the assets as 'stac: {images:"
        " [KEY, …]}'"
    )


def test_all_problems_of_all_items_are_reported_at_once(folder: Path, read: Read) -> None:
    change(folder, "a/item.json", lambda item: item["assets"]["image"].update(href="../../passwd"))
    change(folder, "b/item.json", lambda item: item["assets"]["labels"].update(href="gone.tif"))
    assert [text.split(":")[0] for text in problems(read)] == ["Item a", "Item b"]


# properties of Items


def test_the_box_of_the_item_is_taken_where_the_file_has_none(folder: Path, read: Read) -> None:
    for name in "ab":
        write_raster(folder / f"{name}/image.tif", np.ones((2, 12, 12), dtype=np.uint8))
        write_raster(folder / f"{name}/labels.tif", np.ones((12, 12), dtype=np.uint8))
    change(folder, "a/item.json", lambda item: item.update(bbox=[1, 2, 0, 3, 4, 9]))
    boxes = read().files.set_index("path")["bbox"]
    assert boxes["a/image.tif"] == [1, 2, 3, 4]
    assert boxes["b/image.tif"] is None


@pytest.mark.parametrize(
    ("bbox", "expected"),
    [
        ([190, -20, 200, -10], [-170, -20, -160, -10]),
        ([170, -20, 190, -10], [170, -20, -170, -10]),
        ([170, -20, -170, -10], [170, -20, -170, -10]),
        ([0, -90.125, 360, 90.125], [-180, -90, 180, 90]),
        ([-180.05, -90.05, 180.05, 90.05], [-180, -90, 180, 90]),
        ([500_000, 4_000_000, 500_100, 4_000_100], None),
        ([0, 10, 1, 5], None),
        ([0, 0, float("nan"), 1], None),
    ],
)
def test_boxes_of_items_are_in_degrees_as_geojson_has_them(
    folder: Path, read: Read, bbox: list[float], expected: list[float] | None
) -> None:
    for name in "ab":
        write_raster(folder / f"{name}/image.tif", np.ones((2, 12, 12), dtype=np.uint8))
    change(folder, "a/item.json", lambda item: item.update(bbox=bbox))
    if expected is None:
        (found,) = problems(read)
        assert found.startswith("Item a: bbox [")
        assert found.endswith("is not west, south, east, north in degrees; correct or remove it")
    else:
        assert read().files.set_index("path")["bbox"]["a/image.tif"] == expected


def test_the_middle_of_an_interval_is_the_time(folder: Path, read: Read) -> None:
    interval = {
        "datetime": None,
        "start_datetime": "2020-01-01T00:00:00Z",
        "end_datetime": "2020-01-03T00:00:00Z",
    }
    change(folder, "a/item.json", lambda item: item["properties"].update(interval))
    assert (
        read().files.set_index("path")["datetime"]["a/image.tif"].isoformat()
        == "2020-01-02T00:00:00+00:00"
    )


@pytest.mark.parametrize(
    ("times", "zoneless"),
    [
        ({"datetime": "2020-01-02T00:00:00"}, True),
        ({"datetime": "2020-01-02"}, True),
        ({"datetime": "2020-01-02T00:00:00+00:00"}, False),
        (
            {
                "datetime": None,
                "start_datetime": "2020-01-01T00:00:00",
                "end_datetime": "2020-01-03T00:00:00Z",
            },
            True,
        ),
    ],
)
def test_a_time_without_a_zone_is_utc_and_noted(
    folder: Path, read: Read, times: dict[str, str | None], zoneless: bool
) -> None:
    change(folder, "a/item.json", lambda item: item["properties"].update(times))
    found = read()
    assert (
        found.files.set_index("path")["datetime"]["a/image.tif"].isoformat()
        == "2020-01-02T00:00:00+00:00"
    )
    assert found.notes == (["Item a: times without a zone are taken as UTC"] if zoneless else [])


def test_a_whole_item_without_data_is_left_out_and_noted(folder: Path) -> None:
    write_raster(folder / "a/image.tif", np.zeros((2, 12, 12), dtype=np.uint8), nodata=0, **UTM)
    for name in "ab":
        change(folder, f"{name}/item.json", lambda item: item["properties"].update(crop="x"))
    source = {"url": "landing", "layout": "stac", "stac": {"labels": None, "label": "crop"}}
    found = read_landing(
        folder, scenes_specification(source=source, classes=None, split={"method": "random"})
    )
    assert found.samples["reason"].dropna().to_dict() == {0: "no pixel has data"}
    assert [note.partition(" (")[0] for note in found.notes] == ["a/image.tif: no pixel has data"]


@pytest.mark.parametrize(
    ("first", "second", "classes", "labels"),
    [
        (True, False, {0: "no", 1: "yes"}, ["1", "0"]),
        ("True", False, None, ["1", "0"]),
        (17, 17.0, None, ["17", "17"]),
        ("007", "K7", None, ["007", "K7"]),
        ("Gr\u00fcnland", "Gru\u0308nland", {1: "Gru\u0308nland"}, ["1", "1"]),
    ],
)
def test_properties_are_spelled_as_columns_of_tables_are(
    folder: Path, first: Any, second: Any, classes: dict[int, str] | None, labels: list[str]
) -> None:
    for name, value in (("a", first), ("b", second)):
        change(
            folder,
            f"{name}/item.json",
            set_properties(crop=value, site=value),
        )
    stac = {"labels": None, "label": "crop", "group": "site"}
    source = {"url": "landing", "layout": "stac", "stac": stac}
    specification = scenes_specification(source=source, classes=classes, split={"method": "group"})
    found = read_landing(folder, specification).samples
    assert found["label"].tolist() == labels
    assert found["group"].nunique() == len(set(labels))


@pytest.mark.parametrize("role", ["group", "split"])
@pytest.mark.parametrize("empty", [{}, {"site": None}, {"site": " "}])
def test_a_property_that_an_item_lacks_is_named(
    folder: Path, read: Read, role: str, empty: dict[str, Any]
) -> None:
    change(folder, "a/item.json", lambda item: item["properties"].update(site="train"))
    change(folder, "b/item.json", lambda item: item["properties"].update(empty))
    assert problems(read, **{role: "site"}) == [
        f"Item b: has no property 'site' ({role}); add it or remove the Item"
    ]


def test_documents_of_stac_0_8_are_migrated(folder: Path, read: Read) -> None:
    before = read().files
    for path in ("catalog.json", "all/collection.json"):
        change(
            folder,
            path,
            lambda found: found.update(stac_version="0.8.1", description="x") or found.pop("type"),
        )
    extent = {
        "spatial": {"bbox": [[0, 0, 1, 1]]},
        "temporal": {"interval": [["2020-01-01T00:00:00Z", None]]},
    }
    change(
        folder, "all/collection.json", lambda found: found.update(extent=extent, license="other")
    )
    for name in "ab":
        change(
            folder,
            f"{name}/item.json",
            lambda found: found.update(stac_version="0.8.1", bbox=[0, 0, 1, 1]),
        )
    pd.testing.assert_frame_equal(read().files, before)


def test_a_document_of_stac_0_8_that_cannot_be_migrated_is_named(folder: Path, read: Read) -> None:
    change(folder, "b/item.json", lambda found: found.update(stac_version="0.8.1", type="Fiction"))
    (found,) = problems(read)
    assert found.startswith("b/item.json: ")
    assert "STAC 0.8.1; migrate it with pystac" in found


# labels


def test_labels_that_two_items_share_are_those_of_each(folder: Path, read: Read) -> None:
    change(
        folder, "b/item.json", lambda item: item["assets"]["labels"].update(href="../a/labels.tif")
    )
    found = read()
    files = found.files.set_index("path")
    assert sorted(files.index) == ["a/image.tif", "a/labels.tif", "b/image.tif", "catalog.json"]
    assert pd.isna(files["scene"]["a/labels.tif"])
    assert len(found.samples) == 288


def test_an_item_with_labels_and_no_image_is_named(folder: Path, read: Read) -> None:
    change(folder, "b/item.json", lambda item: item["assets"].pop("image"))
    assert problems(read) == ["Item b: has labels, but no asset 'image'; add it or remove the Item"]


def labelling(folder: Path, name: str, *sources: str) -> None:
    """Add an Item that labels others."""
    document = item(name, {"labels": "../a/labels.tif"}, 0)
    document["links"] = [{"rel": "source", "href": source} for source in sources]
    (folder / "more").mkdir(exist_ok=True)
    (folder / f"more/{name}.json").write_text(json.dumps(document))
    link = {"rel": "item", "href": f"../more/{name}.json"}
    change(folder, "all/collection.json", lambda collection: collection["links"].append(link))


def test_labels_of_a_missing_item_are_named(folder: Path, read: Read) -> None:
    labelling(folder, "x", "../a/item.json", "../gone/item.json")
    (found,) = problems(read)
    assert found.startswith(
        "Item x: labels '../gone/item.json', which is not an Item with an image; "
    )


def test_an_item_that_two_others_label_is_named(folder: Path, read: Read) -> None:
    labelling(folder, "x", "../a/item.json")
    labelling(folder, "y", "../a/item.json", "../b/item.json")
    assert problems(read) == ["Item a: is labelled by Items x and y; keep one"]


# what the digest sees


def swapped(folder: Path, *keys: tuple[str, str]) -> None:
    """Let two assets lie where the other does."""
    (first, key), (second, other) = keys
    documents = {
        name: json.loads((folder / f"{name}/item.json").read_text()) for name in (first, second)
    }
    hrefs = [f"../{name}/{Path(documents[name]['assets'][k]['href']).name}" for name, k in keys]
    documents[first]["assets"][key]["href"], documents[second]["assets"][other]["href"] = hrefs[
        ::-1
    ]
    for name in {first, second}:
        change(
            folder,
            f"{name}/item.json",
            set_assets(documents[name]["assets"]),
        )


@pytest.mark.parametrize("read_as", ["patches", "windows"])
def test_the_same_files_in_other_roles_are_another_version(
    folder: Path, store: Store, read_as: str
) -> None:
    for (
        name
    ) in "ab":  # the second image has a file of its own, and the labels differ only in their values
        write_raster(folder / f"{name}/nir.tif", np.full((12, 12), 7, dtype=np.uint8), **UTM)
        labels = np.random.default_rng(ord(name)).integers(1, 3, (12, 12)).astype(np.uint8)
        write_raster(folder / f"{name}/labels.tif", labels, **UTM)
        write_raster(folder / f"{name}/image.tif", np.ones((12, 12), dtype=np.uint8), **UTM)
        change(
            folder,
            f"{name}/item.json",
            lambda item: item["assets"].update(nir={"href": "./nir.tif"}),
        )
    stac = {"images": ["image", "nir"], "read": read_as, "size": 3}
    source = {"url": folder.as_uri(), "layout": "stac", "stac": stac}
    specification = scenes_specification(source=source, split={"method": "random"})

    def committed() -> str:
        return commit(store.workspace, store.registry, specification).version.version

    assert [committed(), committed()] == ["v1", "v1"]
    swapped(folder, ("a", "image"), ("a", "nir"))
    assert committed() == "v2"
    swapped(folder, ("a", "labels"), ("b", "labels"))
    assert [committed(), committed()] == ["v3", "v3"]


def test_windows_have_the_labels_of_their_own_item_where_files_label_several(
    folder: Path, store: Store
) -> None:
    for name, labelled, value in (("c", "a", 1), ("d", "b", 2)):
        write_raster(
            folder / f"{labelled}/labels.tif", np.full((12, 12), value, dtype=np.uint8), **UTM
        )
        write_raster(
            folder / f"{name}/image.tif", np.full((2, 12, 12), value + 5, dtype=np.uint8), **UTM
        )
        document = item(name, {"image": "./image.tif", "labels": f"../{labelled}/labels.tif"}, 0)
        (folder / name / "item.json").write_text(json.dumps(document))
        link = {"rel": "item", "href": f"../{name}/item.json"}
        change(folder, "all/collection.json", add_link(link))
    source = {"url": folder.as_uri(), "layout": "stac", "stac": {"read": "windows", "size": 6}}
    specification = scenes_specification(source=source, split={"method": "random"})
    commit(store.workspace, store.registry, specification)
    committed = CommittedDataset.open(store.workspace, store.registry, Reference("scenes"))
    assert committed.manifest["path"].is_unique
    for name, value in zip("abcd", (1, 2, 1, 2), strict=True):
        found = LAYOUTS["stac"].read_labels(
            committed, f"{name}/image.tif", np.array([[0, 0], [6, 6]])
        )
        assert np.unique(found).tolist() == [value]


def test_old_documents_are_migrated_whatever_thread_is_first_to_need_pystac(tmp_path: Path) -> None:
    document = {
        "stac_version": "0.8.1",
        "type": "Feature",
        "id": "a",
        "links": [],
        "assets": {},
        "geometry": None,
        "bbox": [0, 0, 1, 1],
        "properties": {"datetime": "2020-01-01T00:00:00Z"},
    }
    program = f"""
from concurrent.futures import ThreadPoolExecutor
from mlops_assets.datasets.sources.stac.crawler import _migrated
with ThreadPoolExecutor(8) as pool:
    print({{found["stac_version"] for found in pool.map(_migrated, [{document!r}] * 64)}})
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=dict(os.environ)
    )
    assert done.returncode == 0, done.stderr
