"""`mlops registration`: versions in the catalogues of others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from mlops_assets.cli.terminal import completion
from mlops_assets.cli.terminal.output import Json, console, errors, open_store, show
from mlops_assets.errors import NotFound
from mlops_assets.names import Reference
from mlops_assets.settings import Settings

if TYPE_CHECKING:
    from mlops_assets.discovery.registration.registrar import Listed, Outcome, Registrar
    from mlops_assets.registry import DataVersion, ModelVersion

app = typer.Typer(
    help="Registration with the catalogues that MLOPS_CATALOGUES declares.", no_args_is_help=True
)
COLUMNS = ("version", "catalogue", "state", "since", "attempts", "error", "url")
Version = Annotated[
    str,
    typer.Argument(
        metavar="REFERENCE",
        help="dataset@version, dataset@tag, model@version or model@alias.",
        autocompletion=completion.references,
    ),
]


@app.command("list")
def list_registrations(as_json: Json = False) -> None:
    """List what each catalogue has, or is to have, of the versions with a record."""
    rows = [_described(each) for each in _registrar().listing()]
    show(rows, as_json, COLUMNS, "nothing is visible enough; see 'mlops model visibility --help'")


@app.command()
def run(
    retry: Annotated[
        bool,
        typer.Option("--retry", help="Try again also what was refused, or is to wait longer."),
    ] = False,
) -> None:
    """Register what has changed, and try again what has failed, as the sensor does.

    Exits with 1 if a catalogue has not taken something.
    """
    _report(_registrar().register_due(retry), "nothing is due")


@app.command()
def register(
    reference: Version,
    catalogue: Annotated[
        str | None,
        typer.Option(help="Only this catalogue; ends the withdrawal of the version from it, too."),
    ] = None,
) -> None:
    """Register a version now, and compare what the catalogues have with its record.

    Exits with 1 if a catalogue has not taken it.
    """
    from mlops_assets.registry.store import version_key

    registrar = _registrar()
    row = _version(registrar, reference)
    if catalogue is None:
        outcomes = registrar.register(*version_key(row))
    else:
        outcomes = [registrar.readmit(row, catalogue)]
    _report(outcomes)


@app.command()
def withdraw(
    reference: Version,
    catalogue: Annotated[str, typer.Option(help="Catalogue to withdraw the version from.")],
    delete: Annotated[
        bool, typer.Option("--delete", help="Delete its record there, not only deprecate it.")
    ] = False,
    reason: Annotated[str | None, typer.Option(help="Why, for the log.")] = None,
) -> None:
    """Mark the record of a version as deprecated in a catalogue, or delete it there.

    It stays so until 'mlops registration register REFERENCE --catalogue NAME'.
    """
    from mlops_assets.registry.records.registrations import State

    registrar = _registrar()
    state = State.DELETED if delete else State.DEPRECATED
    row = _version(registrar, reference)
    _report([registrar.withdraw(row, catalogue, state, reason)])


def _registrar() -> Registrar:
    from mlops_assets.discovery.registration.registrar import open_registrar

    return open_registrar(open_store(), Settings.from_environment())


def _version(registrar: Registrar, text: str) -> DataVersion | ModelVersion:
    """Return the version of a reference.

    Raises:
        NotFound: there is none.
    """
    reference = Reference.parse(text)
    registry = registrar.store.registry
    if registry.data_versions(reference.name):
        return registry.data_version(reference)
    if not registry.model_versions(reference.name):
        raise NotFound(
            f"there is no dataset or model {reference.name!r} with a version; see 'mlops status'"
        )
    return registry.model_version(reference)


def _report(outcomes: Iterable[Outcome], nothing: str = "") -> None:
    """Print what came of registrations; exit with 1 if one has failed."""
    found = []
    for outcome in outcomes:
        found.append(outcome)
        to = console if outcome.error is None else errors
        to.print(f"{outcome.summary}{f': {outcome.url}' if outcome.is_there else ''}")
    if not found:
        console.print(nothing)
    if any(outcome.error is not None for outcome in found):
        raise typer.Exit(1)


def _described(listed: Listed) -> dict[str, object]:
    row, attempt = listed.row, listed.attempt
    return {
        "version": listed.reference,
        "catalogue": listed.key.catalogue,
        "state": "waiting" if row is None else row.state,
        "since": None if row is None else row.since,
        "attempts": 0 if attempt is None else attempt.failures,
        "error": None if attempt is None else attempt.error,
        "retry": None if attempt is None else attempt.retry,
        "withdrawn": None if row is None else row.withdrawn,
        "reason": None if row is None else row.reason,
        "url": listed.url,
    }
