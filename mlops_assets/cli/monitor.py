"""`mlops monitor`: how a model that is in use did, day by day."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from mlops_assets.cli.terminal import completion
from mlops_assets.cli.terminal.launching import open_project
from mlops_assets.cli.terminal.output import (
    Json,
    Module,
    advise,
    console,
    open_store,
    show,
    show_one,
)

if TYPE_CHECKING:
    from mlops_assets.monitoring.document import MonitoringDocument, VersionDay

app = typer.Typer(
    help="How models that are in use do: measure a day, show the last days.", no_args_is_help=True
)
Model = Annotated[str, typer.Argument(help="Name of the model.", autocompletion=completion.models)]
Day = Annotated[str | None, typer.Option("--day", metavar="YYYY-MM-DD", help="The day, in UTC.")]
MAX_DAYS = 366
_COLUMNS = (
    "day",
    "version",
    "requests",
    "outside",
    "drift",
    "live",
    "estimated",
    "test",
    "failed",
    "warned",
)


@app.command("run")
def run_monitoring(
    model: Model,
    day: Day = None,
    days: Annotated[
        int,
        typer.Option(min=1, max=MAX_DAYS, help="So many days up to --day, or to today."),
    ] = 1,
    fail: Annotated[
        bool, typer.Option("--fail", help="Exit with 1 if a rule has failed on any of the days.")
    ] = False,
    module: Module = None,
    as_json: Json = False,
) -> None:
    """Measure how a model did on a day, today if none is given, and publish that with its report.

    Its request log and labels are read; a day can be measured again when there are more.
    """
    from mlops_assets.errors import GateFailure
    from mlops_assets.monitoring.day import require_past
    from mlops_assets.monitoring.documents import last_days, read_documents
    from mlops_assets.orchestration.submission import Submission

    last = day or datetime.now(UTC).date().isoformat()
    require_past(last)
    wanted = last_days(last, days)
    store = open_store()
    with open_project(module) as project:
        service = project.service_of(model)
        wanted = [each for each in wanted if date.fromisoformat(each) >= service.start]
        if not wanted:
            advise(f"{model} is monitored from {service.start} on; nothing was measured")
        for each in wanted:
            project.launch(Submission(f"{model}_monitoring", each))
    found = read_documents(store, model, wanted)
    _show(list(found.values()), as_json, with_rules=True)
    failed = {
        f"{name} on {each}"
        for each, document in found.items()
        for name, rule in document.outcomes().items()
        if rule.verdict == "failed"
    }
    if fail and failed:
        raise GateFailure(f"rules of {model} have failed: {', '.join(sorted(failed))}")


@app.command("show")
def show_monitoring(
    model: Model,
    day: Day = None,
    days: Annotated[
        int, typer.Option(min=1, max=MAX_DAYS, help="So many days, the last that were monitored.")
    ] = 14,
    lineage: Annotated[
        bool,
        typer.Option(
            "--lineage", help="The chain of a day, from live metrics down to file checksums."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Show how a model did on the last days, or all of one day, from what was published."""
    from mlops_assets.errors import NotFound
    from mlops_assets.monitoring.documents import monitored_days, read_documents
    from mlops_assets.monitoring.visible import visible
    from mlops_assets.serving.request_log.day_file import check_day

    if lineage and day is None:
        raise typer.BadParameter("--lineage is of one day; give it with --day")
    store = open_store()
    wanted = monitored_days(store, model)[-days:] if day is None else [check_day(day)]
    found = [visible(store, own) for own in read_documents(store, model, wanted).values()]
    if day is not None and not found:
        raise NotFound(f"{model} was not monitored on {day}; run 'mlops monitor run {model}'")
    if lineage:
        _show_lineage(found[0], as_json)
    else:
        _show(found, as_json, with_rules=day is not None)


def _show(documents: list[MonitoringDocument], as_json: bool, with_rules: bool) -> None:
    """Print days as a table, and the rules of each, or the documents as JSON."""
    if as_json:
        show([document.model_dump(mode="json") for document in documents], True, (), "")
        return
    tests = _tests(documents)
    rows = [
        _version_row(document, version, tests)
        for document in documents
        for version in document.versions
    ]
    empty = [own for own in documents if not own.versions]
    rows += [{"day": own.day, "version": "no request", "requests": 0} for own in empty]
    rows.sort(key=lambda row: str(row["day"]))
    show(rows, False, _COLUMNS, "no day was monitored; run 'mlops monitor run MODEL'")
    if not with_rules:
        return
    from mlops_assets.paths import monitoring_key

    workspace = open_store().workspace
    for document in documents:
        for version in document.versions:
            console.print(f"\n{document.model}@{version.version} on {document.day}:")
            for rule in version.rules:
                console.print(f"  {rule.verdict:8}{rule.name}: {rule.text}")
        report = workspace.where(monitoring_key(document.model, document.day, "report.html"))
        advise(f"report: {report}")


def _tests(documents: list[MonitoringDocument]) -> dict[str, dict[str, float]]:
    """Return model version → its metrics on the test split."""
    from mlops_assets.monitoring.version_day import metrics_on_test

    registry = open_store().registry
    models = {document.model for document in documents}
    rows = (row for model in models for row in registry.model_versions(model))
    return {row.version: metrics_on_test(row) for row in rows}


def _version_row(
    document: MonitoringDocument, version: VersionDay, tests: dict[str, dict[str, float]]
) -> dict[str, object]:
    from mlops_assets.monitoring.rules import headline_of

    test = tests.get(version.version, {})
    metric = headline_of(test) or ""
    live = None if version.live is None else version.live.metrics.get(metric)
    value = None if version.estimate is None else version.estimate.value
    by_verdict = {
        verdict: ", ".join(rule.name for rule in version.rules if rule.verdict == verdict)
        for verdict in ("failed", "warned")
    }
    return {
        "day": document.day,
        "version": version.version,
        "requests": version.requests,
        "outside": None if version.outside is None else version.outside.share,
        "drift": None if version.drift is None else version.drift.day.psi,
        "live": None if live is None else live.value,
        "estimated": None if value is None else value.value,
        "test": test.get(metric),
        **by_verdict,
    }


def _show_lineage(document: MonitoringDocument, as_json: bool) -> None:
    """Print the chain of a day, from its live metrics down to the checksums of files."""
    from dataclasses import asdict

    from mlops_assets.monitoring.lineage import day_lineage, lineage_lines

    found = day_lineage(open_store(), document)
    if as_json:
        show_one(asdict(found), as_json)
        return
    for line in lineage_lines(found):
        console.print(line)
