"""`mlops predict` by an MLM Item whose model this workspace does not have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mlops_assets.cli.model.map_plan import print_plan
from mlops_assets.cli.terminal.interruption import again, interruptible
from mlops_assets.cli.terminal.output import advise, console
from mlops_assets.errors import NotFound, SpecificationError
from mlops_assets.storage.scratch import scratch_folder
from mlops_assets.text.secret_urls import redacted

if TYPE_CHECKING:
    import dagster as dg

    from mlops_assets.store import Store


def predict_external(
    store: Store,
    place: str,
    chosen: Mapping[str, object],
    out: str | None,
    instance: dg.DagsterInstance,
) -> None:
    """Map scenes, write the maps to `out`, and report each to Dagster.

    Args:
        store: workspace, for unfinished work.
        place: path or URL of the Item.
        chosen: scenes, and how they are mapped.
        out: where maps are written; None prints what they would cost.
        instance: receives the events.

    Raises:
        SpecificationError: several maps cannot be one file.
    """
    from mlops_assets.components.areas.external_map import report_external_map
    from mlops_assets.integrations.mlm.external_model import external_model
    from mlops_assets.integrations.mlm.fetch import read_record
    from mlops_assets.prediction.external import make_external_map, open_external
    from mlops_assets.prediction.maps.copy_out import is_file
    from mlops_assets.prediction.plan import cost_of
    from mlops_assets.prediction.request import jobs_of, parse_request

    request = parse_request({"model": place, **chosen})
    with scratch_folder("model") as scratch:
        model = external_model(read_record(place, scratch), place, scratch)
        jobs = jobs_of(store, (model.name, model.version), request)
        if out is None:
            for job in jobs:
                print_plan(job.name, cost_of(open_external(store, job, model)))
            return
        if is_file(out) and len(jobs) > 1:
            raise SpecificationError(
                f"the scenes are of {len(jobs)} days, which become a map each, and {out} is one"
                " file; name a folder"
            )
        for job in jobs:
            with interruptible(lambda: f"what was predicted is kept; to continue: {again()}"):
                made = make_external_map(store, job, model, out)
            report_external_map(instance, made)
            for note in made.notes:
                advise(f"note: {note}")
            console.print(made.place)


def require_out(place: str, out: str | None) -> None:
    """Refuse maps by an unknown model that would be nowhere.

    Args:
        place: path or URL of the Item.
        out: as given.

    Raises:
        NotFound: no place is named.
    """
    if out is None:
        raise NotFound(
            f"no model version of this workspace has the ONNX file of {redacted(place)}, and maps"
            " by others are not published here: name a file or a folder with --out, or import the"
            f" model: mlops model import {redacted(place)} --model NAME --data DATASET@VERSION"
        )
