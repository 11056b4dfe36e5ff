"""A request for maps of scenes that need no declared area, and the jobs that it becomes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Literal

from pydantic import Field, ValidationError, field_validator

from mlops_assets.choices import MAP_OUTPUTS, MapOutput
from mlops_assets.datasets.specification.description import require_box
from mlops_assets.errors import SpecificationError
from mlops_assets.names import Reference
from mlops_assets.prediction.areas.geometry import outline_of
from mlops_assets.prediction.areas.specification import AreaGrid, AreaMask, AreaSpecification
from mlops_assets.prediction.scenes.interval import parse_interval
from mlops_assets.strict import Strict, listed_problems, refusing
from mlops_assets.text.listing import named

if TYPE_CHECKING:
    from mlops_assets.prediction.job import MapJob
    from mlops_assets.prediction.scenes.found import FoundScene
    from mlops_assets.prediction.scenes.reading import Reading
    from mlops_assets.prediction.scenes.sources.search import SceneSearch
    from mlops_assets.registry import ModelVersion
    from mlops_assets.store import Store

# scenes that an error names
_NAMED = 5


class MapRequest(Strict):
    """Scenes to be mapped by a model version: one map for each day of acquisition."""

    model: str = Field(description="Model version, as model@version or model@alias.")
    sources: list[str] = Field(
        min_length=1,
        description=(
            "Scenes: GeoTIFFs, folders or prefixes of them, STAC Items, Collections and"
            " ItemCollections, by path or URL; or a STAC API as stac+https://…, which is searched."
        ),
    )
    collections: list[str] = Field(
        default=[], description="Collections of a STAC API that are searched."
    )
    bbox: list[float] | None = Field(
        default=None,
        min_length=4,
        max_length=4,
        description="West, south, east and north in degrees, of the scenes to search for.",
    )
    area: dict[str, object] | None = Field(
        default=None, description="GeoJSON outline, outside of which maps have no data."
    )
    datetime: str | None = Field(
        default=None, description="Only scenes of this interval, as START/END; '..' is open."
    )
    query: str | None = Field(default=None, description="Filter of a STAC API, as CQL2 text.")
    date: str | None = Field(
        default=None,
        description="Day of acquisition, YYYY-MM-DD in UTC, of scenes that have no date.",
    )
    outputs: list[MapOutput] = Field(
        default=["class"],
        description=(
            "Outputs beside the class or value: probabilities, confidence, margin, entropy."
        ),
    )
    bands_by_position: bool = Field(
        default=False, description="Take bands in file order where they cannot be identified."
    )
    grid: AreaGrid | None = Field(
        default=None, description="Grid of the maps; that of the scenes if not given."
    )
    mask: AreaMask | None = Field(default=None, description="Codes whose pixels have no class.")
    on_broken: Literal["skip", "fail"] = Field(
        default="skip", description="Whether a scene that cannot be read is skipped or fails a map."
    )

    @field_validator("bbox")
    @classmethod
    def _box(cls, bbox: list[float] | None) -> list[float] | None:
        if bbox is not None:
            require_box(bbox)
        return bbox

    @field_validator("datetime")
    @classmethod
    def _interval(cls, text: str | None) -> str | None:
        if text is not None:
            parse_interval(text)
        return text

    @field_validator("date")
    @classmethod
    def _day(cls, text: str | None) -> str | None:
        # of the forms of ISO 8601 that which partitions have
        return None if text is None else date.fromisoformat(text).isoformat()

    @field_validator("area")
    @classmethod
    def _outline(cls, area: dict[str, object] | None) -> dict[str, object] | None:
        if area is None:
            return None
        with refusing(SpecificationError):
            return outline_of(area, "the area")

    @field_validator("outputs")
    @classmethod
    def _each_once(cls, outputs: list[MapOutput]) -> list[MapOutput]:
        return [output for output in MAP_OUTPUTS if output in {"class", *outputs}]

    @property
    def reference(self) -> Reference:
        """The model version."""
        return Reference.parse(self.model)


def parse_request(document: object) -> MapRequest:
    """Return the request of a document.

    Raises:
        SpecificationError: it is invalid.
    """
    try:
        return MapRequest.model_validate(document)
    except ValidationError as error:
        raise SpecificationError(listed_problems(error, "the request", _NAMED)) from error


def map_jobs(store: Store, row: ModelVersion, request: MapRequest) -> list[MapJob]:
    """Return the maps to be made: one a day of acquisition, of all its scenes.

    A single scene without a date is mapped without one.

    Args:
        store: workspace and registry.
        row: the model version of the request.
        request: what is to be mapped.

    Raises:
        SpecificationError: several scenes have no date, and none is given.
        NoScenes: there is no scene.
        MlopsError: a source cannot be listed.
    """
    return jobs_of(store, (row.model, row.version), request)


def jobs_of(store: Store, model: tuple[str, str], request: MapRequest) -> list[MapJob]:
    """Return the maps to be made by any model; see `map_jobs`.

    Args:
        store: workspace and registry.
        model: name and version.
        request: what is to be mapped.
    """
    from mlops_assets.prediction.scenes.sources.find import find_scenes

    scenes = find_scenes(store, request.sources, _search(request))
    given = None if request.date is None else date.fromisoformat(request.date)
    return [_job(model, request, day, found) for day, found in _by_day(scenes, given).items()]


def _search(request: MapRequest) -> SceneSearch | None:
    from mlops_assets.prediction.scenes.sources.search import SceneSearch

    given = (request.collections, request.bbox, request.area, request.datetime, request.query)
    if not any(given):
        return None
    return SceneSearch(
        collections=tuple(request.collections),
        bbox=_bounds(request.bbox),
        area=request.area,
        datetime=request.datetime,
        query=request.query,
    )


def _by_day(
    scenes: Sequence[FoundScene], given: date | None
) -> dict[date | None, list[FoundScene]]:
    """Return scenes by their day of acquisition, oldest first."""
    from mlops_assets.prediction.scenes.by_day import ScenesByDay

    listed = ScenesByDay.of(scenes)
    if listed.undated and given is None and len(scenes) > 1:
        raise SpecificationError(
            f"{named([scene.name for scene in listed.undated], _NAMED)}: the day of acquisition is"
            " unknown; give it with --date YYYY-MM-DD, or put a STAC Item beside each file"
        )
    days: dict[date | None, list[FoundScene]] = dict(listed.days.items())
    if listed.undated:
        days[given] = [*days.get(given, []), *listed.undated]
    return dict(sorted(days.items(), key=lambda entry: entry[0] or date.min))


def _job(
    model: tuple[str, str], request: MapRequest, day: date | None, scenes: Sequence[FoundScene]
) -> MapJob:
    from mlops_assets.prediction.job import MapJob
    from mlops_assets.prediction.mapped import Options

    return MapJob(
        name=_name(day, scenes),
        model=model[0],
        version=model[1],
        scenes=tuple(scenes),
        options=Options(tuple(request.outputs)),
        reading=reading_of(request, request.area),
        day=day,
        on_broken=request.on_broken,
    )


def reading_of(
    choices: MapRequest | AreaSpecification, outline: dict[str, object] | None
) -> Reading:
    """Return how scenes are read.

    Args:
        choices: as declared or requested.
        outline: GeoJSON, outside of which there is no data.
    """
    from mlops_assets.prediction.scenes.reading import Grid, Mask, Reading

    grid, mask = choices.grid, choices.mask
    return Reading(
        by_position=choices.bands_by_position,
        grid=None if grid is None else Grid(grid.crs, grid.resolution, _bounds(grid.bounds)),
        mask=None if mask is None else Mask(mask.asset, tuple(mask.invalid)),
        area=outline,
    )


def _bounds(numbers: list[float] | None) -> tuple[float, float, float, float] | None:
    if numbers is None:
        return None
    left, bottom, right, top = numbers
    return left, bottom, right, top


def _name(day: date | None, scenes: Sequence[FoundScene]) -> str:
    """Return the name of a map: of its scene, or of its day with a digest of its scenes."""
    if len(scenes) == 1:
        return scenes[0].name
    digest = hashlib.sha256("\n".join(sorted(scene.href for scene in scenes)).encode())
    return f"{day}-{digest.hexdigest()[:8]}"
