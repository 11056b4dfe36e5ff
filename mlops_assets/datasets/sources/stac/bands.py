"""Platform and bands of an Item's images, as STAC describes them.

They are only kept for the record of a data version. Fields of another type than STAC's are left
out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Literal, cast

from pydantic import Field, Strict, TypeAdapter, ValidationError

from mlops_assets.text.json_values import Json, JsonObject

if TYPE_CHECKING:
    from mlops_assets.datasets.sources.stac.crawler import ItemDocument

_MAX_TEXT = 200
_MAX_BANDS = 10_000
Text = Annotated[str, Field(min_length=1, max_length=_MAX_TEXT)]
Positive = Annotated[float, Strict(), Field(gt=0, allow_inf_nan=False)]
_PLATFORM: dict[str, TypeAdapter[object]] = {
    "platform": TypeAdapter(Text),
    "constellation": TypeAdapter(Text),
    "mission": TypeAdapter(Text),
    "instruments": TypeAdapter(Annotated[list[Text], Field(min_length=1, max_length=_MAX_BANDS)]),
    "gsd": TypeAdapter(Positive),
}
_SPECTRUM: dict[str, TypeAdapter[object]] = {
    "common_name": TypeAdapter(Annotated[str, Field(pattern="^[a-z0-9]{1,20}$")]),
    "center_wavelength": TypeAdapter(Positive),
    "full_width_half_max": TypeAdapter(Positive),
    "solar_illumination": TypeAdapter(Positive),
}
_EO = "eo:"
_VALUES: dict[str, TypeAdapter[object]] = {
    "nodata": TypeAdapter(
        Literal["nan", "inf", "-inf"] | Annotated[float, Strict(), Field(allow_inf_nan=False)]
    ),
    "gsd": TypeAdapter(Positive),
}
_BAND = {f"{_EO}{name}": kind for name, kind in _SPECTRUM.items()} | _VALUES


def described(item: ItemDocument, keys: Sequence[str]) -> JsonObject:
    """Return how an Item describes its platform and the assets with these keys.

    Returns:
        `properties` of the Item, and `assets`: fields of each, with `bands` in the order of the
        file; either is left out if it has no field.
    """
    properties = _valid(item["properties"], _PLATFORM)
    assets: list[Json] = [_asset(item["assets"][key]) for key in keys]
    found: JsonObject = {}
    if properties:
        found["properties"] = properties
    if any(assets):
        found["assets"] = assets
    return found


def _asset(asset: Mapping[str, object]) -> JsonObject:
    """Return the fields of an asset by their names in STAC 1.1, whatever version it has."""
    lists = [asset.get(name) for name in ("bands", "eo:bands", "raster:bands")]
    core, spectra, values = (entries if isinstance(entries, list) else [] for entries in lists)
    bands: list[Json] = [
        {**_valid(value, _VALUES), **_prefixed(_valid(spectrum, _SPECTRUM)), **_valid(band, _BAND)}
        for band, spectrum, value in zip(
            *_as_long_as_the_longest(core, spectra, values), strict=True
        )
    ]
    found = _valid(asset, _BAND)
    if any(bands):
        found["bands"] = bands
    return found


def _as_long_as_the_longest(*lists: list[object]) -> list[list[object]]:
    count = min(max(map(len, lists)), _MAX_BANDS)
    return [[*entries[:count], *[None] * (count - len(entries))] for entries in lists]


def _prefixed(fields: JsonObject) -> JsonObject:
    return {f"{_EO}{name}": value for name, value in fields.items()}


def _valid(found: object, kinds: Mapping[str, TypeAdapter[object]]) -> JsonObject:
    """Return the fields that have a valid value."""
    kept: JsonObject = {}
    for name, kind in kinds.items():
        if not isinstance(found, Mapping) or name not in found:
            continue
        try:
            kind.validate_python(found[name])
        except ValidationError:
            continue
        kept[name] = cast("Json", found[name])
    return kept
