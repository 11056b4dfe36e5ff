"""What is declared for people and catalogues: who provides, place and time, the bands."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

from pydantic import Field, field_validator, model_validator

from mlops_assets.strict import Strict

# https://github.com/stac-extensions/eo/tree/v2.0.0#common-band-names
COMMON_NAMES = frozenset(
    {
        *("pan", "coastal", "blue", "green", "green05", "yellow", "red", "rededge", "rededge071"),
        *("rededge075", "rededge078", "nir", "nir08", "nir09", "cirrus", "swir16", "swir22"),
        *("lwir", "lwir11", "lwir12"),
    }
)


def require_box(bbox: list[float]) -> None:
    """Refuse what is not a box in degrees, in a validator; west > east across the antimeridian."""
    west, south, east, north = bbox
    if not (-180 <= west <= 180 and -180 <= east <= 180 and -90 <= south <= north <= 90):
        raise ValueError(f"bbox {bbox} is not [west, south, east, north] in degrees")


class Extent(Strict):
    """The place and time of the data, if the files do not have them."""

    # lists, as Dagster's docs cannot show tuples
    bbox: list[float] = Field(
        min_length=4, max_length=4, description="West, south, east, north; degrees."
    )
    interval: list[datetime | None] = Field(
        min_length=2, max_length=2, description="First and last time, ISO 8601."
    )
    approximate: bool = Field(default=False, description="The extent is known only roughly.")
    source: str | None = Field(default=None, description="Where the extent is known from.")

    @model_validator(mode="after")
    def _ordered(self) -> Extent:
        require_box(self.bbox)
        start, end = (
            time if time is None or time.tzinfo else time.replace(tzinfo=UTC)
            for time in self.interval
        )
        if start and end and start > end:
            raise ValueError("interval ends before it starts")
        return self


class Provider(Strict):
    """Somebody who made, licenses or hosts the data (STAC `providers`)."""

    name: str = Field(description="Name of the person or organisation.")
    roles: list[Literal["licensor", "producer", "processor", "host"]] = Field(
        default=[], description="What they have done."
    )
    url: str | None = Field(default=None, description="Their home page.")


class Bands(Strict):
    """The bands of the scenes."""

    names: list[str] | None = Field(
        default=None, description="Names, in file order; from the files if not given."
    )
    center_wavelengths: list[float] | None = Field(
        default=None, description="Centre wavelengths, in file order; µm."
    )
    common_names: list[str | None] | None = Field(
        default=None,
        exclude_if=lambda names: names is None,  # what earlier versions declare reads as it did
        description=(
            "STAC's common names, in file order, such as red, nir, swir16; null for a band without"
            " one. A band that is called by a common name has that."
        ),
    )

    @field_validator("common_names")
    @classmethod
    def _known(cls, names: list[str | None] | None) -> list[str | None] | None:
        unknown = sorted({name for name in names or [] if name} - COMMON_NAMES)
        if unknown:
            raise ValueError(
                f"common_names: {', '.join(unknown)} is not among STAC's:"
                f" {', '.join(sorted(COMMON_NAMES))}; write null for a band without one"
            )
        return names
