"""Records as they were sent, compared with what a catalogue returns.

Catalogues write the same record in other ways: members without a value are left out, times and
numbers have another form, links are added.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from datetime import datetime

from mlops_assets.text.json_values import Json, JsonObject

MAX_VALUE = 80  # characters of a value in a message
# catalogues with 9 digits, as GeoJSON is written by default, are this close
_DEGREES = 1e-9
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.IGNORECASE)
# that only whoever registers records adds: one too many is left of an earlier state
BETWEEN_RECORDS = frozenset(
    {"derived_from", "predecessor-version", "successor-version", "latest-version"}
)
# what a catalogue states of itself
_OWN = frozenset({"stac_version", "links", "properties.created", "properties.updated"})


def differences(sent: JsonObject, found: JsonObject) -> list[str]:
    """Return where a catalogue's record is another one than was sent; nothing if it is the same.

    Args:
        sent: as `outgoing` makes it.
        found: as the catalogue returns it.

    Returns:
        One text for each place, such as `properties.gsd: sent 10, found 20`.
    """
    return [*_values("", sent, found), *_links(sent.get("links"), found.get("links"))]


def _values(path: str, sent: Json, found: Json) -> Iterator[str]:
    if path in _OWN:
        return
    if isinstance(sent, dict) and isinstance(found, dict):
        if path == "geometry" and _same_place(sent, found):
            return
        for name in {**sent, **found}:
            inner = f"{path}.{name}" if path else name
            yield from _values(inner, sent.get(name), found.get(name))
    elif isinstance(sent, list) and isinstance(found, list) and len(sent) == len(found):
        if path == "stac_extensions" and Counter(map(str, sent)) == Counter(map(str, found)):
            return
        for number, (one, other) in enumerate(zip(sent, found, strict=True)):
            yield from _values(f"{path}[{number}]", one, other)
    elif not _same(path, sent, found):
        yield f"{path}: sent {_shown(sent)}, found {_shown(found)}"


def _same(path: str, sent: Json, found: Json) -> bool:
    """Return whether two values are the same, of which not both are lists or objects."""
    if isinstance(sent, bool) or isinstance(found, bool):
        return sent is found
    if isinstance(sent, int | float) and isinstance(found, int | float):
        place = path.startswith(("geometry.", "bbox", "extent.spatial."))
        return sent == found or (place and math.isclose(sent, found, rel_tol=0, abs_tol=_DEGREES))
    if isinstance(sent, str) and isinstance(found, str):
        return sent == found or _same_moment(sent, found) or _same_url(sent, found)
    # some write nothing as an empty list or object
    return sent == found or (sent in (None, [], {}) and found in (None, [], {}))


def _same_moment(sent: str, found: str) -> bool:
    if not (_RFC3339.fullmatch(sent) and _RFC3339.fullmatch(found)):
        return False
    try:
        return datetime.fromisoformat(sent) == datetime.fromisoformat(found)
    except ValueError:
        return False


def _same_url(sent: str, found: str) -> bool:
    """Return whether two URLs are of the same host, without a path."""
    return sent.startswith(("http://", "https://")) and sent.rstrip("/") == found.rstrip("/")


def _same_place(sent: JsonObject, found: JsonObject) -> bool:
    """Return whether two geometries are the same, whose rings may begin elsewhere or turn."""
    import shapely
    from shapely.geometry import shape

    try:
        one, other = (shapely.normalize(shape(each)) for each in (sent, found))
    except (ValueError, TypeError, AttributeError, LookupError, shapely.errors.ShapelyError):
        return False
    return bool(one.equals_exact(other, _DEGREES)) and one.has_z == other.has_z


def _links(sent: Json, found: Json) -> Iterator[str]:
    """Yield what is wrong with links; catalogues add some, in any order."""
    wanted, present = _by_target(sent), _by_target(found)
    for (relation, href), link in wanted.items():
        same = present.get((relation, href))
        if same is None:
            yield f"links: the link {relation} to {href} is missing"
        else:
            yield from _values(f"links[{relation}]", {**link, "href": href}, {**same, "href": href})
    for relation, href in present.keys() - wanted.keys():
        if relation in BETWEEN_RECORDS:
            yield f"links: the link {relation} to {href} was not sent"


def _by_target(links: Json) -> dict[tuple[str, str], JsonObject]:
    return {
        (str(link.get("rel")), str(link.get("href")).rstrip("/")): link
        for link in (links if isinstance(links, list) else [])
        if isinstance(link, dict)
    }


def _shown(value: Json) -> str:
    if value is None:
        return "nothing"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= MAX_VALUE else f"{text[:MAX_VALUE]}…"
