"""`mlops predict`."""

from __future__ import annotations

import datetime as dates
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from mlops_assets.cli.model.map_plan import print_plan
from mlops_assets.cli.model.predict_external import predict_external, require_out
from mlops_assets.cli.terminal import completion
from mlops_assets.cli.terminal.interruption import again, interruptible
from mlops_assets.cli.terminal.launching import Detach, open_project, print_submitted
from mlops_assets.cli.terminal.output import Module, advise, console, open_store
from mlops_assets.errors import NotFound, SpecificationError
from mlops_assets.names import Reference
from mlops_assets.storage.scratch import scratch_folder

if TYPE_CHECKING:
    from mlops_assets.orchestration.project import Project
    from mlops_assets.orchestration.results import RunResult
    from mlops_assets.orchestration.submission import Submission
    from mlops_assets.prediction.areas.specification import AreaSpecification
    from mlops_assets.prediction.job import MapJob
    from mlops_assets.registry import Map, ModelVersion
    from mlops_assets.store import Store

# of a request only: an area has declared them
_DECLARED = (
    *("collections", "bbox", "area", "datetime", "query", "grid", "mask"),
    "bands_by_position",
)


def predict(
    reference: Annotated[
        str,
        typer.Argument(
            help="model@version or model@alias; the path or URL of its MLM Item; or a declared"
            " area.",
            autocompletion=completion.mapped_references,
        ),
    ],
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SOURCE",
            help="Scenes: GeoTIFFs, folders, STAC Items, Collections or ItemCollections, by path or"
            " URL; or a STAC API as stac+https://….",
        ),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            metavar="PATH|URL",
            help="Also write the map here: a file that ends in .tif, a folder, or the URL of one;"
            " required for an MLM Item whose model this workspace does not have.",
        ),
    ] = None,
    outputs: Annotated[
        str | None,
        typer.Option(
            help="Comma-separated: class, probabilities, confidence, margin, entropy. All but the"
            " class go to a GeoTIFF of their own."
        ),
    ] = None,
    date: Annotated[
        str | None,
        typer.Option(
            "--date",
            "--day",
            metavar="YYYY-MM-DD",
            help="Day of acquisition (UTC): of the area, or of scenes that have no date.",
        ),
    ] = None,
    collection: Annotated[
        list[str] | None,
        typer.Option(help="Collection of a STAC API to search; repeatable."),
    ] = None,
    bbox: Annotated[
        str | None, typer.Option(help="Scenes of west,south,east,north, in degrees.")
    ] = None,
    area: Annotated[
        Path | None, typer.Option(help="GeoJSON file of the area to search and to map.")
    ] = None,
    datetime: Annotated[
        str | None, typer.Option(help="Scenes of a time or START/END; '..' is open.")
    ] = None,
    query: Annotated[
        str | None,
        typer.Option(help="Filter of a STAC API, as CQL2 text, e.g. '\"eo:cloud_cover\" < 20'."),
    ] = None,
    grid: Annotated[
        str | None,
        typer.Option(metavar="CRS@RESOLUTION", help="Grid of the map, e.g. EPSG:32632@10."),
    ] = None,
    mask: Annotated[
        str | None,
        typer.Option(
            metavar="ASSET=CODES", help="Codes whose pixels have no class, e.g. scl=3,8,9,10."
        ),
    ] = None,
    on_broken: Annotated[
        str | None,
        typer.Option(
            metavar="skip|fail", help="Whether a scene that cannot be read is skipped or an error."
        ),
    ] = None,
    bands_by_position: Annotated[
        bool,
        typer.Option(
            "--bands-by-position", help="Read bands in file order where they cannot be identified."
        ),
    ] = False,
    plan: Annotated[
        bool, typer.Option("--plan", help="Only print scenes, pixels, bytes, minutes and memory.")
    ] = False,
    detach: Detach = False,
    module: Module = None,
) -> None:
    """Map scenes, or a day of an area, as GeoTIFFs and pictures in the workspace.

    Several scenes of a day become one map. An interrupted map is continued by the same command.
    """
    from mlops_assets.prediction.areas.geometry import read_outline
    from mlops_assets.prediction.maps.copy_out import is_file, require_writable
    from mlops_assets.prediction.maps.outputs import parse_outputs

    given: dict[str, Any] = {
        "sources": [_source(source) for source in sources or []],
        "collections": collection or [],
        "bbox": None if bbox is None else _box(bbox),
        "area": None if area is None else read_outline(area),
        "datetime": datetime,
        "query": query,
        "grid": None if grid is None else _grid(grid),
        "mask": None if mask is None else _mask(mask),
        "outputs": None if outputs is None else list(parse_outputs(outputs)),
        "on_broken": on_broken,
        "bands_by_position": bands_by_position or None,
    }
    chosen = {name: value for name, value in given.items() if value not in (None, [])}
    if out is not None:
        require_writable(out, chosen.get("sources", []))

    store = open_store()
    with open_project(module) as project:
        declared = project.area(reference)
        if declared is not None:
            run = _of_area(store, declared, date, chosen)
        else:
            chosen |= {} if date is None else {"date": date}
            _require_scenes(reference, chosen)
            row = _model(store, reference)
            if row is None:
                if not plan:
                    require_out(reference, out)
                place = None if plan else out
                predict_external(store, reference, chosen, place, project.instance)
                return
            run = _of_scenes(store, row, chosen)
        if plan:
            _print_plan(store, run.jobs())
            return
        project.require_reachable(chosen.get("sources", []))
        if detach:
            if out is not None:
                raise typer.BadParameter("--detach does not wait for a map to write to --out")
            print_submitted(run.submit(project))
            return
        with interruptible(lambda: f"what was predicted is kept; to continue: {again()}"):
            result = run.launch(project)
    maps = list(_made(store, result))
    if out is not None and is_file(out) and len(maps) > 1:
        advise(f"{len(maps)} maps were made, so that {out} was not written; name a folder")
        out = None
    for made in maps:
        _report(store, made, out)
    for check in result.checks:
        if not check.passed:
            advise(f"check {check.name!r} failed: {check.description}")


@dataclass(frozen=True)
class _Run:
    """A run of the project that makes maps.

    Attributes:
        job: its name.
        op: the op that plans, by its path in the job.
        config: of that op.
        partition: day of an area.
        tags: of the run.
        jobs: returns the maps that it makes.
    """

    job: str
    op: tuple[str, ...]
    config: Mapping[str, object]
    partition: str | None
    tags: Mapping[str, str]
    jobs: Callable[[], list[MapJob]]

    def launch(self, project: Project) -> RunResult:
        """Run it, and wait for it."""
        return project.launch(self._submission())

    def submit(self, project: Project) -> str:
        """Submit it; return the id of the Dagster run."""
        return project.submit(self._submission())

    def _submission(self) -> Submission:
        from mlops_assets.orchestration.submission import Submission

        ops: dict[str, object] = {"config": dict(self.config)}
        *graph, plan = self.op
        ops = {plan: ops}
        for name in reversed(graph):
            ops = {name: {"ops": ops}}
        return Submission(self.job, self.partition, ops, self.tags)


def _require_scenes(reference: str, chosen: Mapping[str, object]) -> None:
    if "sources" not in chosen:
        raise SpecificationError(
            f"no scenes are named, and no area is called {reference!r}; run: mlops predict"
            f" {reference} SOURCE…"
        )


def _of_scenes(store: Store, row: ModelVersion, chosen: Mapping[str, object]) -> _Run:
    """Return the run that maps any scenes."""
    from mlops_assets.components.areas.predict_job import PLAN_OP, PREDICT
    from mlops_assets.components.naming import MODEL_VERSION
    from mlops_assets.prediction.request import map_jobs, parse_request

    config = {"model": f"{row.model}@{row.version}", **chosen}
    request = parse_request(config)
    return _Run(
        job=PREDICT,
        op=(PLAN_OP,),
        config=config,
        partition=None,
        tags={MODEL_VERSION: row.version},
        jobs=lambda: map_jobs(store, row, request),
    )


def _model(store: Store, reference: str) -> ModelVersion | None:
    """Return the model version of a reference, or of an MLM Item; None if only the Item has it."""
    if "://" not in reference and not reference.endswith(".json"):
        return store.registry.model_version(Reference.parse(reference))
    from mlops_assets.integrations.mlm.fetch import read_record
    from mlops_assets.integrations.mlm.known_model import known_model

    with scratch_folder("model") as scratch:
        return known_model(store, read_record(reference, scratch), reference, scratch)


def _of_area(
    store: Store, area: AreaSpecification, day: str | None, chosen: Mapping[str, object]
) -> _Run:
    """Return the run that maps a day of a declared area."""
    from mlops_assets.components.areas.prediction_area import DayConfig
    from mlops_assets.components.naming import MODEL_VERSION
    from mlops_assets.prediction.areas.day import day_job

    declared = [name for name in _DECLARED if name in chosen]
    if declared:
        raise SpecificationError(
            f"{area.name} declares how it is mapped; leave out"
            f" {', '.join('--' + name.replace('_', '-') for name in declared)}, or name the model"
            f" {area.model} instead of the area"
        )
    if day is None:
        raise SpecificationError(f"{area.name} is mapped day by day; name one: --date YYYY-MM-DD")
    wanted = _day(day)
    area.require_day(wanted, dates.datetime.now(dates.UTC).date())
    row = store.registry.model_version(Reference(area.model, area.alias))
    config = {"model_version": row.version, **chosen}
    return _Run(
        job=f"{area.name}_prediction",
        op=(f"{area.name}__prediction", f"{area.name}__plan"),
        config=config,
        partition=wanted.isoformat(),
        tags={MODEL_VERSION: row.version},
        jobs=lambda: [
            day_job(
                store,
                DayConfig.model_validate(config).applied(area),
                row,
                wanted,
                cast("list[str]", chosen.get("sources", [])),
            )
        ],
    )


def _day(text: str) -> dates.date:
    try:
        return dates.date.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(
            f"{text!r} is not a day; write YYYY-MM-DD", param_hint="--date"
        ) from error


@dataclass(frozen=True)
class _Made:
    """A map that a run has made, and remarks for people."""

    row: Map
    notes: Sequence[str]


def _made(store: Store, result: RunResult) -> Iterator[_Made]:
    """Yield the maps that a run has made, from its events."""
    from mlops_assets.components.areas.results import MAP, MAP_MODEL, NOTES
    from mlops_assets.registry.records.maps import MapFilter

    for materialization in result.materializations:
        metadata = materialization.metadata
        if MAP in metadata:
            wanted = MapFilter(
                model=str(metadata[MAP_MODEL].value),
                version=str(metadata["model_version"].value),
                name=str(metadata[MAP].value),
            )
            notes = cast("list[str]", metadata[NOTES].value)
            yield from (_Made(row, notes) for row in store.registry.maps(wanted))


def _report(store: Store, made: _Made, out: str | None) -> None:
    """Write a map out, and print where it is and what to know about it."""
    from mlops_assets.paths import map_key
    from mlops_assets.prediction.maps.copy_out import copy_out
    from mlops_assets.stac.maps.document import read_document

    row = made.row
    document = read_document(store, row)
    files = {end: map_key(row.model, row.version, row.name, end) for end in document.ends}
    copied = []
    if out is not None:
        copied = [copy_out(store.workspace, row.name, files, out, document.sources)]
    for note in made.notes:
        advise(f"note: {note}")
    places = [
        store.workspace.where(key) for key in files.values() if key.endswith((".tif", ".png"))
    ]
    console.print("\n".join([*places, *copied]))


def _print_plan(store: Store, jobs: Sequence[MapJob]) -> None:
    from mlops_assets.prediction.plan import plan

    for job in jobs:
        print_plan(job.name, plan(store, job))


def _source(text: str) -> str:
    """Return a source that is the same from any folder."""
    if "://" in text:
        return text
    path = Path(text).resolve()
    if not path.exists():
        raise NotFound(f"{text} is not a file or a folder; name scenes")
    return str(path)


def _box(text: str) -> list[float]:
    try:
        return [float(degrees) for degrees in text.split(",")]
    except ValueError as error:
        raise typer.BadParameter(
            f"{text!r} is not west,south,east,north, such as 9.5,47,10,47.5", param_hint="--bbox"
        ) from error


def _grid(text: str) -> dict[str, object]:
    crs, _, resolution = text.rpartition("@")
    try:
        return {"crs": crs, "resolution": float(resolution if crs else "")}
    except ValueError as error:
        raise typer.BadParameter(
            f"{text!r} is not CRS@RESOLUTION, such as EPSG:32632@10", param_hint="--grid"
        ) from error


def _mask(text: str) -> dict[str, object]:
    asset, _, codes = text.partition("=")
    try:
        return {"asset": asset, "invalid": [int(code) for code in codes.split(",")]}
    except ValueError as error:
        raise typer.BadParameter(
            f"{text!r} is not ASSET=CODES, such as scl=3,8,9,10", param_hint="--mask"
        ) from error
