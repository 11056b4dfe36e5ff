"""Documents under the names of images: GDAL reads no other file and sends no request."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.shutil import copy

from mlops_assets.datasets.io.rasters import open_raster
from mlops_assets_tests.datasets.readers.landing import write_raster

CANARY = "root:x:0:0"
PIXELS = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)


def vrt(
    source: str, attributes: str = "", band: str = "", relative: int = 0, more: str = ""
) -> str:
    return (
        f'<VRTDataset rasterXSize="16" rasterYSize="16">{more}<VRTRasterBand dataType="Byte"'
        f' band="1"{band}>'
        "<SimpleSource><SourceFilename"
        f' relativeToVRT="{relative}"{attributes}>{source}</SourceFilename>'
        "<SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"
    )


RAW = (
    '<VRTDataset rasterXSize="8" rasterYSize="8"><VRTRasterBand dataType="Byte" band="1"'
    ' subClass="VRTRawRasterBand">'
    '<SourceFilename relativetoVRT="0">/etc/passwd</SourceFilename><ImageOffset>0</ImageOffset>'
    "<PixelOffset>1</PixelOffset><LineOffset>8</LineOffset></VRTRasterBand></VRTDataset>"
)
TILES = (
    "<GDAL_WMS><Service"
    ' name="TMS"><ServerUrl>URL/wms/${z}/${x}/${y}.png</ServerUrl></Service><DataWindow>'
    "<UpperLeftX>-20037508</UpperLeftX><UpperLeftY>20037508</UpperLeftY>"
    "<LowerRightX>20037508</LowerRightX>"
    "<LowerRightY>-20037508</LowerRightY><TileLevel>0</TileLevel><TileCountX>1</TileCountX>"
    "<TileCountY>1</TileCountY></DataWindow><Projection>EPSG:3857</Projection>"
    "<BlockSizeX>8</BlockSizeX>"
    "<BlockSizeY>8</BlockSizeY><BandsCount>1</BandsCount></GDAL_WMS>"
)
DOCUMENTS = {
    "a raw file": RAW,
    "a file of a server": vrt("/vsicurl/URL/x.tif"),
    "tiles": TILES,
    "WCS": "<WCS_GDAL><ServiceURL>URL/wcs?</ServiceURL><CoverageName>x</CoverageName></WCS_GDAL>",
    "WMTS": (
        "<GDAL_WMTS><GetCapabilitiesUrl>URL/wmts</GetCapabilitiesUrl><Layer>x</Layer></GDAL_WMTS>"
    ),
    "a URL": "URL/x.tif",
    "STAC": json.dumps(
        {
            "type": "Feature",
            "stac_version": "1.0.0",
            "assets": {"x": {"href": "/vsicurl/URL/x.tif"}},
        }
    ),
}
IN_VRT = {
    "derived": vrt("/etc/passwd", band=' subClass="VRTDerivedRasterBand"'),
    "an archive": vrt("/vsizip/a.zip/a.tif"),
    "text": vrt("/etc/passwd"),
    "a path of GDAL": vrt("NETCDF:/etc/passwd:x"),
    "options": vrt("a.tif", relative=1).replace("<SourceBand>", "<OpenOptions/><SourceBand>"),
    "spelled otherwise": vrt("&#47;vsicurl/URL/x.tif", relative=1),
    "overviews": vrt(
        "ok.tif",
        relative=1,
        more='<Metadata domain="OVERVIEWS"><MDI key="OVERVIEW_FILE">URL</MDI></Metadata>',
    ),
    "a disguised source": vrt("tiles.tif", relative=1),
    "a disguised image": vrt("wide.jpg", relative=1),
    "disguised overviews of a source": vrt("with.tif", relative=1),
    "warped": (
        "<VRTDataset"
        ' subClass="VRTWarpedDataset"><GDALWarpOptions><SourceDataset>/etc/passwd</SourceDataset>'
        "</GDALWarpOptions></VRTDataset>"
    ),
    "comments": f"<!-- -->{vrt('ok.tif', relative=1)}",
    "entities": f'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>{vrt("&e;")}',
}


def read_all(local: Path) -> None:
    """Read everything that the platform reads of a raster."""
    with open_raster(local) as raster:
        raster.read()
        raster.read_masks()
        raster.read(out_shape=(1, 4, 4))
        raster.overviews(1)
        assert raster.files


@pytest.mark.parametrize(
    "suffix", [".tif", ".png", ".jpg", ".jp2", ".img", ".nc", ".asc", ".dat", ".xml", ""]
)
@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_document_under_the_name_of_an_image_is_refused(
    document: str, suffix: str, url: str, tmp_path: Path
) -> None:
    (tmp_path / f"x{suffix}").write_text(DOCUMENTS[document].replace("URL", url))
    with pytest.raises(ValueError, match="cannot be read or written as a raster"):
        read_all(tmp_path / f"x{suffix}")


@pytest.mark.parametrize("document", DOCUMENTS | IN_VRT)
def test_a_vrt_reads_images_beside_it_only(document: str, url: str, tmp_path: Path) -> None:
    for name in ("ok.tif", "with.tif"):
        write_raster(tmp_path / name, PIXELS)
    (tmp_path / "with.tif.ovr").write_text(TILES.replace("URL", url))
    (tmp_path / "tiles.tif").write_text(TILES.replace("URL", url))
    (tmp_path / "wide.jpg").write_bytes(b"\xff\xd8\xff\xe1" + vrt("/etc/passwd").encode())
    (tmp_path / "x.vrt").write_text((DOCUMENTS | IN_VRT)[document].replace("URL", url))
    with pytest.raises(ValueError) as raised:
        read_all(tmp_path / "x.vrt")
    assert CANARY not in str(raised.value)


@pytest.mark.parametrize("ending", [".ovr", ".msk", ".MSK", ".msk.ovr", ".OvR"])
@pytest.mark.parametrize("document", [*DOCUMENTS, "text"])
def test_a_document_under_the_name_of_a_sidecar_is_refused(
    document: str, ending: str, url: str, tmp_path: Path
) -> None:
    image = tmp_path / "a.tif"
    write_raster(image, PIXELS)
    (tmp_path / f"a.tif{ending}").write_text((DOCUMENTS | IN_VRT)[document].replace("URL", url))
    with pytest.raises(ValueError, match=f"has a a.tif{ending} beside it that is not a GeoTIFF"):
        read_all(image)


@pytest.mark.parametrize("key", ["OVERVIEW_FILE", "&#79;VERVIEW_FILE", "overview_file"])
@pytest.mark.parametrize(
    "name", ["a.tif.aux.xml", "a.aux.xml", "a.tif.msk.aux.xml", "a.tif.AUX.XML"]
)
def test_metadata_beside_an_image_names_no_file(
    key: str, name: str, url: str, tmp_path: Path
) -> None:
    image = tmp_path / "a.tif"
    write_raster(image, PIXELS)
    (tmp_path / name).write_text(
        '<PAMDataset><Metadata domain="OVERVIEWS"><MDI'
        f' key="{key}">/vsicurl/{url}/o.tif</MDI></Metadata></PAMDataset>'
    )
    with pytest.raises(ValueError, match="names a file of overviews"):
        read_all(image)


def test_sidecars_that_an_image_needs_are_read(tmp_path: Path) -> None:
    image = tmp_path / "a.tif"
    write_raster(image, PIXELS)
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False, TIFF_USE_OVR=True),
        open_raster(image, "r+") as raster,
    ):
        raster.write_mask(np.full((16, 16), 255, dtype=np.uint8))
        raster.build_overviews([2])
    (tmp_path / "a.tif.aux.xml").write_text(
        "<PAMDataset><PAMRasterBand"
        ' band="1"><Description>red</Description></PAMRasterBand></PAMDataset>'
    )
    with open_raster(image) as raster:
        copy(raster, tmp_path / "b.vrt", driver="VRT")
        assert raster.descriptions == ("red",)
        assert {f"a.tif{own}" for own in ("", ".ovr", ".msk.ovr", ".aux.xml")} <= {
            Path(f).name for f in raster.files
        }
    with open_raster(tmp_path / "b.vrt") as raster:
        np.testing.assert_array_equal(raster.read(), PIXELS)


@pytest.mark.parametrize(
    ("name", "other"), [("a.tif", "a.tfw"), ("A.TIF", "a.tfw"), ("a.tif", "a.Tfw")]
)
def test_a_world_file_is_found_however_its_name_is_written(
    name: str, other: str, tmp_path: Path
) -> None:
    write_raster(tmp_path / name, PIXELS)
    write_raster(tmp_path / "z.tif", PIXELS)
    with open_raster(tmp_path / name) as raster:
        assert [Path(file).name for file in raster.files] == [name]
    (tmp_path / other).write_text("10\n0\n0\n-10\n500000\n5000000\n")
    with open_raster(tmp_path / name) as raster:
        assert {Path(file).name for file in raster.files} == {name, other}
        assert raster.transform.a == 10


PLACE = rasterio.Affine(1, 0, 10, 0, -1, 20)


def test_an_erdas_image_has_no_pixels_of_a_file_in_another_folder(tmp_path: Path) -> None:
    outside, landing = tmp_path / "outside", tmp_path / "landing"
    outside.mkdir()
    landing.mkdir()
    elsewhere = "../outside/a.ige"
    # a name as long as the path that is to stand there
    written = outside / f"{'n' * (len(elsewhere) - 4)}.img"
    shape = {
        "driver": "HFA",
        "width": 8,
        "height": 8,
        "count": 1,
        "dtype": "uint8",
        "transform": PLACE,
    }
    with rasterio.open(written, "w", **shape, USE_SPILL="YES") as raster:
        raster.write(np.full((1, 8, 8), 83, dtype=np.uint8))
    written.with_suffix(".ige").rename(outside / "a.ige")
    image = written.read_bytes().replace(
        written.with_suffix(".ige").name.encode(), elsewhere.encode()
    )
    (landing / "a.img").write_bytes(image)
    with (
        pytest.raises(ValueError, match=r"of another folder, a\.ige; convert it"),
        open_raster(landing / "a.img"),
    ):
        pass
    with rasterio.open(landing / "b.img", "w", **shape, USE_SPILL="YES") as raster:
        raster.write(np.full((1, 8, 8), 7, dtype=np.uint8))
    with open_raster(landing / "b.img") as raster:
        assert (raster.read() == 7).all()


def test_a_vrt_may_be_as_large_as_its_files(tmp_path: Path) -> None:
    profile = {"height": 2500, "width": 2500, "count": 1, "dtype": "uint16", "driver": "GTiff"}
    with open_raster(tmp_path / "large.tif", "w", **profile) as raster:
        raster.write(np.ones((1, 2500, 2500), np.uint16))
    copy(tmp_path / "large.tif", tmp_path / "large.vrt", driver="VRT")
    read_all(tmp_path / "large.vrt")
    text = (tmp_path / "large.vrt").read_text()
    (tmp_path / "large.vrt").write_text(text.replace('"2500"', '"250000"'))
    with pytest.raises(ValueError, match="the header is wrong"):
        read_all(tmp_path / "large.vrt")
