"""The choice of three bands for a picture: true colour, false colour, or as named.

Formulas of colours are in `chips`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.errors import SpecificationError
from mlops_assets.stac.asset_fields import shared_bands
from mlops_assets.text.listing import named

# centres of Sentinel-2's B04, B03, B02 and B08 in µm (ESA, Sentinel-2 Spectral Response Functions)
WAVELENGTHS = {"red": 0.665, "green": 0.560, "blue": 0.490, "nir": 0.842}
MAX_APART = 0.06  # µm; the next band of common sensors is farther away
TRUE, FALSE, GREY = "true", "false", "grey"
_COMPOSITES = {TRUE: ("red", "green", "blue"), FALSE: ("nir", "red", "green")}
_TITLES = {TRUE: "True colour", FALSE: "False colour (near infrared)"}
# names of files that declare neither common names nor wavelengths
_SENTINEL_2 = {"red": "b04", "green": "b03", "blue": "b02", "nir": "b08"}
_PLAIN = {"red": ("r", "red"), "green": ("g", "green"), "blue": ("b", "blue"), "nir": ("nir",)}


@dataclass(frozen=True)
class Composite:
    """A picture of one or three bands.

    Attributes:
        name: `true`, `false`, `grey`, or the names of the bands.
        title: for people.
        bands: names of the bands for red, green and blue; one for a grey picture.
        indices: their positions among the features.
    """

    name: str
    title: str
    bands: list[str]
    indices: list[int]

    @property
    def query(self) -> str:
        """The value of the query parameter `bands` that names this picture."""
        return ",".join(self.bands)


def composites(committed: CommittedDataset) -> list[Composite]:
    """Return the pictures that the bands of a data version allow, the first of which is shown.

    True and false colour need common names, centre wavelengths, or usual names of bands; without
    them, bands spread over the spectrum are taken, and one band is grey.

    Args:
        committed: the data version.

    Returns:
        None of a table; else at least one.
    """
    names = committed.document.features
    if committed.document.input.kind == "row" or not names:
        return []
    described = shared_bands(committed)
    found = []
    for name, colours in _COMPOSITES.items():
        indices = [_band_of(described, names, colour) for colour in colours]
        known = [index for index in indices if index is not None]
        if len(set(known)) == len(colours):
            found.append(_composite(names, name, _TITLES[name], known))
    if len(names) < 3:
        return [_composite(names, GREY, f"{names[0]} in grey", [0])]
    if not any(one.name == TRUE for one in found):
        found.insert(0, _guess(names))
    return found


def chosen_composite(
    reference: str, names: Sequence[str], offered: Sequence[Composite], bands: str | None
) -> Composite:
    """Return the picture that a query names.

    Args:
        reference: to the data version.
        names: of its bands.
        offered: `composites` of it.
        bands: `true`, `false`, or the names of one or three bands, with commas; None for the first
            of `composites`.

    Raises:
        SpecificationError: it has no such bands.
    """
    if not offered:
        raise SpecificationError(f"{reference} is a table, which has no bands to show")
    if not bands:
        return offered[0]
    for one in offered:
        if bands in (one.name, one.query):
            return one
    if bands in _COMPOSITES:
        raise SpecificationError(
            f"{reference} has no bands that are known to be"
            f" {', '.join(_COMPOSITES[bands])}; declare 'bands: {{common_names: …}}' or name three:"
            f" {named(names)}"
        )
    chosen = _split(bands, names)
    unknown = [name for name in chosen if name not in names]
    if unknown or len(chosen) not in (1, 3):
        raise SpecificationError(
            f"bands={bands!r}: name one or three bands of {reference}, separated by"
            f" commas: {named(names)}"
        )
    indices = [names.index(name) for name in chosen]
    return _composite(names, ",".join(chosen), " · ".join(chosen), indices)


def _split(bands: str, names: Sequence[str]) -> list[str]:
    """Return the names in a list with commas; a name may have a comma itself."""
    if bands in names:
        return [bands]
    parts = bands.split(",")
    if all(part in names for part in parts):
        return parts
    found: list[str] = []
    start = 0
    while start < len(parts):
        for end in range(len(parts), start, -1):
            if (name := ",".join(parts[start:end])) in names:
                found.append(name)
                start = end
                break
        else:
            return parts
    return found


def _composite(names: Sequence[str], name: str, title: str, indices: list[int]) -> Composite:
    return Composite(name, title, [names[index] for index in indices], indices)


def _guess(names: Sequence[str]) -> Composite:
    """Return three bands of unknown colours.

    Files of three or four bands have red, green and blue first; of many bands, a quarter, half and
    three quarters of the way along the spectrum show the most.
    """
    indices = [0, 1, 2]
    if len(names) > 4:
        indices = [len(names) * part // 4 for part in (3, 2, 1)]
    bands = ", ".join(names[index] for index in indices)
    return _composite(names, "default", f"Bands {bands}", indices)


def _band_of(
    described: Sequence[Mapping[str, object]], features: Sequence[str], colour: str
) -> int | None:
    """Return the position of the band that shows a colour, None if no band is known to."""
    for index, band in enumerate(described):
        if band.get("eo:common_name") == colour:
            return index
    target = WAVELENGTHS[colour]
    apart = [
        (abs(float(wavelength) - target), index)
        for index, band in enumerate(described)
        if isinstance(wavelength := band.get("eo:center_wavelength"), int | float)
    ]
    if apart:
        nearest, index = min(apart)
        return index if nearest <= MAX_APART else None
    names = [name.strip().lower() for name in features]
    for usual in (*_PLAIN[colour], _SENTINEL_2[colour]):
        matches = [i for i, name in enumerate(names) if usual in re.split(r"[^a-z0-9]+", name)]
        if len(matches) == 1 and _trusted(usual, names):
            return matches[0]
    return None


def _trusted(usual: str, names: Sequence[str]) -> bool:
    """Return whether a usual name means its colour among these names.

    B02, B03, B04 and B08 are Sentinel-2's only if there is no band B8 numbers it differently: bands
    without names are called B001, B002, ….
    """
    if not re.fullmatch(r"b\d\d", usual):
        return True
    words = {word for name in names for word in re.split(r"[^a-z0-9]+", name)}
    return {"b02", "b03", "b04"} <= words
