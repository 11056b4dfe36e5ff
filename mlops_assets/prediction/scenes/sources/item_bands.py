"""The assets of an Item that have the bands of a model: by name, common name or wavelength.

Only the Item is read. What the files themselves state counts once they are here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from mlops_assets.datasets.sources.stac.bands import described
from mlops_assets.errors import SpecificationError
from mlops_assets.prediction.scenes.bands import Band, Wanted, asset_bands, by_spectrum
from mlops_assets.prediction.scenes.found import FoundScene
from mlops_assets.prediction.scenes.sources.items import raster_assets
from mlops_assets.text.listing import named

if TYPE_CHECKING:
    from mlops_assets.datasets.sources.stac.crawler import ItemDocument


@dataclass(frozen=True)
class AssetBand:
    """A band of an asset.

    Attributes:
        asset: key in the Item.
        place: index in the file.
        band: what the Item states of it.
        single: whether it is the only band of the file.
        gsd: resolution in metres; infinite if it is not stated.
        geotiff: whether the file is one.
    """

    asset: str
    place: int
    band: Band
    single: bool
    gsd: float
    geotiff: bool

    @property
    def names(self) -> set[str]:
        """What it is called; a file of one band is called by its key, too."""
        return {name for name in (self.band.name, self.asset if self.single else None) if name}

    @property
    def preference(self) -> tuple[bool, bool, float, bool]:
        """Of several bands of one name, the one with the smallest is taken."""
        return self.asset != self.band.name, not self.single, self.gsd, not self.geotiff


def wanted_assets(
    found: FoundScene, wanted: Wanted, others: Sequence[str]
) -> list[AssetBand] | str:
    """Return the bands of an Item that a model takes, in its order.

    Args:
        found: a scene with an Item.
        wanted: of the model.
        others: keys of assets that are not data, such as the mask.

    Returns:
        One for each band of the model; or, if the Item does not name its bands as the model does,
        the key of the only asset that may have all, so that its file must name them.

    Raises:
        SpecificationError: the Item lacks bands; all of them are listed.
    """
    item = found.item or {}
    assets = {key: asset for key, asset in raster_assets(item).items() if key not in others}
    every = [band for key, asset in assets.items() for band in _bands(item, key, asset)]
    by_name = [_preferred(every, name) for name in wanted.features]
    chosen = [band for band in by_name if band is not None]
    if len(chosen) == len(by_name):
        return chosen
    distinct = _one_of_each(every)
    places = by_spectrum([entry.band for entry in distinct], wanted)
    if places is not None:
        return [distinct[place] for place in places]
    alone = _file_of_all(assets, wanted)
    if alone is not None:
        return alone
    missing = [name for name, band in zip(wanted.features, by_name, strict=True) if band is None]
    have = [
        f"{entry.asset} ({entry.band.name})" if _differs(entry) else entry.asset for entry in every
    ]
    raise SpecificationError(
        f"Item {found.name} has no bands {named(missing)}, which {wanted.model} takes; its rasters"
        f" are {named(have) or 'none'}; name the bands in the Item as the model does, or give their"
        " common names or wavelengths"
    )


def _file_of_all(assets: Mapping[str, Mapping[str, object]], wanted: Wanted) -> str | None:
    """Return the key of the only asset that may have all bands; None without one."""
    if len(assets) == 1:
        return next(iter(assets))
    # codes beside the data have one band
    count = max(len(wanted.features), 2)
    large = [key for key, asset in assets.items() if _count(asset) >= count]
    return large[0] if len(large) == 1 else None


def _count(asset: Mapping[str, object]) -> int:
    """Return the number of bands that an Item lists for an asset."""
    lists = [asset.get(name) for name in ("bands", "eo:bands", "raster:bands")]
    return max(len(found) if isinstance(found, list) else 0 for found in lists)


def stated_nodata(item: Mapping[str, object], key: str, place: int) -> float | None:
    """Return the value that means 'no data' in a band of an asset, as an Item states it.

    Args:
        item: with `properties` and `assets`.
        key: of the asset.
        place: index of the band in the file.
    """
    found = described(cast("ItemDocument", item), [key]).get("assets")
    asset = found[0] if isinstance(found, list) else {}
    fields = asset if isinstance(asset, dict) else {}
    bands = fields.get("bands")
    band = bands[place] if isinstance(bands, list) and place < len(bands) else None
    value = band.get("nodata") if isinstance(band, dict) else None
    if value is None:
        value = fields.get("nodata")
    return float(value) if isinstance(value, int | float | str) else None


def _differs(entry: AssetBand) -> bool:
    return entry.band.name is not None and entry.band.name != entry.asset


def _bands(item: Mapping[str, object], key: str, asset: Mapping[str, object]) -> list[AssetBand]:
    bands = asset_bands(item, key) or [Band()]
    geotiff = "tiff" in str(asset.get("type") or "").lower()
    return [
        AssetBand(key, place, band, len(bands) == 1, _gsd(asset), geotiff)
        for place, band in enumerate(bands)
    ]


def _gsd(asset: Mapping[str, object]) -> float:
    """Return the resolution that an asset states, metres; those without one come last."""
    found = asset.get("gsd") or asset.get("raster:spatial_resolution")
    entries = asset.get("raster:bands") or asset.get("bands")
    if found is None and isinstance(entries, list) and entries and isinstance(entries[0], dict):
        found = entries[0].get("spatial_resolution") or entries[0].get("gsd")
    return float(found) if isinstance(found, int | float) else math.inf


def _preferred(every: Sequence[AssetBand], name: str) -> AssetBand | None:
    """Return the band of a name; of several the one in a file of its own, and the finest.

    Raises:
        SpecificationError: several are equal in that.
    """
    found = sorted(
        (entry for entry in every if name in entry.names), key=lambda entry: entry.preference
    )
    if len(found) > 1 and found[0].preference == found[1].preference:
        raise SpecificationError(
            f"assets {found[0].asset} and {found[1].asset} both have a band {name}; remove one of"
            " them from the Item, or give the resolution (gsd) of each"
        )
    return found[0] if found else None


def _one_of_each(every: Sequence[AssetBand]) -> list[AssetBand]:
    """Return the bands without further copies of them in other resolutions or formats."""
    kept: dict[tuple[object, ...], AssetBand] = {}
    for entry in sorted(every, key=lambda entry: entry.preference):
        band = entry.band
        if band.common_name or band.wavelength:
            kept.setdefault((band.name or entry.asset, band.common_name, band.wavelength), entry)
    return list(kept.values())
