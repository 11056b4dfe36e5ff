"""`mlops predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mlops_assets.cli.terminal import completion
from mlops_assets.cli.terminal.interruption import again, interruptible
from mlops_assets.cli.terminal.output import advise, console, open_store
from mlops_assets.errors import NotFound, SpecificationError
from mlops_assets.names import Reference


def predict(
    reference: Annotated[
        str,
        typer.Argument(
            help="model@version or model@alias.", autocompletion=completion.model_references
        ),
    ],
    scene: Annotated[Path, typer.Argument(help="Raster with the bands that the model expects.")],
    out: Annotated[
        Path | None, typer.Option(help="Also write the map here, as a GeoTIFF with a picture.")
    ] = None,
    outputs: Annotated[
        str,
        typer.Option(
            help="Comma-separated: class, probabilities, confidence, margin, entropy. All but the"
            " class go to a GeoTIFF of their own."
        ),
    ] = "class",
    bands_by_position: Annotated[
        bool,
        typer.Option(
            "--bands-by-position", help="Read bands in file order where they cannot be identified."
        ),
    ] = False,
) -> None:
    """Predict a whole scene, as a GeoTIFF and a picture in the workspace."""
    from mlops_assets.prediction.job import MapJob
    from mlops_assets.prediction.mapped import Options
    from mlops_assets.prediction.maps.copy_out import copy_out, require_writable
    from mlops_assets.prediction.maps.outputs import parse_outputs
    from mlops_assets.prediction.predict import make_map, scene_name
    from mlops_assets.prediction.scenes.found import FoundScene
    from mlops_assets.prediction.scenes.reading import Reading

    if not scene.is_file():
        raise NotFound(f"{scene} is not a file; name a raster")
    options = Options(parse_outputs(outputs))
    if out is not None:
        require_writable(out, scene)
    store = open_store()
    row = store.registry.model_version(Reference.parse(reference))
    try:
        job = MapJob(
            scene_name(scene),
            row.model,
            row.version,
            (FoundScene(scene.stem, scene.resolve().as_uri()),),
            options,
            Reading(bands_by_position),
        )
        with interruptible(lambda: f"finished parts are kept; to continue: {again()}"):
            found = make_map(store, job)
    except ValueError as error:
        raise SpecificationError(f"{scene}: {error}") from error
    if out is not None:
        copy_out(found, out)
    for note in found.notes:
        advise(f"note: {note}")
    shown = [store.workspace.where(file.path) for file in (found.raster, found.picture)]
    shown += [
        store.workspace.where(file.path) for file in found.others if file.path.endswith(".tif")
    ]
    console.print("\n".join([*shown, *([] if out is None else [str(out)])]))
