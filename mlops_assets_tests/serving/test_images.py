"""Maps of images over HTTP: as those of `mlops predict`, unpublished; hostile ones are refused."""

from __future__ import annotations

import asyncio
import io
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import pytest
import rasterio

from mlops_assets.datasets.commit.commit import Commit
from mlops_assets.datasets.io.rasters import open_raster
from mlops_assets.models.applicability.measure import publish_applicability
from mlops_assets.names import Reference
from mlops_assets.serving.app import ServerSettings, create_server_app
from mlops_assets.serving.images import ImageLimits, image_routes
from mlops_assets.serving.sessions.repository import ModelRepository
from mlops_assets.store import Store
from mlops_assets_tests.conftest import scenes_specification, write_scene
from mlops_assets_tests.prediction.jobs import map_scene
from mlops_assets_tests.prediction.networks import row_of, scene, with_network
from mlops_assets_tests.servers.web import WebFolder
from mlops_assets_tests.training.example_trainers import lifecycle, model_specification

Ask = Callable[..., httpx.Response]
TIFF = {"content-type": "image/tiff"}


def asker(store: Store, model: str, limits: ImageLimits | None = None) -> Ask:
    """Return a function that sends one request to a server of a model version."""
    repository = ModelRepository(store, [Reference.parse(model)])
    routes = image_routes(limits or ImageLimits())
    app = create_server_app(store, repository, None, ServerSettings(extra_routes=routes))
    path = f"/v2/models/{model.partition('@')[0]}/predict-image"

    def ask(
        content: bytes, headers: dict[str, str] = TIFF, path: str = path, query: str = ""
    ) -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
                return await http.post(path + query, content=content, headers=headers)

        return asyncio.run(send())

    return ask


def named(url: str, **more: object) -> tuple[bytes, dict[str, str]]:
    return json.dumps({"item": url, **more}).encode(), {"content-type": "application/json"}


def files_of(store: Store) -> set[Path]:
    # the registry's own files come and go
    return {path for path in store.workspace.root.rglob("*") if "registry.db" not in path.name}


def error(response: httpx.Response) -> str:
    return str(response.json()["error"])


@pytest.fixture(autouse=True)
def _own_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))


@pytest.fixture
def windows(tmp_path: Path) -> Store:
    return with_network(tmp_path)


def test_a_map_is_that_of_predict_and_leaves_nothing(
    store: Store, land_scenes: Callable[..., Commit], tmp_path: Path
) -> None:
    land_scenes(scenes_specification(), size=96)
    row = lifecycle(store, model_specification(dataset="scenes", inputs="pixel"))
    publish_applicability(store, row)
    write_scene(tmp_path / "new", size=48, seed=7, crs="EPSG:32632")
    path = tmp_path / "new/images/a.tif"
    with open_raster(path, "r+") as raster:
        raster.nodata = 0
        values = raster.read()
        values[:, :, 32:], values[:, 10:20, :20] = 20_000, 0
        raster.write(values)
    before, changes = files_of(store), store.registry.newest_entry()
    response = asker(store, f"{row.model}@{row.version}")(path.read_bytes())
    assert response.status_code == 200, response.text
    assert files_of(store) == before and store.registry.newest_entry() == changes
    assert response.headers["mlops-model-version"] == row.version
    assert list((tmp_path / "temporary").iterdir()) == []
    with rasterio.open(io.BytesIO(response.content)) as found:
        assert found.descriptions == ("class", "di", "aoa")
        assert found.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert found.tags()["MLOPS_MODEL"] == f"{row.model}@{row.version}"
        assert {"CLASS_1": "water", "CLASS_2": "land"}.items() <= found.tags(1).items()
        assert found.crs.to_epsg() == 32632
        bands = found.read()
    published = map_scene(store, row, path, "map")
    with open_raster(store.workspace.local_path(published.raster.path)) as raster:
        classes = np.where(raster.read(1) == raster.nodata, np.nan, raster.read(1))
    (other,) = [own for own in published.others if own.path.endswith(".applicability.tif")]
    with open_raster(store.workspace.local_path(other.path)) as raster:
        np.testing.assert_array_equal(bands, [classes, *raster.read()])
    assert np.isnan(bands[:, 10:20, :20]).all() and 0 < np.nanmean(bands[2]) < 1


def test_an_image_has_what_the_model_takes_and_fits(windows: Store, tmp_path: Path) -> None:
    row = row_of(windows)
    scene(tmp_path / "a.tif", (0, 0), (70, 90))
    content = (tmp_path / "a.tif").read_bytes()
    reference = f"crops@{row.version}"
    ask = asker(windows, reference, ImageLimits(file_bytes=len(content), pixels=70 * 90))
    profile = {"height": 8, "width": 8, "count": 1, "dtype": "float32"}
    with open_raster(tmp_path / "one.tif", "w", driver="GTiff", **profile) as raster:
        raster.write(np.ones((1, 8, 8), np.float32))
    refused = ask((tmp_path / "one.tif").read_bytes())
    assert refused.status_code == 422 and "band" in error(refused)
    response = ask(content)
    assert response.status_code == 200, response.text
    with rasterio.open(io.BytesIO(response.content)) as found:
        assert found.descriptions == ("class",) and found.dtypes == ("uint8",)
        assert found.colormap(1)
    assert ask(content + b"!").status_code == 413
    assert ask(content, path="/v2/models/corps/predict-image").status_code == 404
    small = asker(windows, reference, ImageLimits(pixels=70 * 90 - 1))
    refused = small(content)
    assert refused.status_code == 422 and "6,300 pixels" in error(refused)
    busy = asker(windows, reference, ImageLimits(at_once=1, waiting=-1))(content)
    assert busy.status_code == 503 and busy.headers["retry-after"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"II*\0",
        b"II*\0" + bytes(1000),
        b'<VRTDataset rasterXSize="1" rasterYSize="1"/>',
        b"<GDAL_WMS><Service name='WMS'/></GDAL_WMS>",
        b'{"type": "FeatureCollection", "features": []}',
        b"GIF89a" + bytes(50),
    ],
)
def test_what_is_no_geotiff_is_refused(content: bytes, windows: Store) -> None:
    response = asker(windows, f"crops@{row_of(windows).version}")(content)
    assert response.status_code in (415, 422), response.text
    assert "/" not in error(response).partition("https://")[0]


def test_an_image_that_declares_more_than_it_holds_is_refused(
    windows: Store, tmp_path: Path
) -> None:
    profile = {"height": 4000, "width": 4000, "count": 3, "dtype": "float32"}
    with open_raster(tmp_path / "a.tif", "w", driver="GTiff", sparse_ok=True, **profile):
        pass
    ask = asker(windows, f"crops@{row_of(windows).version}")
    response = ask((tmp_path / "a.tif").read_bytes(), query="?bands_by_position=true")
    assert response.status_code == 422 and "pixels" in error(response)


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "/etc/passwd",
        "s3://bucket/a.tif",
        "http://user:word@example.org/a.tif",
        "http://[",
        "stac+http://127.0.0.1/a",
        "/vsicurl/http://127.0.0.1/a.tif",
        "",
    ],
)
def test_only_urls_of_web_servers_are_taken(url: str, windows: Store) -> None:
    response = asker(windows, f"crops@{row_of(windows).version}")(*named(url))
    assert response.status_code == 400 and "item" in error(response)


def test_an_item_of_a_server_is_read_only_where_that_is_trusted(
    store: Store,
    land_scenes: Callable[..., Commit],
    https_folder: WebFolder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    land_scenes(scenes_specification(), size=48, crs="EPSG:32632")
    row = lifecycle(store, model_specification(dataset="scenes", inputs="pixel"))
    secret = store.workspace.root / "landing/scenes/images/a.tif"
    content = secret.read_bytes()
    (https_folder.folder / "a.tif").write_bytes(content)
    item: dict[str, object] = {
        "type": "Feature",
        "stac_version": "1.1.0",
        "id": "../a",
        "geometry": None,
        "properties": {"datetime": "2026-05-01T00:00:00Z"},
        "links": [],
        "assets": {"data": {"href": "a.tif", "type": "image/tiff", "roles": ["data"]}},
    }

    def write(name: str, href: str) -> str:
        item["assets"] = {"data": {"href": href, "type": "image/tiff", "roles": ["data"]}}
        (https_folder.folder / name).write_text(json.dumps(item))
        return f"{https_folder.url}/{name}"

    ask = asker(store, f"{row.model}@{row.version}", ImageLimits(file_bytes=200_000))
    sent = ask(content)
    for url in (write("a.json", "a.tif"), f"{https_folder.url}/a.tif"):
        response = ask(*named(url, bands_by_position=True))
        assert response.status_code == 200, response.text
        assert pixels(response) == pixels(sent)
    # neither the workspace nor this machine is the caller's
    for href in (secret.as_uri(), "file:///etc/passwd.tif"):
        response = ask(*named(write("b.json", href), bands_by_position=True))
        assert response.status_code == 422 and "is not read" in error(response)
    (https_folder.folder / "large.tif").write_bytes(bytes(200_001))
    (https_folder.folder / "list.json").write_text('{"type": "FeatureCollection", "features": []}')
    for name in ("large.tif", "none.tif", "list.json"):
        response = ask(*named(f"{https_folder.url}/{name}", bands_by_position=True))
        assert response.status_code == 422, response.text
    monkeypatch.setenv("MLOPS_TRUSTED_SOURCES", "")
    for url in (write("a.json", "a.tif"), f"{https_folder.url}/a.tif"):
        response = ask(*named(url, bands_by_position=True))
        assert response.status_code == 422
        assert "must be public" in error(response) and "127.0.0.1" not in error(response)


def pixels(response: httpx.Response) -> bytes:
    with rasterio.open(io.BytesIO(response.content)) as found:
        return bytes(found.read().tobytes())
