"""The bands of a scene that a model takes: by name, else by common name, else by wavelength.

They are taken by position only where neither the scene nor the data of the model has names, or on
request.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, cast

from mlops_assets.datasets.io.rasterio_types import Raster
from mlops_assets.datasets.io.rasters import BandRoles, band_roles
from mlops_assets.datasets.sources.stac.bands import described
from mlops_assets.datasets.specification.description import COMMON_NAMES
from mlops_assets.errors import SpecificationError
from mlops_assets.text.listing import named

if TYPE_CHECKING:
    from mlops_assets.datasets.sources.stac.crawler import ItemDocument

# bands of one name of Sentinel-2A, 2B and 2C are up to 5 nm apart; hyperspectral ones 5 to 10
_MAX_DISTANCE = 0.01
# of bands that have no other name than their place in a file
NUMBERED = re.compile(r"B\d{3}")
_MICROMETRES = {"micrometers": 1.0, "micrometer": 1.0, "um": 1.0, "nanometers": 1e-3, "nm": 1e-3}


@dataclass(frozen=True)
class Band:
    """What is known of a band.

    Attributes:
        name: its description; None if it has none.
        common_name: as in STAC's extension `eo`, such as `red`.
        wavelength: its centre, µm.
    """

    name: str | None = None
    common_name: str | None = None
    wavelength: float | None = None


@dataclass(frozen=True)
class Wanted:
    """The bands that a model takes.

    Attributes:
        model: reference, for messages.
        features: names of the bands, in order.
        source: names of all bands of the data that it was trained on, in order.
        describe: returns what the data version states of each of `features`.
        resolution: returns the side of the pixels of the data version, roughly, metres; None if it
            is unknown.
    """

    model: str
    features: Sequence[str]
    source: Sequence[str]
    describe: Callable[[], Sequence[Band]]
    resolution: Callable[[], float | None] = lambda: None


@dataclass(frozen=True)
class Found:
    """The bands of a scene that a model takes.

    Attributes:
        roles: `measured` has them in the order of the model, counted from 1.
        note: a remark for people, if they were taken by position.
    """

    roles: BandRoles
    note: str | None = None


def find_bands(
    raster: Raster,
    scene: Path,
    wanted: Wanted,
    by_position: bool,
    stated: Sequence[Band] | None = None,
) -> Found:
    """Return the bands of a scene that a model takes, in its order, and alpha.

    Alpha is not one of them, unless the model's data names it.

    Args:
        raster: the open scene.
        scene: its file; a STAC Item beside it may describe its bands.
        wanted: of the model.
        by_position: take bands by position where they cannot be identified.
        stated: what the scene's Item states of the bands of this file; the Item beside it if not
            given.

    Raises:
        SpecificationError: they cannot be identified; the message says what the scene has.
    """
    numbered = all(NUMBERED.fullmatch(name) for name in wanted.source)
    roles = band_roles(raster, None if numbered else wanted.source)
    beside = _item_bands(scene, raster.count) if stated is None else stated
    own = file_bands(raster, beside)
    names = [band.name for band in own]
    if all(names.count(name) == 1 for name in wanted.features):
        return Found(_chosen(roles, [names.index(name) for name in wanted.features]))
    given = [name for name in names if name]
    repeated = [name for name in wanted.features if given.count(name) > 1]
    if repeated and not by_position:
        raise SpecificationError(
            f"{scene.name} names its bands {named(given)}, {given.count(repeated[0])} of them"
            f" {repeated[0]}, {wanted.model} takes {named(wanted.features)}; give each band a"
            " description of its own"
        )
    identified = any(band != Band() for band in own)
    if identified and not numbered and not by_position:
        return Found(_chosen(roles, _by_spectrum(own, scene, wanted)))
    found = _by_position(roles, scene, wanted)
    if numbered and not given:
        return Found(found)
    what = "has no band names" if not given else f"names its bands {named(given)}"
    return Found(
        found,
        f"{scene.name} {what}: its bands were read in file order as {named(wanted.features)}",
    )


def _chosen(roles: BandRoles, places: Sequence[int]) -> BandRoles:
    return replace(roles, measured=tuple(place + 1 for place in places))


def _by_position(roles: BandRoles, scene: Path, wanted: Wanted) -> BandRoles:
    if len(roles.measured) == len(wanted.source):
        places = [wanted.source.index(name) for name in wanted.features]
        return replace(roles, measured=tuple(roles.measured[place] for place in places))
    if len(roles.measured) == len(wanted.features):
        return roles
    found = f"{len(roles.measured)} bands" + (" and alpha" if roles.alpha else "")
    taken = f"takes {len(wanted.features)}" + (
        f" of {len(wanted.source)}: {named(wanted.features)}"
        if list(wanted.features) != list(wanted.source)
        else ""
    )
    raise SpecificationError(
        f"{scene.name} has {found}, {wanted.model} {taken}; give each band its name in the model"
    )


def _by_spectrum(own: Sequence[Band], scene: Path, wanted: Wanted) -> list[int]:
    """Return the indices of the bands with the model's common names, or else wavelengths.

    Raises:
        SpecificationError: there is not exactly one for each band of the model.
    """
    places = by_spectrum(own, wanted)
    if places is not None:
        return places
    given = [band.name or band.common_name or f"band {i}" for i, band in enumerate(own, start=1)]
    missing = [
        name for name in wanted.features if name not in {band.name for band in own}
    ] or wanted.features
    raise SpecificationError(
        f"{scene.name} names its bands {named(given)}, {wanted.model} takes"
        f" {named(wanted.features)}; give each band its name in the model (missing:"
        f" {named(missing)}), its common name or its wavelength, or pass --bands-by-position if the"
        " bands are in that order"
    )


def by_spectrum(own: Sequence[Band], wanted: Wanted) -> list[int] | None:
    """Return the indices of the bands with the model's common names, or else wavelengths.

    None if there is not exactly one for each band of the model.
    """
    described = list(wanted.describe())
    common = [band.common_name for band in own]
    if all(band.common_name and common.count(band.common_name) == 1 for band in described):
        return [common.index(band.common_name) for band in described]
    places = [_nearest(own, band.wavelength) for band in described]
    if None in places or len(set(places)) < len(places):
        return None
    return cast("list[int]", places)


def _nearest(own: Sequence[Band], wavelength: float | None) -> int | None:
    distances = [
        (abs(band.wavelength - wavelength), place)
        for place, band in enumerate(own)
        if band.wavelength is not None and wavelength is not None
    ]
    distance, place = min(distances, default=(float("inf"), -1))
    return place if distance <= _MAX_DISTANCE else None


def file_bands(raster: Raster, stated: Sequence[Band]) -> list[Band]:
    """Return what a file, or else its Item, states of its bands.

    Args:
        raster: the open file.
        stated: by the Item; it does not count unless it is of as many bands.
    """
    if len(stated) != raster.count:
        stated = [Band()] * raster.count
    return [
        _merged(_file_band(raster, number), known) for number, known in enumerate(stated, start=1)
    ]


def _merged(first: Band, second: Band) -> Band:
    name = first.name or second.name
    common_name = first.common_name or second.common_name
    if common_name is None and name in COMMON_NAMES:
        common_name = name
    return Band(name, common_name, first.wavelength or second.wavelength)


def _file_band(raster: Raster, number: int) -> Band:
    """Return what a file states of a band: GDAL's IMAGERY domain, or what ENVI headers have."""
    tags = {key.lower(): value for key, value in raster.tags(number).items()}
    imagery = raster.tags(number, ns="IMAGERY").get("CENTRAL_WAVELENGTH_UM")
    factor = _MICROMETRES.get(tags.get("wavelength_units", "").lower())
    wavelength = None
    with suppress(ValueError):
        if imagery is not None:
            wavelength = float(imagery)
        elif factor is not None:
            wavelength = float(tags["wavelength"]) * factor
    return Band(raster.descriptions[number - 1] or None, tags.get("common_name"), wavelength)


def _item_bands(scene: Path, count: int) -> list[Band]:
    """Return the bands of the STAC Item beside a scene, `scene.json` or `scene.tif.json`."""
    nothing = [Band()] * count
    for beside in (scene.with_suffix(".json"), scene.with_name(f"{scene.name}.json")):
        try:
            item = json.loads(beside.read_bytes())
        except (OSError, ValueError):
            continue
        assets = item.get("assets") if isinstance(item, dict) else None
        for key, asset in assets.items() if isinstance(assets, dict) else ():
            href = asset.get("href") if isinstance(asset, dict) else None
            if not isinstance(href, str) or PurePosixPath(href).name != scene.name:
                continue
            bands = asset_bands({"properties": item.get("properties") or {}, "assets": assets}, key)
            if len(bands) == count:
                return bands
    return nothing


def asset_bands(item: Mapping[str, object], key: str) -> list[Band]:
    """Return what an Item states of the bands of an asset, in the order of the file.

    Args:
        item: with `properties` and `assets`.
        key: of the asset.
    """
    document = cast("ItemDocument", item)
    asset = cast("dict[str, object]", document["assets"][key])
    fields = cast("list[dict[str, object]]", described(document, [key]).get("assets", []))
    spectra = cast("list[dict[str, object]]", fields[0].get("bands", []) if fields else [])
    entries = asset.get("bands") or asset.get("eo:bands")
    if not isinstance(entries, list):
        # a file of one band may have its description on the asset
        return [_stated(None, fields[0])] if fields else []
    return [
        _stated(entry, spectrum)
        for entry, spectrum in zip(entries, spectra or [{}] * len(entries), strict=False)
    ]


def _stated(entry: object, spectrum: Mapping[str, object]) -> Band:
    name = entry.get("name") if isinstance(entry, dict) else None
    band = Band(
        name if isinstance(name, str) and name else None,
        cast("str | None", spectrum.get("eo:common_name")),
        cast("float | None", spectrum.get("eo:center_wavelength")),
    )
    return _merged(band, Band())
