"""`mlops verify`: all of the workspace and the registry, and external heads of the log."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlops_assets.cli.terminal.output import Json, console, open_store, show_one
from mlops_assets.errors import HeadRefused, IntegrityError
from mlops_assets.settings import Settings

if TYPE_CHECKING:
    from mlops_assets.models.verify import Verification


def verify(
    head: Annotated[
        str | None,
        typer.Option(
            help="SEQ:SHA256 or a file of 'mlops log head': the log must contain it.",
            metavar="FILE|HEAD",
        ),
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option(
            help="Ed25519 public key (PEM) that the head must be signed with.", metavar="PEM"
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Verify everything: files, documents, the registry's tables, its log and the log's mirror.

    Exits with 1 if anything differs from what was published. If MLOPS_LOG_HEAD is set, the log
    must contain the head that was last written there, and writes its own.
    """
    from mlops_assets.models.verify import verify_all
    from mlops_assets.monitoring.verify import verify_monitoring
    from mlops_assets.registry.log.heads import head_problems, read_head, verify_kept_head

    if key is not None and head is None:
        raise typer.BadParameter("--key checks the signature of a head; give the head with --head")
    settings = Settings.from_environment()
    store = open_store()
    wanted = None if head is None else read_head(_text_of(head))
    found = verify_all(store)
    verify_monitoring(store, found)
    log = found.log
    if wanted is not None:
        if key is not None and not wanted.is_signed_by(key):
            found.problems.append(f"head {wanted} is not signed with {key}")
        found.problems += head_problems(wanted, log)
    if settings.log_head is not None:
        found.problems += verify_kept_head(settings.log_head, settings.cache, log)
    report(found, as_json)


def _text_of(head: str) -> str:
    if not Path(head).is_file():
        return head
    try:
        return Path(head).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise HeadRefused(f"{head} cannot be read: {error}") from error


def report(found: Verification, as_json: bool) -> None:
    """Print the result of a verification.

    Raises:
        IntegrityError: something differs from what was published.
    """
    log = found.log
    document = {
        "subject": found.subject,
        "passed": found.passed,
        "files": found.files,
        "size": found.size,
        "entries": log.seq,
        "head": log.sha256,
        "adopted": log.adopted,
        "problems": found.problems,
        "hidden": found.hidden,
        "notes": found.notes,
    }
    if as_json:
        show_one(document, as_json=True)
    if not found.passed:
        listed = "\n".join(f"  - {problem}" for problem in found.problems)
        raise IntegrityError(
            f"{found.subject} is not as it was published; restore the following from a backup, or,"
            " where they are files and packs of a dataset whose files are still in its landing, run"
            f" 'mlops dataset commit NAME --rehash':\n{listed}"
        )
    if not as_json:
        console.print(
            f"{found.subject}: {found.files} files, {found.size} bytes, all as they were published"
        )
        for hidden in found.hidden:
            console.print(f"{hidden} is hidden from you, and was not verified")
        for note in found.notes:
            console.print(note)
        since = ""
        if log.adopted is not None:
            since = f"; rows older than {log.adopted} are as they were found then"
        console.print(f"the registry matches the {log.seq} entries of its log{since}")
