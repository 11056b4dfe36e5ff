"""The declaration of an area by a user, as strict pydantic models.

Only declarations and the rules that need no data; Dagster's docs have every description.
"""

from __future__ import annotations

from datetime import date, timedelta
from math import inf
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from mlops_assets.choices import MAP_OUTPUTS, MapOutput
from mlops_assets.datasets.specification.source import require_supported
from mlops_assets.errors import SpecificationError
from mlops_assets.models.compute import Compute
from mlops_assets.prediction.scenes.interval import AcquisitionInterval, parse_interval
from mlops_assets.strict import DeclaredAlias, DeclaredName, Strict

# of an area that declares no start: the year in which Sentinel-2 was launched
DEFAULT_START = date(2015, 1, 1)
_SEARCHED = ("stac+http", "stac+https")


class AreaSource(Strict):
    """The place where the scenes of an area are found."""

    url: str = Field(
        description=(
            "Folder or prefix of scenes, relative to the workspace or file://, s3://, az://, gs://;"
            " a STAC Item, Collection or ItemCollection by https://; or a STAC API as"
            " stac+https://…, which is searched."
        )
    )
    collections: list[str] = Field(
        default=[], description="Collections of a STAC API that are searched."
    )
    query: str | None = Field(
        default=None,
        description="Filter of a STAC API, as CQL2 text, e.g. '\"eo:cloud_cover\" < 20'.",
    )
    datetime: str | None = Field(
        default=None,
        description=(
            "Only scenes of this day, month or year, or of START/END, where '..' is open; UTC."
        ),
    )

    @field_validator("url")
    @classmethod
    def _supported(cls, url: str) -> str:
        if not url.strip():
            raise ValueError("names no place; write a folder of scenes, or stac+https://…")
        return require_supported(url)

    @field_validator("datetime")
    @classmethod
    def _interval(cls, interval: str | None) -> str | None:
        if interval is not None:
            parse_interval(interval)
        return interval

    @property
    def interval(self) -> AcquisitionInterval | None:
        """The interval of acquisition; None if none is declared."""
        return None if self.datetime is None else parse_interval(self.datetime)

    @property
    def is_searched(self) -> bool:
        """Whether it is a STAC API."""
        return self.url.partition("://")[0] in _SEARCHED

    @model_validator(mode="after")
    def _search(self) -> AreaSource:
        if self.is_searched and not self.collections:
            raise ValueError("a STAC API needs 'collections', such as [sentinel-2-l2a]")
        if not self.is_searched and (self.collections or self.query):
            raise ValueError(
                "'collections' and 'query' are of a STAC API; write its address as stac+https://…"
            )
        return self


def _ordered(bounds: list[float]) -> list[float]:
    if len(bounds) == 4:
        left, bottom, right, top = bounds
        if not (-inf < left < right < inf and -inf < bottom < top < inf):
            raise ValueError("bounds are [left, bottom, right, top]: left < right and bottom < top")
    return bounds


class AreaGrid(Strict):
    """The grid of an area's maps; that of its scenes if it is not declared."""

    crs: str = Field(description="Reference system, e.g. EPSG:32632.")
    resolution: float = Field(gt=0, description="Side of a pixel, in the unit of 'crs'.")
    bounds: Annotated[list[float], AfterValidator(_ordered)] | None = Field(
        default=None,
        min_length=4,
        max_length=4,
        description="Left, bottom, right and top, in the unit of 'crs'; the scenes' if not given.",
    )


class AreaMask(Strict):
    """A band of codes that hides pixels, such as Sentinel-2's scene classification."""

    asset: str = Field(min_length=1, description="Asset of the scene's Item, e.g. scl.")
    invalid: list[int] = Field(
        min_length=1, description="Codes that hide a pixel, e.g. [0, 1, 3, 8, 9, 10]."
    )


class ScenesSensor(Strict):
    """Settings for watching the source of an area."""

    interval_seconds: int = Field(
        default=300, ge=30, le=86_400, description="Polling interval in seconds."
    )
    days: int = Field(
        default=30,
        ge=1,
        le=3660,
        description=(
            "Days before today whose scenes are listed; older days are predicted by hand."
        ),
    )


class AreaSpecification(Strict):
    """An area as declared, whose scenes a model maps day by day."""

    name: DeclaredName = Field(
        description="Name of the area: a letter, then letters, digits and '_'."
    )
    description: str = Field(default="", description="What is mapped and for whom.")
    model: DeclaredName = Field(description="Name of the model.")
    alias: DeclaredAlias = Field(
        default="production",
        description="The version that predicts, resolved when a run is launched.",
    )
    source: AreaSource = Field(description="Where its scenes are found.")
    area: str | dict[str, object] | None = Field(
        default=None,
        description=(
            "Outline of the maps, as GeoJSON or as the path of a GeoJSON file beside the"
            " declaration; the whole scenes if not given."
        ),
    )
    grid: AreaGrid | None = Field(
        default=None, description="Grid of the maps; that of the scenes if not given."
    )
    mask: AreaMask | None = Field(
        default=None, description="Codes of clouds, snow and the like, whose pixels have no class."
    )
    outputs: list[MapOutput] = Field(
        default=["class"],
        min_length=1,
        description=(
            "Outputs beside the class or value: probabilities, confidence, margin, entropy."
        ),
    )
    bands_by_position: bool = Field(
        default=False, description="Take bands in file order where they cannot be identified."
    )
    on_broken: Literal["skip", "fail"] = Field(
        default="skip", description="Whether a scene that cannot be read is skipped or fails a day."
    )
    max_outside: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description=(
            "Share of a map's pixels outside the model's area of applicability, beyond which the"
            " check of the record fails."
        ),
    )
    start: date | None = Field(
        default=None,
        description=(
            "First day; that of 'source.datetime' if not given, else 2015-01-01. Scenes of earlier"
            " days are not part of the area."
        ),
    )
    compute: Compute = Field(
        default=Compute(), description="What one step of prediction may use on Kubernetes."
    )
    auto_predict: bool = Field(
        default=False, description="Predict days that have new or changed scenes."
    )
    sensor: ScenesSensor = Field(
        default=ScenesSensor(), description="How the source is watched with 'auto_predict'."
    )

    @field_validator("outputs")
    @classmethod
    def _each_once(cls, outputs: list[MapOutput]) -> list[MapOutput]:
        # in one order, so that the same outputs are the same map
        return [output for output in MAP_OUTPUTS if output in {"class", *outputs}]

    @model_validator(mode="after")
    def _search_needs_an_area(self) -> AreaSpecification:
        if self.source.is_searched and self.area is None:
            raise ValueError("a search of a STAC API needs 'area', which it is limited to")
        return self

    @property
    def first_day(self) -> date:
        """The first day that can be predicted."""
        first = self.source.interval.first_day if self.source.interval else None
        return self.start or first or DEFAULT_START

    @property
    def last_day(self) -> date | None:
        """The last day that can be predicted; None if there is none."""
        return self.source.interval.last_day if self.source.interval else None

    def require_day(self, day: date, today: date) -> None:
        """Refuse a day that is not one of the area's.

        Args:
            day: of acquisition, UTC.
            today: the last day unless the area ends before.

        Raises:
            SpecificationError: it is before the first day or after the last one.
        """
        last = min(today, self.last_day or today)
        if not self.first_day <= day <= last:
            raise SpecificationError(
                f"{self.name} has days from {self.first_day} to {last}, so not {day}; choose one of"
                " them, or declare another 'start' or 'source.datetime'"
            )

    def watched_interval(self, today: date) -> tuple[date, date]:
        """Return the first and the last day that the sensor lists scenes of."""
        first = max(self.first_day, today - timedelta(days=self.sensor.days))
        return first, min(today, self.last_day or today)
