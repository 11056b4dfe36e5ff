"""Scaling that a caller must do before the model, as MLM states it, of v1.3 and later.

The figures are those of the record; what the graph scales by itself is not known here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Object = Mapping[str, object]


@dataclass(frozen=True)
class BandScaling:
    """Scaling of one band: (x - offset) / divisor, then clipped to low … high."""

    offset: float = 0.0
    divisor: float = 1.0
    low: float = -math.inf
    high: float = math.inf


def value_scaling(entries: Sequence[Object | None]) -> tuple[BandScaling, ...]:
    """Return the scaling of MLM v1.4 and later: of each band, or one for all.

    Args:
        entries: Value Scaling Objects, https://github.com/stac-extensions/mlm#value-scaling-object.

    Raises:
        ValueError: one is of an unknown type, or lacks figures.
    """
    return tuple(_of_object(entry) for entry in entries)


def norm(
    kind: str, statistics: Sequence[Object], clip: Sequence[float], by_channel: bool
) -> tuple[BandScaling, ...]:
    """Return the scaling of MLM v1.3, which has one type for all bands and figures beside it.

    Args:
        kind: `norm_type`.
        statistics: figures of each band, or of all.
        clip: `norm_clip`, for the type `clip`: the value of each band that becomes 1.
        by_channel: whether each band has its own figures.

    Raises:
        ValueError: the type is one that no formula is stated for, or figures are missing.
    """
    if kind == "clip":
        if not clip:
            raise ValueError("norm_type 'clip' needs norm_clip")
        return tuple(BandScaling(divisor=_not_zero(value), low=0, high=1) for value in clip)
    if kind not in ("min-max", "z-score"):
        raise ValueError(
            f"norm_type {kind!r} cannot be applied; state value_scaling as in MLM v1.4, or put it"
            " into the ONNX graph"
        )
    if not statistics:
        raise ValueError(f"norm_type {kind!r} needs statistics")
    used = statistics if by_channel else statistics[:1]
    return tuple(_of_object({**entry, "type": kind}) for entry in used)


def _of_object(entry: Object | None) -> BandScaling:
    kind = entry.get("type") if entry else None
    if entry is None or kind is None:
        return BandScaling()
    make = _TYPES.get(str(kind))
    if make is None:
        raise ValueError(
            f"scaling of type {kind!r} cannot be applied; state one of {', '.join(_TYPES)}, or put"
            " it into the ONNX graph and leave it out of the record"
        )

    def figure(name: str) -> float:
        value = entry.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"scaling of type {kind!r} needs the number {name!r}")
        return float(value)

    return make(figure)


def _not_zero(value: float) -> float:
    if not value or not math.isfinite(value):
        raise ValueError(f"scaling would divide by {value:g}; correct its figures")
    return value


Figure = Callable[[str], float]
_TYPES: dict[str, Callable[[Figure], BandScaling]] = {
    "min-max": lambda of: BandScaling(of("minimum"), _not_zero(of("maximum") - of("minimum"))),
    "z-score": lambda of: BandScaling(of("mean"), _not_zero(of("stddev"))),
    "clip": lambda of: BandScaling(low=of("minimum"), high=of("maximum")),
    "clip-min": lambda of: BandScaling(low=of("minimum")),
    "clip-max": lambda of: BandScaling(high=of("maximum")),
    "offset": lambda of: BandScaling(offset=of("value")),
    "scale": lambda of: BandScaling(divisor=_not_zero(of("value"))),
}
