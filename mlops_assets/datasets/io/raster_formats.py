"""The GDAL driver of a raster, chosen before GDAL opens it, and the other files GDAL may open.

GDAL by itself takes a document that names other files or servers (VRT, WMS, WCS, WMTS) for a
raster, whatever the name of the file. No pixels are read in this module.
"""

from __future__ import annotations

import html
import os
import re
import xml.etree.ElementTree as ET  # nosec B405
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

GEOTIFF = "GTiff"
GEOTIFFS = (".tif", ".tiff")
VRT = "VRT"
ERDAS = "HFA"
HEAD_BYTES = 16
# Magic bytes of each format; these name no other file, but for Erdas Imagine, see `rasters`.
MAGIC = (
    (b"II*\0", GEOTIFF),
    (b"MM\0*", GEOTIFF),
    (b"II+\0", GEOTIFF),
    (b"MM\0+", GEOTIFF),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JP2OpenJPEG"),
    (b"\xff\x4f\xff\x51", "JP2OpenJPEG"),
    (b"EHFA_HEADER_TAG\0", ERDAS),
    (b"GIF8", "GIF"),
    (b"BM", "BMP"),
    (b"GRIB", "GRIB"),
    (b"CDF\x01", "netCDF"),
    (b"CDF\x02", "netCDF"),
    (b"CDF\x05", "netCDF"),
)
# Formats without magic bytes
SUFFIXES = {
    ".vrt": VRT,
    ".asc": "AAIGrid",
    ".hgt": "SRTMHGT",
    ".dt0": "DTED",
    ".dt1": "DTED",
    ".dt2": "DTED",
    ".pgm": "PNM",
    ".ppm": "PNM",
    ".xyz": "XYZ",
}
FORMATS = (
    "GeoTIFF, PNG, JPEG, JPEG 2000, WebP, GIF, BMP, Erdas Imagine, ENVI and EHdr with .hdr,"
    " Arc/Info ASCII grid, SRTM, DTED, GRIB, netCDF 3, PNM, XYZ, and VRT of those"
)
OPENED_AS_RASTER = (".ovr", ".msk")  # GDAL opens such a file beside a raster by its content
METADATA = ".aux.xml"
MAX_DOCUMENT = 16 << 20
MAX_VRTS = 16
_VRT_ELEMENTS = frozenset(
    {
        "VRTDataset",
        "SRS",
        "GeoTransform",
        "GCPList",
        "GCP",
        "Metadata",
        "MDI",
        "VRTRasterBand",
        "MaskBand",
        "Description",
        "UnitType",
        "Offset",
        "Scale",
        "CategoryNames",
        "Category",
        "ColorInterp",
        "ColorTable",
        "Entry",
        "NoDataValue",
        "HideNoDataValue",
        "Histograms",
        "HistItem",
        "HistMin",
        "HistMax",
        "BucketCount",
        "IncludeOutOfRange",
        "Approximate",
        "HistCounts",
        "SimpleSource",
        "ComplexSource",
        "AveragedSource",
        "KernelFilteredSource",
        "SourceFilename",
        "SourceBand",
        "SourceProperties",
        "SrcRect",
        "DstRect",
        "NODATA",
        "ScaleOffset",
        "ScaleRatio",
        "LUT",
        "ColorTableComponent",
        "UseMaskBand",
        "Kernel",
        "Size",
        "Coefs",
    }
)
_VRT_DOMAINS = (None, "", "IMAGE_STRUCTURE", "RPC")


def driver_of(local: Path) -> str:
    """Return the name of the one GDAL driver that a raster may be opened with.

    Raises:
        ValueError: the format of the file is not supported.
        OSError: it cannot be read.
    """
    with local.open("rb", buffering=0) as stream:
        head = stream.read(HEAD_BYTES)
    driver = next((name for start, name in MAGIC if head.startswith(start)), None)
    if driver is None and head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        driver = "WEBP"
    driver = driver or SUFFIXES.get(local.suffix.lower()) or _raw_driver(local)
    if driver is None:
        raise ValueError(
            f"cannot be read or written as a raster: its format is not supported ({FORMATS}), or"
            " its .hdr is missing; replace the file, or convert it to GeoTIFF"
        )
    return driver


def is_vrt(local: Path) -> bool:
    """Return whether a file is read as a VRT, which names other files."""
    return SUFFIXES.get(local.suffix.lower()) == VRT and driver_of(local) == VRT


def _raw_driver(local: Path) -> str | None:
    """Return the driver of a file of pixels only, by the header beside it."""
    for name in (
        f"{local.stem}.hdr",
        f"{local.name}.hdr",
        f"{local.stem}.HDR",
        f"{local.name}.HDR",
    ):
        header = local.with_name(name)
        if header.is_file():
            with header.open("rb") as stream:
                return "ENVI" if stream.read(4) == b"ENVI" else "EHdr"
    return None


def require_contained(local: Path) -> None:
    """Check that GDAL, opening a raster, opens only files that it may.

    These are sidecars of the raster, and rasters that its VRT names.

    Raises:
        ValueError: it would open something else; the message names it.
        OSError: a file cannot be read.
    """
    waiting = [local]
    met = {local}
    documents = 0
    while waiting:
        raster = waiting.pop()
        _require_plain_sidecars(raster)
        if not is_vrt(raster):
            continue
        documents += 1
        if documents > MAX_VRTS:
            raise ValueError(f"is made of more than {MAX_VRTS} VRTs; convert it to GeoTIFF")
        for name in vrt_sources(raster):
            source = raster.parent / name
            if not source.is_file():
                raise ValueError(
                    f"needs {source.name}, which is missing; land it, or convert the VRT to GeoTIFF"
                )
            if not is_vrt(source) and not _is_binary(source):
                raise ValueError(
                    f"is a VRT of {source.name}, which VRT may not name; convert it to GeoTIFF"
                )
            if source not in met:
                met.add(source)
                waiting.append(source)


def _require_plain_sidecars(local: Path) -> None:
    for sidecar in _sidecars(local):
        if sidecar.name.lower().endswith(METADATA):
            if b"overview_file" in _unescaped(sidecar).lower():
                raise ValueError(
                    f"has a {sidecar.name} that names a file of overviews; build them as .ovr"
                )
        elif not _is_geotiff(sidecar):
            raise ValueError(
                f"has a {sidecar.name} beside it that is not a GeoTIFF; remove or rebuild that file"
            )


def _is_geotiff(local: Path) -> bool:
    with local.open("rb") as stream:
        head = stream.read(HEAD_BYTES)
    return any(head.startswith(start) for start, driver in MAGIC if driver == GEOTIFF)


def _is_binary(local: Path) -> bool:
    """Return whether a file begins like a binary format.

    GDAL's drivers of text documents do not open such a file.
    """
    with local.open("rb") as stream:
        head = stream.read(HEAD_BYTES)
    return b"\0" in head and any(head.startswith(start) for start, _ in MAGIC)


def vrt_sources(local: Path) -> list[str]:
    """Return the files that a VRT names: paths, absolute or relative to it.

    Raises:
        ValueError: it is not valid, names files in another way, or has elements that may read
            other files.
        OSError: it cannot be read.
    """
    if local.stat().st_size > MAX_DOCUMENT:
        raise ValueError(f"is a VRT of more than {MAX_DOCUMENT >> 20} MB; convert it to GeoTIFF")
    try:
        text = local.read_bytes().decode()
        # without comments, CDATA and entities GDAL's parser and this one see the same, and nothing
        # expands
        if "<!" in text or "<?" in text.removeprefix("<?xml version"):
            raise ValueError
        root = ET.fromstring(text)  # nosec B314
    except (ET.ParseError, ValueError) as error:
        raise ValueError(
            "is not a valid VRT, or has comments; write it again with gdalbuildvrt"
        ) from error
    found = []
    for element in root.iter():
        domain = element.get("domain")
        if (
            element.tag not in _VRT_ELEMENTS
            or "subClass" in element.attrib
            or domain not in _VRT_DOMAINS
        ):
            what = element.get("subClass") or domain or element.tag
            raise ValueError(
                f"is a VRT with {what!r}, which may read other files; convert it to GeoTIFF"
            )
        if element.tag == "SourceFilename":
            found.append(_source(element))
    return list(dict.fromkeys(found))


def _source(element: ET.Element) -> str:
    name = element.text or ""
    known = set(element.attrib) <= {"relativeToVRT", "shared"} and not len(element)
    relative = element.get("relativeToVRT") == "1"
    plain = name and name.startswith("/") != relative and not any(c in name for c in "<:\\\0")
    if not known or not plain or name.startswith("/vsi"):
        raise ValueError(
            f"is a VRT that needs {name.rpartition('/')[2]!r}, which is not a path; convert it to"
            " GeoTIFF"
        )
    return name


def _unescaped(local: Path) -> bytes:
    if local.stat().st_size > MAX_DOCUMENT:
        raise ValueError(
            f"has a {local.name} of more than {MAX_DOCUMENT >> 20} MB; remove that file"
        )
    return html.unescape(local.read_bytes().decode("latin-1")).encode("utf-8")


def stands_alone(local: Path) -> bool:
    """Return whether no other file of the folder has a raster's name with another ending.

    GDAL then need not list the folder to find sidecars.
    """
    return local.stem.lower() not in _folder(local).shared


def holds_geotiffs_only(local: Path) -> bool:
    """Return whether a file's folder has no other files than GeoTIFFs, by their names.

    GDAL then finds no metadata there, whose files have other endings.
    """
    return _folder(local).geotiffs_only


def _sidecars(local: Path) -> Iterator[Path]:
    """Yield the files beside a raster that GDAL may open for it, and metadata beside those.

    Names are compared without regard to case.
    """
    listed = _folder(local).sidecars
    for stem in dict.fromkeys((local.name.lower(), local.stem.lower())):
        for name in listed.get(stem, ()):
            yield local.with_name(name)


@dataclass(frozen=True)
class _Folder:
    """The files of a folder that belong together, by their names in lower case.

    Attributes:
        sidecars: those that GDAL may open, by the name of what they belong to.
        shared: names without endings that several files begin with.
        geotiffs_only: whether all files have the endings of GeoTIFFs.
    """

    sidecars: Mapping[str, Sequence[str]]
    shared: frozenset[str]
    geotiffs_only: bool


def _folder(local: Path) -> _Folder:
    """Return the files of a file's folder."""
    return _listed(str(local.parent), local.parent.stat().st_mtime_ns)


@lru_cache(maxsize=512)  # twice the folders of objects of a workspace
def _listed(folder: str, changed: int) -> _Folder:
    """List a folder.

    Args:
        folder: path of the folder.
        changed: time of its last change in nanoseconds, so that it is listed again after one.
    """
    sidecars = defaultdict(list)
    met: set[str] = set()
    shared: set[str] = set()
    geotiffs_only = True
    with os.scandir(folder) as entries:
        for entry in entries:
            name = entry.name.lower()
            geotiffs_only = geotiffs_only and (name.endswith(GEOTIFFS) or entry.is_dir())
            stem = name
            while stem.endswith((*OPENED_AS_RASTER, METADATA)):
                stem = (
                    stem.removesuffix(METADATA)
                    if stem.endswith(METADATA)
                    else stem.rpartition(".")[0]
                )
            if stem != name:
                sidecars[stem].append(entry.name)
            begins = {name[: dot.start()] for dot in re.finditer(r"\.", name)} or {name}
            shared |= begins & met
            met |= begins
    return _Folder(sidecars, frozenset(shared), geotiffs_only)
