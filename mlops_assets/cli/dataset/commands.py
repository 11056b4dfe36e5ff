"""`mlops dataset`: commit, list, show, tag; the other commands have their own modules."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlops_assets.choices import SplitName
from mlops_assets.cli import visibility
from mlops_assets.cli.dataset import assess, diff, preview, recall
from mlops_assets.cli.declarations import declared
from mlops_assets.cli.terminal import completion
from mlops_assets.cli.terminal.interruption import again, interruptible
from mlops_assets.cli.terminal.launching import Detach, open_project, print_submitted
from mlops_assets.cli.terminal.output import (
    Json,
    Module,
    console,
    metric_columns,
    open_store,
    show,
    show_one,
)
from mlops_assets.names import Reference, check_label, check_name
from mlops_assets.paths import data_owner

if TYPE_CHECKING:
    from mlops_assets.datasets.quality import Check
    from mlops_assets.datasets.quality.checks import Report
    from mlops_assets.datasets.versions.summary import Summary
    from mlops_assets.orchestration.project import Project
    from mlops_assets.orchestration.submission import Submission
    from mlops_assets.processing.specification import ProcessedDatasetSpecification
    from mlops_assets.registry import DataVersion
    from mlops_assets.store import Store

MAX_NAMED = 12  # features; JSON has all
app = typer.Typer(help="Datasets and their versions.", no_args_is_help=True)


@app.command()
def commit(
    name: Annotated[str, typer.Argument(help="Dataset.", autocompletion=completion.datasets)],
    tag: Annotated[str | None, typer.Option(help="Tag to give the version.")] = None,
    rehash: Annotated[
        bool,
        typer.Option(
            "--rehash", help="Read and store every file again; repairs damaged objects and packs."
        ),
    ] = False,
    no_assess: Annotated[
        bool,
        typer.Option(
            "--no-assess",
            help="Skip the quality report and the record; see 'mlops dataset assess'.",
        ),
    ] = False,
    input_version: Annotated[
        str | None,
        typer.Option(
            "--input",
            metavar="VERSION",
            help="Of a ProcessedDataset: version or tag of its first input; the newest by default.",
        ),
    ] = None,
    detach: Detach = False,
    module: Module = None,
) -> None:
    """Commit the landing as a data version and assess it.

    A ProcessedDataset is made from its inputs first. Unchanged content returns the existing
    version.

    Failed checks are printed with the reason. A failed check that blocks training does not undo
    the commit. With --detach there is no assessment, and no tag.
    """
    import dagster as dg

    from mlops_assets.models.record import tag_data_version
    from mlops_assets.orchestration.jobs import landing

    check_name(name, "dataset name")
    if tag is not None:
        check_label(tag, "tag")
    if detach and (tag is not None or not no_assess):
        raise typer.BadParameter(
            "--detach does not wait for the version: give --no-assess and no --tag, and run 'mlops"
            " dataset assess' and 'mlops dataset tag' once it is there"
        )
    with open_project(module) as project:
        processed = project.processed_dataset(name)
        if processed is not None:
            if rehash:
                raise typer.BadParameter(
                    f"{name} is made from {', '.join(processed.inputs)}; commit those with --rehash"
                )
            row = _input(project, processed, input_version)
            if detach:
                print_submitted(project.submit(_processing(name, row)))
                return
            metadata = _process(project, processed, row)
        else:
            project.require(dg.AssetKey([name, "landing"]))
            if input_version is not None:
                raise typer.BadParameter(f"--input: {name} is not made from another dataset")
            if detach:
                print_submitted(project.submit(landing(name, {"rehash": rehash})))
                return
            metadata = _land(project, name, {"rehash": rehash})
        version = str(metadata["data_version"].value)
        if tag is not None:
            tag_data_version(open_store(), name, version, tag)
        _print_committed(name, metadata)
        if not no_assess:
            notes = assess.texts(metadata["notes"].value)
            for line in assess.assess_version(project, name, version).lines(notes):
                console.print(line)


@app.command()
def use(
    record: Annotated[
        str, typer.Argument(help="URL of the version's Collection in the other workspace.")
    ],
    dataset: Annotated[
        str,
        typer.Option(
            help="Declared dataset that it becomes a version of.",
            autocompletion=completion.datasets,
        ),
    ],
    module: Module = None,
) -> None:
    """Use a data version of another workspace without a copy of its files.

    It becomes a version here, with the same digest: its documents are copied and checked, the bytes
    stay there and are checked whenever they are read. The other workspace is only read.
    """
    import dagster as dg

    with open_project(module) as project:
        project.dataset(dataset)
        project.require(dg.AssetKey([dataset, "landing"]))
        project.require_reachable([record])
        metadata = _land(project, dataset, {"use": record})
        _print_committed(dataset, metadata)
        version = str(metadata["data_version"].value)
        for line in assess.assess_version(project, dataset, version).lines():
            console.print(line)


def _land(project: Project, name: str, config: Mapping[str, object]) -> Mapping[str, Any]:
    """Run the landing of a dataset; return the metadata of its materialisation."""
    from mlops_assets.orchestration.jobs import landing

    kept = (
        "the files stored so far are kept, no version was published; to continue, run the same"
        " command again:"
    )
    with interruptible(lambda: f"{kept} {again()}"):
        result = project.launch(landing(name, config))
    return result.metadata(name, "landing")


def _input(
    project: Project, processed: ProcessedDatasetSpecification, version: str | None
) -> DataVersion:
    """Return the version of the first input that a dataset is to be made from."""
    first = processed.input_references[0].name
    row = open_store().registry.data_version(Reference(first, version))
    project.sync(first)
    return row


def _processing(name: str, row: DataVersion) -> Submission:
    """Return the making of a dataset from a version of its first input."""
    from mlops_assets.orchestration.submission import Submission

    return Submission(f"{name}_processing", row.version)


def _process(
    project: Project, processed: ProcessedDatasetSpecification, row: DataVersion
) -> Mapping[str, Any]:
    """Make a dataset from a version of its first input; return the materialisation's metadata."""
    with interruptible(lambda: f"no version was published; to run it again: {again()}"):
        result = project.launch(_processing(processed.name, row))
    console.print(f"made from {row.dataset}@{row.version} by {processed.function}")
    return result.metadata(processed.name, "processed")


def _print_committed(name: str, metadata: Mapping[str, Any]) -> None:
    """Print the data version of a commit."""
    values = {key: value.value for key, value in metadata.items()}
    unchanged = (
        "is of the same inputs, code and files; nothing new"
        if "inputs" in values
        else "has the content of the landing already; nothing new"
    )
    verdict = "is new" if values["new"] else unchanged
    console.print(
        f"{name}@{values['data_version']} {verdict}: {values['files']} file(s), {values['samples']}"
        f" sample(s), digest {values['digest']}"
    )
    for note in values["notes"]:
        console.print(f"  note: {note}")


@app.command("list")
def list_versions(
    name: Annotated[
        str | None,
        typer.Argument(help="Dataset; all if not given.", autocompletion=completion.datasets),
    ] = None,
    as_json: Json = False,
) -> None:
    """List data versions, oldest first."""
    registry = open_store().registry
    found = registry.data_versions(name)
    tags = {dataset: registry.tags(dataset) for dataset in {row.dataset for row in found}}
    rows = [describe(row, tags[row.dataset]) for row in found]
    columns = ["dataset", "version", "tags", "files", "samples", "size", "created", "digest"]
    columns += ["visibility"]
    if not as_json:
        rows = [
            {**document, "size": f"{row.size:,}", "digest": f"{row.digest[:12]}…"}
            for document, row in zip(rows, found, strict=True)
        ]
    show(
        rows,
        as_json,
        columns,
        "no data version yet; land files and run 'mlops dataset commit NAME'",
    )


@app.command("show")
def show_version(
    reference: Annotated[
        str,
        typer.Argument(
            help="dataset, dataset@version or dataset@tag.",
            autocompletion=completion.data_references,
        ),
    ],
    as_json: Json = False,
) -> None:
    """Show one data version, the newest if none is named.

    It prints the content, its extent in space and time, its source, and what was made from it.
    """
    from mlops_assets.datasets.quality.published import published_report
    from mlops_assets.datasets.quality.target.document import published_target
    from mlops_assets.datasets.versions.summary import LEFT_OUT, Summary
    from mlops_assets.lineage.made_from import made_from

    store = open_store()
    found = Summary.open(store.workspace, store.registry, Reference.parse(reference))
    row = found.row
    report = published_report(store.workspace, store.registry, row)
    classes = _classes(found, report)
    counted = found.document.input.counted
    content = contents(store, found)
    shown = describe(row, store.registry.tags(row.dataset)) | content
    checks = None if report is None else _checks(found, report)
    target = published_target(store.workspace, store.registry, row)
    if checks is not None and target is not None:
        checks = [*checks, target.check]
    made = [asdict(entry) for entry in made_from(store.registry, row)]
    if as_json:
        shown["checks"] = None if checks is None else [assess.described(check) for check in checks]
        stored = [file.path for file in store.registry.files(data_owner(row.dataset, row.version))]
        show_one(
            shown
            | {"classes": classes, "classes_counted_in": counted}
            | {"specification": row.specification, "stored": stored, "made": made},
            as_json,
        )
        return
    if content["bbox"]:
        shown["bbox"] = " ".join(f"{degrees:.5f}" for degrees in content["bbox"])
    shown |= {name: shown[name] or "unknown" for name in ("crs", "bbox", "interval")}
    shown |= {"size": f"{row.size:,} bytes", "features": _named(content["features"])}
    show_one({name: value for name, value in shown.items() if value not in (None, [])}, as_json)
    if classes:
        console.print(f"\n{counted} of each class:")
        show(classes, False, ["name", "value", *SplitName, LEFT_OUT], "")
    if made:
        console.print("\nmade from it:")
        columns = [
            "kind",
            "reference",
            "names",
            *metric_columns(entry["metrics"] for entry in made),
        ]
        show(made, False, columns, "")
        console.print("")
    if checks is None:
        console.print(f"not assessed; run 'mlops dataset assess {row.dataset}@{row.version}'")
        return
    for line in assess.Assessment(f"{row.dataset}@{row.version}", checks, []).lines():
        console.print(line)


@app.command()
def tag(
    reference: Annotated[
        str, typer.Argument(help="dataset@version.", autocompletion=completion.data_references)
    ],
    name: Annotated[str, typer.Argument(help="Tag.")],
) -> None:
    """Tag a data version, for example as harvest-2024."""
    from mlops_assets.models.record import tag_data_version

    wanted = Reference.parse(reference)
    if wanted.what is None:
        raise typer.BadParameter(f"name a version of {wanted.name}, e.g. {wanted.name}@v1")
    store = open_store()
    row = store.registry.data_version(wanted)
    tag_data_version(store, row.dataset, row.version, name)
    console.print(f"{row.dataset}@{name} is {row.dataset}@{row.version}")


app.command("visibility")(visibility.data_visibility)
app.command("assess")(assess.assess)
app.command("preview")(preview.preview)
app.command("diff")(diff.diff)
app.command("recall")(recall.recall)
app.command("verify")(recall.verify)


def _classes(found: Summary, report: Report | None) -> list[dict[str, Any]]:
    """Return the classes of a data version with their counts.

    Those of windows that an earlier release committed are in their quality report, if anywhere.
    """
    classes = [entry.model_dump() for entry in found.facts.classes]
    counts = ((report and report.model_extra) or {}).get("class_counts", {}).get("classes", {})
    return [
        entry | counts.get(entry["name"], {}) if entry["train"] is None else entry
        for entry in classes
    ]


def _checks(found: Summary, report: Report) -> list[Check]:
    """Return the checks of a data version by the current thresholds."""
    from pydantic import ValidationError

    from mlops_assets.datasets.quality.published import checks_of
    from mlops_assets.datasets.specification.dataset import QualityThresholds

    thresholds = None
    for declaration in declared("TrainingDataset", "ProcessedDataset"):
        if declaration.name == found.row.dataset:
            with suppress(ValidationError):  # loading the project reports it
                thresholds = QualityThresholds.model_validate(
                    declaration.attributes.get("quality") or {}
                )
    return checks_of(report, found.document.classes, thresholds)


def describe(row: DataVersion, tags: Mapping[str, str]) -> dict[str, object]:
    """Return a data version as a row of listings; `tags` of its dataset: tag → version."""
    return {
        "dataset": row.dataset,
        "version": row.version,
        "digest": row.digest,
        "tags": sorted(tag for tag, version in tags.items() if version == row.version),
        "files": row.files,
        "samples": row.samples,
        "size": row.size,
        "created": row.created,
        "visibility": row.visibility,
    }


def contents(store: Store, found: Summary) -> dict[str, Any]:
    """Return the content of a data version; unknown values are None."""
    from mlops_assets.datasets.sources import landing_url
    from mlops_assets.stac.description import description

    row = found.row
    specification: dict[str, Any] = found.document.specification
    recorded = description(store.workspace, store.registry, row) or specification
    made, imported = found.document.processing, found.document.origin
    origin: dict[str, Any] = (
        {"landing": landing_url(store.workspace, specification["source"]["url"])}
        if made is None
        else {
            "made_from": [given.reference for given in made.inputs],
            "function": made.function,
            "code": made.code_version,
            "parameters": made.parameters,
        }
    )
    if imported is not None:
        origin = {"imported_from": imported.reference, "message": imported.message}
    if found.document.shared is not None:
        origin = {"used_from": found.document.shared.record}
    return {
        "title": recorded["title"],
        "license": recorded["license"],
        **origin,
        "layout": specification["source"]["layout"],
        "input": found.document.input.model_dump(),
        "features": found.document.features,
        "crs": found.facts.crs,
        "bbox": found.facts.bbox,
        "interval": found.interval,
        "kept_by_reference": found.facts.kept_by_reference,
        "splits": {**row.counts, "left_out": row.samples - sum(row.counts.values())},
        "created_by": row.created_by,
        "visibility_reason": row.visibility_reason,
        "notes": found.document.notes,
    }


def _named(names: list[str]) -> str:
    few = ", ".join(names[:MAX_NAMED])
    return few if len(names) <= MAX_NAMED else f"{len(names)}: {few}, … {names[-1]}"
