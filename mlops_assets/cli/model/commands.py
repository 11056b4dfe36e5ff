"""`mlops model`: versions, promotion and verification."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlops_assets.cli import lineage, visibility
from mlops_assets.cli.model import decisions
from mlops_assets.cli.model.export import export_version
from mlops_assets.cli.model.import_model import import_model
from mlops_assets.cli.model.reproduce import reproduce_version
from mlops_assets.cli.model.use import use_model
from mlops_assets.cli.terminal import completion
from mlops_assets.cli.terminal.output import (
    Json,
    Module,
    console,
    metric_columns,
    open_store,
    show,
    show_one,
)
from mlops_assets.cli.verify import report
from mlops_assets.errors import Hidden, IntegrityError, StorageError
from mlops_assets.names import Reference
from mlops_assets.paths import model_owner, record_owner
from mlops_assets.settings import Settings

if TYPE_CHECKING:
    from mlops_assets.models.gates.outcomes import GatesDocument
    from mlops_assets.registry import ModelVersion
    from mlops_assets.registry.model_versions import ListedVersion

app = typer.Typer(help="Models and their versions.", no_args_is_help=True)
app.command("reproduce")(reproduce_version)
app.command("import")(import_model)
app.command("use")(use_model)
app.command("lineage")(lineage.model_lineage)
app.command("visibility")(visibility.model_visibility)
app.command("export")(export_version)
app.command("approve")(decisions.approve)
app.command("reject")(decisions.reject)
app.command("deprecate")(decisions.deprecate)
Ref = Annotated[
    str,
    typer.Argument(
        help="model, model@version or model@alias.", autocompletion=completion.model_references
    ),
]

Reason = Annotated[str | None, typer.Option("--reason", help="Why, for the history.")]


@app.command("list")
def list_versions(
    model: Annotated[
        str | None,
        typer.Argument(help="Model; all if not given.", autocompletion=completion.models),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            metavar="REF",
            help="Only those trained on this data version: dataset@version or dataset@tag.",
            autocompletion=completion.data_references,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """List model versions, oldest first, with test metrics and what came of gates."""
    from mlops_assets.models.gates.outcomes import published_gates

    store = open_store()
    registry = store.registry
    trained_on = None
    empty = "no model version yet; run 'mlops train MODEL'"
    if data is not None:
        version = registry.data_version(Reference.parse(data))
        trained_on = Reference(version.dataset, version.version)
        empty = f"no model version was trained on {trained_on}"
    found = registry.list_model_versions(model, trained_on)
    aliases = registry.all_aliases()
    deprecated = registry.deprecated_versions(model)
    gates: dict[tuple[str, str], GatesDocument] = {}
    # damaged documents are the business of 'mlops verify'
    with suppress(IntegrityError, StorageError):
        gates = published_gates(store, [(row.model, row.version) for row in found])
    verdicts = {version: document.verdict for version, document in gates.items()}
    rows = [
        describe(row, aliases.get((row.model, row.version), []))
        | {
            "deprecated": (row.model, row.version) in deprecated,
            "gates": verdicts.get((row.model, row.version)),
        }
        for row in found
    ]
    columns = ["model", "version", "aliases", *metric_columns(row.metrics for row in found)]
    if verdicts:
        columns.append("gates")
    if any(row["deprecated"] for row in rows):
        columns.append("deprecated")
    show(rows, as_json, columns, empty)


@app.command("show")
def show_version(reference: Ref, as_json: Json = False) -> None:
    """Show one model version, the newest if none is named."""
    from mlops_assets.lineage.deployments import deployments_of_version
    from mlops_assets.models.gates.outcomes import published_gates
    from mlops_assets.registry.files.verified_read import unmeasured_classes
    from mlops_assets.registry.model_documents import Signature

    store = open_store()
    row = store.registry.model_version(Reference.parse(reference))
    made: dict[str, object]
    try:
        run = store.registry.run_of(row)
    except Hidden as error:
        made = {"hidden": str(error)}
    else:
        made = {
            "code_version": run.code_version,
            "trainer": run.trainer,
            "parameters": run.parameters,
            "seed": run.seed,
        }
    promotions: list[dict[str, object]] = [
        {
            "alias": p.alias,
            "moved": p.moved,
            "by": p.moved_by,
            "reason": p.reason,
            "previous": p.previous,
            "gates": p.gates,
        }
        for p in store.registry.promotions(row.model)
        if p.version == row.version
    ]
    decided: list[dict[str, object]] = [
        {
            "decision": d.decision,
            "decided": d.decided,
            "by": d.decided_by,
            "reason": d.reason,
            "sha256": d.sha256,
        }
        for d in store.registry.decisions(row.model, row.version)
    ]
    files = store.registry.files(
        model_owner(row.model, row.version), record_owner(row.model, row.version)
    )
    deployed = deployments_of_version(store.registry, row.model, row.version)
    signature = Signature.of(row)
    document = next(iter(published_gates(store, [(row.model, row.version)]).values()), None)
    more = {
        "unmeasured_classes": unmeasured_classes(
            store.workspace, store.registry, row.model, row.version
        ),
        "task": row.task,
        "framework": row.framework,
        "architecture": signature.architecture,
        "input": {"view": signature.view, "shape": signature.shape},
        "data_digest": row.data_digest,
        **made,
        "visibility_reason": row.visibility_reason,
        "deprecated": (row.model, row.version) in store.registry.deprecated_versions(row.model),
        "gates": None if document is None else asdict(document),
        "promotions": promotions,
        "decisions": decided,
        "deployments": [asdict(made) for made in deployed],
        "files": [{"path": f.path, "sha256": f.sha256, "size": f.size} for f in files],
    }
    described = describe(row, store.registry.all_aliases().get((row.model, row.version), []))
    if as_json:
        show_one(described | more, as_json)
    else:
        lines = more | {
            "files": [file.path for file in files],
            "gates": [str(outcome) for outcome in document.gates] if document else None,
            "promotions": [
                f"{p['alias']} by {p['by']}" + (f": {p['reason']}" if p["reason"] else "")
                for p in promotions
            ],
            "decisions": [f"{d['decision']} by {d['by']}: {d['reason']}" for d in decided],
            "deployments": [
                f"{made.action}{' (active)' if made.active else ''} in {made.service},"
                f" {made.engine}, by {made.deployed_by}"
                for made in deployed
            ],
        }
        show_one(described | lines, as_json)


@app.command()
def promote(
    reference: Ref,
    alias: Annotated[
        str, typer.Option(help="Alias to move.", autocompletion=completion.aliases)
    ] = "production",
    reason: Reason = None,
    module: Module = None,
) -> None:
    """Move `production` (or another alias) to a version that passes its gates.

    Dagster records the user and the time.
    """
    from mlops_assets.orchestration.jobs import production
    from mlops_assets.orchestration.project import open_project

    settings = Settings.from_environment()
    row = open_store().registry.model_version(Reference.parse(reference))
    with open_project(settings, module) as project:
        config = {"version": row.version, "alias": alias, "user": settings.user, "reason": reason}
        project.run_here(production(row.model, config))
    console.print(f"{row.model}@{alias} is {row.model}@{row.version}")


@app.command()
def rollback(
    model: Annotated[str, typer.Argument(help="Model.", autocompletion=completion.models)],
    reason: Reason = None,
    module: Module = None,
) -> None:
    """Move `production` back to its previous version."""
    from mlops_assets.orchestration.jobs import production
    from mlops_assets.orchestration.project import open_project

    settings = Settings.from_environment()
    with open_project(settings, module) as project:
        config = {"rollback": True, "user": settings.user, "reason": reason}
        project.run_here(production(model, config))
    row = open_store().registry.model_version(Reference(model, "production"))
    console.print(f"{model}@production is {model}@{row.version} again")


@app.command()
def card(
    reference: Ref,
    html: Annotated[
        Path | None,
        typer.Option(help="Write it as a page with its figures.", metavar="FILE", dir_okay=False),
    ] = None,
) -> None:
    """Print a version's card in Markdown, with gates, decisions and signatures as of today."""
    from mlops_assets.models.evaluation.card_page import card_page
    from mlops_assets.models.evaluation.current_card import card_figures, current_card

    store = open_store()
    row = store.registry.model_version(Reference.parse(reference))
    text = current_card(store, row)
    if html is None:
        typer.echo(text, nl=False)
        return
    page = card_page(text, card_figures(store, row))
    try:
        html.write_text(page)
    except OSError as error:
        raise StorageError(f"{html} cannot be written: {error.strerror}; name another") from error
    console.print(f"the card of {row.model}@{row.version} is in {html}")


@app.command()
def sign(reference: Ref, as_json: Json = False) -> None:
    """Sign the files of a recorded version, and how they were made, with the key of the settings.

    Signatures of other keys stay.
    """
    from mlops_assets.models.record import sign_recorded

    store = open_store()
    row = store.registry.model_version(Reference.parse(reference))
    signed = [file.path for file in sign_recorded(store, row)]
    if as_json:
        show_one({"model": row.model, "version": row.version, "signed": signed}, as_json)
    elif signed:
        console.print(f"{row.model}@{row.version} is signed: {', '.join(signed)}")
    else:
        console.print(f"{row.model}@{row.version} was signed with this key before")


@app.command()
def verify(
    reference: Annotated[
        str | None,
        typer.Argument(
            help="model@version or model@alias; everything if not given.",
            autocompletion=completion.model_references,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Re-read every byte behind a model version, and report differences from what was published.

    Exits with 1 if there are any.
    """
    from mlops_assets.models.verify import verify_all, verify_reference
    from mlops_assets.monitoring.verify import verify_monitoring

    store = open_store()
    if reference is None:
        found = verify_all(store)
        verify_monitoring(store, found)
    else:
        found = verify_reference(store, Reference.parse(reference))
    report(found, as_json)


def describe(row: ModelVersion | ListedVersion, aliases: Sequence[str]) -> dict[str, object]:
    """Return a model version as a row of listings."""
    return {
        "model": row.model,
        "version": row.version,
        "data_version": row.data_version,
        "dataset": row.dataset,
        "run_id": row.run_id,
        "stage": row.stage,
        "aliases": list(aliases),
        "metrics": row.metrics,
        "created": row.created,
        "visibility": row.visibility,
    }
