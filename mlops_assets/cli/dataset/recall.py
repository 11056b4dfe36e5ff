"""`mlops dataset recall` and `verify`: write the files of a data version, or read them again."""

from __future__ import annotations

from typing import Annotated

import typer

from mlops_assets.choices import SplitName
from mlops_assets.cli.terminal import completion
from mlops_assets.cli.terminal.interruption import again, interruptible
from mlops_assets.cli.terminal.output import (
    Json,
    advise,
    console,
    errors,
    open_store,
    show,
    show_one,
)
from mlops_assets.names import Reference

Version = Annotated[
    str,
    typer.Argument(
        help="dataset, dataset@version or dataset@tag.", autocompletion=completion.data_references
    ),
]


def recall(
    reference: Version,
    target: Annotated[str, typer.Argument(help="Folder, or s3://, az:// or gs:// URL.")],
    split: Annotated[
        list[SplitName] | None,
        typer.Option(help="Only files with a sample of this split; repeatable."),
    ] = None,
    class_: Annotated[
        list[str] | None,
        typer.Option("--class", help="Only files with a sample of this class; repeatable."),
    ] = None,
    copy: Annotated[
        bool, typer.Option("--copy", help="Write independent copies instead of links.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace files of the same names and other content.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Write the files of a data version, byte for byte under their names.

    Where the file system allows it, they share their bytes with the workspace: as clones, else as
    read-only hard links, of which only the size is checked; 'mlops dataset verify' reads them all.
    --copy writes independent copies. Copied and transferred files are hashed on the way.

    With --split or --class, only files with at least one such sample are written, as a whole,
    with the other files of their scene, and with label files and sidecars of all scenes.

    Identical files are kept. Other files of the same name stop the command before it writes
    anything.
    """
    from mlops_assets.datasets.recall.recall import recall
    from mlops_assets.datasets.versions.committed_dataset import CommittedDataset

    store = open_store()
    committed = CommittedDataset.open(store.workspace, store.registry, Reference.parse(reference))
    kept = "the files written so far are kept; to continue, run the same command again:"
    with interruptible(lambda: f"{kept} {again()}"):
        done = recall(committed, target, split, class_, copy, force)
    if as_json:
        show_one({**vars(done), "splits": split or [], "classes": class_ or []}, as_json)
        return
    ways = ", ".join(f"{count:,} {how}" for how, count in sorted(done.written.items()))
    kept = f"{done.kept:,} kept" if done.kept else ""
    part = " (whole files; only these samples were requested)" if split or class_ else ""
    console.print(
        f"{done.reference} is in {done.target}: {done.files:,} file(s), {done.size:,} bytes: "
        f"{', '.join(filter(None, [ways, kept]))}; {done.samples:,} sample(s){part}"
    )
    if "linked" in done.written:
        advise(
            "linked files are read-only, as the workspace has the same bytes; recall with --copy"
            " to change them"
        )


def verify(reference: Version, as_json: Json = False) -> None:
    """Read every byte of a data version again, and compare it with what was published.

    Exits with 1 if anything differs.
    """
    from mlops_assets.datasets.recall.verify import verify

    store = open_store()
    found = verify(store.workspace, store.registry, Reference.parse(reference))
    damages = [dict(vars(damage)) for damage in found.damages]
    if as_json:
        show_one({**vars(found), "passed": found.passed, "damages": damages}, as_json)
    else:
        console.print(
            f"{found.reference}: {found.documents} document(s) and {found.files:,} file(s),"
            f" {found.size:,} bytes read"
        )
        for hidden in found.hidden:
            console.print(f"{hidden} is hidden from you, and was not verified")
        show(damages, False, ["path", "fault", "detail"], "everything is as published")
    if not found.passed:
        errors.print(
            f"{len(damages)} file(s), pack(s) or document(s) differ from what was published;"
            " restore them from a backup, or land the files again and run 'mlops dataset commit"
            f" {found.reference.partition('@')[0]} --rehash' (data made by a function: --input"
            " VERSION instead of --rehash)"
        )
        raise typer.Exit(1)
