"""The sensor `new_data` on every kind of source.

Object stores, a web server, STAC catalogues and a STAC API.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pystac
import pytest

from mlops_assets.store import Store
from mlops_assets_tests.components.daemon import LandingDaemon
from mlops_assets_tests.conftest import crops_table, scenes_specification, table_specification
from mlops_assets_tests.datasets.places import Place, place
from mlops_assets_tests.servers.web import WebFolder

__all__ = ["place"]
AT_ONCE = {"settle_seconds": 0}


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """An instance in memory, as these tests make many small runs in this one process."""
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def table(seed: int = 0) -> bytes:
    return crops_table(60, seed).to_csv(index=False).encode()


def test_a_remote_landing_is_asked_for_when_it_changes_and_only_then(
    place: Place, store: Store, instance: dg.DagsterInstance
) -> None:
    place.put("a.csv", table(0))
    place.put("b.csv", table(1))
    daemon = LandingDaemon(table_specification(source=place.source(), sensor=AT_ONCE), instance)
    assert daemon.run(*daemon.tick())
    assert daemon.tick() == []
    assert daemon.reason == "the landing has not changed"
    assert not daemon.landing_is_stale()
    place.put("a.csv", table(2))
    requests = daemon.tick()
    assert daemon.landing_is_stale()
    assert daemon.run(*requests)
    assert daemon.versions() == ["v1", "v2"]
    place.delete("b.csv")
    # it cannot be listed, and the declaration still names the file
    if isinstance(place.server, WebFolder):
        assert daemon.tick() == []
        assert daemon.reason is not None and "could not be read: " in daemon.reason
    else:
        assert daemon.run(*daemon.tick())
        assert daemon.versions() == ["v1", "v2", "v3"]


@pytest.fixture
def items() -> list[dict[str, Any]]:
    """Two Items of a crop each, whose images lie in `images`."""
    found = []
    for name, crop in (("a", "wheat"), ("b", "maize")):
        made = pystac.Item(
            name, None, None, datetime(2024, 6, 12, tzinfo=UTC), {"crop": crop}, collection="crops"
        )
        made.add_asset("image", pystac.Asset(f"./images/{name}.tif", roles=["data"]))
        found.append(made.to_dict(include_self_link=False))
    return found


def stac_daemon(url: str, instance: dg.DagsterInstance) -> LandingDaemon:
    source = {"url": url, "layout": "stac", "stac": {"labels": None, "label": "crop"}}
    return LandingDaemon(
        scenes_specification("crops", source=source, classes=None, split={}, sensor=AT_ONCE),
        instance,
    )


def test_a_static_catalogue_is_asked_for_when_an_item_or_a_file_changes(
    tmp_path: Path, items: list[dict[str, Any]], store: Store, instance: dg.DagsterInstance
) -> None:
    def catalogue() -> None:
        document = {"type": "FeatureCollection", "features": items}
        (tmp_path / "stac" / "catalog.json").write_text(json.dumps(document))

    (tmp_path / "stac" / "images").mkdir(parents=True)
    for name in ("a", "b"):
        (tmp_path / "stac" / "images" / f"{name}.tif").write_bytes(b"not opened")
    catalogue()
    daemon = stac_daemon(str(tmp_path / "stac"), instance)
    assert len(daemon.tick()) == 1
    catalogue()
    assert daemon.tick() == [], "the same Items, written again"
    items[0]["properties"]["crop"] = "fallow"
    catalogue()
    assert len(daemon.tick()) == 1, "another class, and the same files"
    (tmp_path / "stac" / "images" / "a.tif").write_bytes(b"another image")
    assert len(daemon.tick()) == 1
    del items[1]
    catalogue()
    assert len(daemon.tick()) == 1
    (tmp_path / "stac" / "catalog.json").write_text("{")
    assert daemon.tick() == []
    assert daemon.reason is not None and "catalog.json" in daemon.reason
    catalogue()
    assert daemon.tick() == []
    assert daemon.reason == "the landing has not changed"


def test_a_stac_api_is_asked_for_when_an_asset_changes(
    https_folder: WebFolder,
    items: list[dict[str, Any]],
    stac_api: Callable[[Sequence[pystac.Item]], str],
    store: Store,
    instance: dg.DagsterInstance,
) -> None:
    (https_folder.folder / "images").mkdir()
    for item in items:
        item["assets"]["image"]["href"] = f"{https_folder.url}/images/{item['id']}.tif"
        (https_folder.folder / "images" / f"{item['id']}.tif").write_bytes(b"not opened")
    url = stac_api([pystac.Item.from_dict(item) for item in items])
    daemon = stac_daemon(f"stac+{url}", instance)
    assert len(daemon.tick()) == 1
    assert daemon.tick() == []
    assert daemon.reason == "the landing has not changed"
    (https_folder.folder / "images" / "b.tif").write_bytes(b"another image")
    assert len(daemon.tick()) == 1
    https_folder.faults.add("*/a.tif", status=404)
    assert daemon.tick() == []
    assert daemon.reason is not None and "could not be read: " in daemon.reason
    https_folder.faults.clear()
    assert daemon.tick() == []
    assert daemon.reason == "the landing has not changed"
