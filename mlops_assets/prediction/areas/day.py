"""The map of a day of an area: its scenes, and the job that makes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date

from mlops_assets.errors import NoScenes, NotFound, SpecificationError
from mlops_assets.prediction.areas.geometry import outline_of
from mlops_assets.prediction.areas.specification import AreaSpecification
from mlops_assets.prediction.job import MapJob
from mlops_assets.prediction.mapped import Options
from mlops_assets.prediction.request import reading_of
from mlops_assets.prediction.scenes.by_day import ScenesByDay
from mlops_assets.prediction.scenes.found import FoundScene
from mlops_assets.prediction.scenes.sources.find import find_scenes
from mlops_assets.prediction.scenes.sources.search import SceneSearch
from mlops_assets.registry import Map, ModelVersion
from mlops_assets.registry.records.maps import MapFilter
from mlops_assets.store import Store
from mlops_assets.text.listing import named
from mlops_assets.text.secret_urls import redacted

# scenes that an error names
_NAMED = 5


def list_scenes(
    store: Store, specification: AreaSpecification, first: date, last: date
) -> ScenesByDay:
    """List the scenes of an area from one day to another, both included.

    Only a STAC API is searched by time: among files that were listed, those without a date would
    prevent that of all others.

    Raises:
        NoScenes: there is none.
        MlopsError: the source cannot be listed.
    """
    source = specification.source
    url = source.url if "://" in source.url else store.workspace.where(source.url)
    search = SceneSearch(
        collections=tuple(source.collections),
        area=outline(specification),
        datetime=f"{first}/{last}" if source.is_searched else None,
        query=source.query,
    )
    found = ScenesByDay.of(find_scenes(store, [url], search))
    days = {day: scenes for day, scenes in found.days.items() if first <= day <= last}
    return replace(found, days=days)


def outline(specification: AreaSpecification) -> dict[str, object] | None:
    """Return the outline of an area as GeoJSON; None for whole scenes."""
    if specification.area is None:
        return None
    return outline_of(specification.area, f"the area of {specification.name}")


def day_job(
    store: Store,
    specification: AreaSpecification,
    row: ModelVersion,
    day: date,
    sources: Sequence[str] = (),
) -> MapJob:
    """Return the map to be made of a day of an area.

    Args:
        store: workspace and registry.
        specification: the area.
        row: the model version that predicts.
        day: of acquisition, UTC.
        sources: scenes instead of those of the declared source; those without a date are of the
            day.

    Raises:
        NoScenes: there is no scene of the day.
        SpecificationError: there are only scenes without a date.
        MlopsError: the source cannot be listed.
    """
    notes: list[str] = []
    if sources:
        listing = ScenesByDay.of(find_scenes(store, list(sources), None))
        scenes = [*listing.days.get(day, []), *listing.undated]
    else:
        listing = list_scenes(store, specification, day, day)
        scenes = listing.days.get(day, [])
        if listing.undated:
            names = named([scene.name for scene in listing.undated], _NAMED)
            notes.append(f"files whose day is unknown are in no map: {names}")
    if not scenes:
        raise _no_scenes(specification, day, listing.undated)
    return MapJob(
        name=f"{specification.name}/{day}",
        model=row.model,
        version=row.version,
        scenes=tuple(scenes),
        options=Options(tuple(specification.outputs)),
        reading=reading_of(specification, outline(specification)),
        area=specification.name,
        day=day,
        on_broken=specification.on_broken,
        notes=tuple(notes),
    )


def _no_scenes(
    specification: AreaSpecification, day: date, undated: Sequence[FoundScene]
) -> NoScenes | SpecificationError:
    """Return the error of a day that has no scene."""
    where = redacted(specification.source.url)
    if undated:
        names = named([scene.name for scene in undated], _NAMED)
        return SpecificationError(
            f"{where} has no scene of {day}, but files whose day is unknown: {names}; put a STAC"
            f" Item beside each, or name them: mlops predict {specification.name} FILE --date {day}"
        )
    return NoScenes(
        f"{specification.name} has no scene of {day} (UTC) in {where}; choose a day that has one,"
        " or name scenes"
    )


def map_of_day(
    store: Store, specification: AreaSpecification, day: str, version: str | None
) -> Map:
    """Return the newest map of a day of an area.

    Args:
        store: workspace and registry.
        specification: the area.
        day: of acquisition, `YYYY-MM-DD`.
        version: of the model that made it; any if None.

    Raises:
        NotFound: there is none.
    """
    wanted = MapFilter(area=specification.name, day=day, version=version)
    found = store.registry.maps(wanted, limit=1)
    if not found:
        raise NotFound(
            f"{specification.name} has no map of {day}; make it: mlops predict {specification.name}"
            f" --date {day}"
        )
    return found[0]
