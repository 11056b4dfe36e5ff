"""Platform and bands of an Item's images, as STAC describes them.

They are kept for the record of a data version, and no more.

What is not of the type that STAC gives it is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, Strict, TypeAdapter, ValidationError

_MAX_TEXT, _MAX_BANDS = 200, 10_000
Text = Annotated[str, Field(min_length=1, max_length=_MAX_TEXT)]
Positive = Annotated[float, Strict(), Field(gt=0, allow_inf_nan=False)]
_PLATFORM: dict[str, TypeAdapter[Any]] = {
    "platform": TypeAdapter(Text),
    "constellation": TypeAdapter(Text),
    "mission": TypeAdapter(Text),
    "instruments": TypeAdapter(Annotated[list[Text], Field(min_length=1, max_length=_MAX_BANDS)]),
    "gsd": TypeAdapter(Positive),
}
_SPECTRUM: dict[str, TypeAdapter[Any]] = {
    "common_name": TypeAdapter(Annotated[str, Field(pattern="^[a-z0-9]{1,20}$")]),
    "center_wavelength": TypeAdapter(Positive),
    "full_width_half_max": TypeAdapter(Positive),
    "solar_illumination": TypeAdapter(Positive),
}
_EO = "eo:"
_VALUES: dict[str, TypeAdapter[Any]] = {
    "nodata": TypeAdapter(
        Literal["nan", "inf", "-inf"] | Annotated[float, Strict(), Field(allow_inf_nan=False)]
    ),
    "gsd": TypeAdapter(Positive),
}
_BAND = {f"{_EO}{name}": kind for name, kind in _SPECTRUM.items()} | _VALUES


def described(item: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    """Return what is said of the platform and of the assets with these keys.

    Returns:
        `properties` of the Item, and `assets`: fields of each, with `bands` in the order of the
            file; empty if nothing
        is said.
    """
    properties = _valid(item.get("properties"), _PLATFORM)
    assets = [_asset(item["assets"][key]) for key in keys]
    found = {"properties": properties, "assets": assets if any(assets) else []}
    return {name: value for name, value in found.items() if value}


def _asset(asset: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an asset says, in the words of STAC 1.1 whatever version it is of."""
    lists = [asset.get(name) for name in ("bands", "eo:bands", "raster:bands")]
    core, spectra, values = (entries if isinstance(entries, list) else [] for entries in lists)
    bands = [
        {**_valid(value, _VALUES), **_prefixed(_valid(spectrum, _SPECTRUM)), **_valid(band, _BAND)}
        for band, spectrum, value in zip(
            *_as_long_as_the_longest(core, spectra, values), strict=True
        )
    ]
    return _valid(asset, _BAND) | ({"bands": bands} if any(bands) else {})


def _as_long_as_the_longest(*lists: list[Any]) -> list[list[Any]]:
    count = min(max(map(len, lists)), _MAX_BANDS)
    return [[*entries[:count], *[None] * (count - len(entries))] for entries in lists]


def _prefixed(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{_EO}{name}": value for name, value in fields.items()}


def _valid(found: Any, kinds: Mapping[str, TypeAdapter[Any]]) -> dict[str, Any]:
    """Return the fields that are of the kind that they must be."""
    kept = {}
    for name, kind in kinds.items():
        if not isinstance(found, Mapping) or name not in found:
            continue
        try:
            kind.validate_python(found[name])
        except ValidationError:
            continue
        kept[name] = found[name]
    return kept
