"""The order of bands: by their names in the files; by place only where the files have no names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from mlops_assets.datasets.versions.contents import FileRow, bands_read


def order_bands(
    images: Sequence[FileRow], names: Sequence[str], declared: Sequence[str] | None
) -> tuple[list[str], list[str]]:
    """Bring the bands of all images into one order, in `bands` of their rows.

    Args:
        images: manifest rows of image files, with `bands` in file order; changed in place.
        names: names of the bands of the first scene or image.
        declared: declared names: those of the files in another order, or new names in the order of
            the files.

    Returns:
        The names of the features, and a problem for each file whose bands cannot be brought into
        that order.
    """
    parts: dict[int, list[FileRow]] = defaultdict(list)
    for row in images:
        parts[row["part"] or 0].append(row)
    problems: list[str] = []
    features = list(declared or names)
    start = 0
    found: list[str] = []
    for part in sorted(parts):
        end = start + len(bands_read(parts[part][0]))
        found += _order_part(parts[part], features[start:end], declared is not None, problems)
        start = end
    own = found if len(found) == len(names) else list(names)
    if declared is not None and len(declared) == len(own) and not problems:
        problems += _contradictions(declared, own)
    if declared is not None:
        return features, problems
    return found, problems or repeated_names(images[0]["path"] if images else "", found)


def repeated_names(path: str, names: Sequence[str]) -> list[str]:
    """Return a problem if bands share a name, as their order in other files is then unknown."""
    repeated = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if not repeated:
        return []
    return [
        f"{path}: names {names.count(repeated[0])} bands {repeated[0]}; give each band a"
        " description of its own, or declare 'bands: {names: [...]}'"
    ]


def alpha_notes(found: Sequence[tuple[str, int]]) -> list[str]:
    """Return a note on alpha bands, which are not features, by the paths of their files."""
    if not found:
        return []
    path, band = found[0]
    more = f" ({len(found)} file(s))" if len(found) > 1 else ""
    return [
        f"{path}{more}: band {band} is alpha; it marks the pixels that have data and is not a"
        " feature; if it is a measurement, name every band in 'bands: {names: [...]}'"
    ]


def _order_part(
    rows: Sequence[FileRow], wanted: list[str], declared: bool, problems: list[str]
) -> list[str]:
    """Order the files that are one part of their scenes; return the names of its bands."""
    named = [row for row in rows if row["band_names"]]
    if not named:
        return wanted
    like = named[0]
    names = list(like["band_names"] or ())
    order = wanted if sorted(wanted) == sorted(names) else names
    for row in rows:
        own = row["band_names"]
        read = sorted(bands_read(row))
        if own is None:
            if not declared and len(read) > 1:
                problems.append(
                    f"{row['path']}: has no band names, {like['path']} has {_text(order)}; set "
                    "the band descriptions, or declare 'bands: {names: [...]}'"
                )
        elif sorted(own) != sorted(order):
            problems.append(
                f"{row['path']}: has bands {_text(own)}, {like['path']} has"
                f" {_text(names)}; land the same bands of every scene, called the same"
            )
        else:
            bands = [read[own.index(name)] for name in order]
            row["bands"] = None if bands == list(range(1, int(row["count"]) + 1)) else bands
    return order


def _contradictions(declared: Sequence[str], own: Sequence[str]) -> list[str]:
    """Return which declared names are those of other bands."""
    return [
        f"bands.names calls band {place} {name}, but the files call band {own.index(name) + 1} so;"
        " name them as the files do, or leave 'names' out"
        for place, name in enumerate(declared, start=1)
        if name in own and own[place - 1] != name
    ][:1]


def _text(names: Sequence[str]) -> str:
    listed = ", ".join(names[:10])
    return listed + (f" and {len(names) - 10} more" if len(names) > 10 else "")
