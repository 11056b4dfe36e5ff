"""`mlops dataset diff`: differences as tables, JSON, or an OGC TrainingDML-AI changeset."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sized
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlops_assets.cli.terminal import completion
from mlops_assets.cli.terminal.output import Json, console, open_store, show
from mlops_assets.errors import NotFound
from mlops_assets.names import Reference

if TYPE_CHECKING:
    import pandas as pd

    from mlops_assets.datasets.diff.diff import VersionDiff
    from mlops_assets.registry import Registry

MAX_LISTED = 20  # lines of a list; JSON has all


def diff(
    before: Annotated[
        str,
        typer.Argument(
            help="dataset@version or dataset@tag; a dataset alone for its last two versions.",
            autocompletion=completion.data_references,
        ),
    ],
    after: Annotated[
        str | None,
        typer.Argument(
            help="Other version; the newest if a dataset alone is named.",
            autocompletion=completion.data_references,
        ),
    ] = None,
    as_json: Json = False,
    changeset: Annotated[
        bool,
        typer.Option("--changeset", help="Print an OGC TrainingDML-AI AI_TDChangeset, as JSON."),
    ] = False,
) -> None:
    """Compare two data versions: files, samples, splits, classes, bands and declaration."""
    from mlops_assets.datasets.diff.diff import difference
    from mlops_assets.datasets.versions.committed_dataset import CommittedDataset

    store = open_store()
    references = _references(store.registry, before, after)
    first, second = (
        CommittedDataset.open(store.workspace, store.registry, reference)
        for reference in references
    )
    found = difference(store.registry, first, second)
    if changeset:
        from mlops_assets.stac.training_dml import changeset as document

        typer.echo(json.dumps(document(first, second, found), indent=2))
    elif as_json:
        typer.echo(json.dumps(found.document(), indent=2))
    else:
        _print(
            found,
            {
                str(entry["value"]): entry["name"]
                for f in (first, second)
                for entry in f.classes or []
            },
        )


def _references(registry: Registry, before: str, after: str | None) -> tuple[Reference, Reference]:
    first = Reference.parse(before)
    if after is not None:
        return first, Reference.parse(after)
    if first.what is not None:
        return first, Reference(first.name)
    versions = registry.data_versions(first.name)
    if len(versions) < 2:
        newest = registry.data_version(first)
        raise NotFound(
            f"{first.name} has only {newest.version}; land more, or name another dataset to compare"
            " it with"
        )
    return Reference(first.name, versions[-2].version), Reference(first.name, versions[-1].version)


def _print(found: VersionDiff, names: Mapping[str, str]) -> None:
    console.print(f"{found.before['reference']} → {found.after['reference']}", style="bold")
    if found.same:
        console.print("the same content")
        return
    _print_files(found)
    _print_samples(found, names)
    _print_classes(found)
    _print_shifts(found)
    if found.declaration:
        _heading("declaration")
        _lines(
            f"{change.what}: {_text(change.before)} → {_text(change.after)}"
            for change in found.declaration
        )


def _print_files(found: VersionDiff) -> None:
    files = found.files
    _heading(
        "files",
        added=files.added,
        removed=files.removed,
        changed=files.changed,
        renamed=files.renamed,
        unchanged=files.unchanged,
    )
    _lines((f"+ {row.path}  {row.size:,} bytes" for row in _head(files.added)), len(files.added))
    _lines(
        (f"- {row.path}  {row.size:,} bytes" for row in _head(files.removed)), len(files.removed)
    )
    changed = (
        f"~ {row.path}  {row.size_before:,} → {row.size:,} bytes" for row in _head(files.changed)
    )
    _lines(changed, len(files.changed))
    _lines((f"> {row.before} → {row.path}" for row in _head(files.renamed)), len(files.renamed))


def _print_samples(found: VersionDiff, names: Mapping[str, str]) -> None:
    samples = found.samples
    _heading(
        "samples",
        added=samples.added,
        removed=samples.removed,
        relabelled=samples.relabelled,
        moved=samples.moved,
        unchanged=samples.unchanged,
    )
    if samples.rewritten:
        console.print(f"  {samples.rewritten:,} are in files whose bytes have changed")
    for sign, rows in (("+", samples.added), ("-", samples.removed)):
        splits = rows["split"].map(_split)
        _lines(
            f"{sign} {count:,} of {split}{_labels(rows[splits == split], names)}"
            for split, count in splits.value_counts().items()
        )
    _lines(
        f"{_split(row.before)} → {_split(row.after)}: {row.samples:,}"
        for row in samples.moves.itertuples()
    )
    relabelled = (
        f"{_place(row)}: {names.get(str(row.before), row.before)} →"
        f" {names.get(str(row.after), row.after)}"
        for row in _head(samples.relabelled)
    )
    _lines(relabelled, len(samples.relabelled))
    moved = (
        f"{_place(row)}: {_split(row.before)} → {_split(row.after)}" for row in _head(samples.moved)
    )
    _lines(moved, len(samples.moved))


def _labels(rows: pd.DataFrame, names: Mapping[str, str]) -> str:
    """Return the classes of samples with their counts; empty for numbers and for windows."""
    counts = rows["label"].dropna().astype(str).map(names).value_counts()
    parts = [f"{count:,} {name}" for name, count in counts.head(MAX_LISTED).items()]
    more = ["…"] if len(counts) > MAX_LISTED else []
    return f": {', '.join([*parts, *more])}" if parts else ""


def _print_classes(found: VersionDiff) -> None:
    _heading("classes")
    _lines(f"+ {row['name']} ({row['value']})" for row in found.classes.added)
    _lines(f"- {row['name']} ({row['value']})" for row in found.classes.removed)
    _lines(f"> {row.value}: {row.before} → {row.after}" for row in found.classes.renamed)
    if found.balance:
        names = list(dict.fromkeys(name for balance in found.balance for name in balance.before))
        rows = [
            {
                "class": name,
                **{
                    b.split: f"{b.before.get(name, 0):,} → {b.after.get(name, 0):,}"
                    for b in found.balance
                },
            }
            for name in names
        ]
        distances = {
            b.split: "" if b.total_variation is None else f"{b.total_variation:.3f}"
            for b in found.balance
        }
        rows.append({"class": "distance of balance", **distances})
        show(rows, False, ["class", *distances], "")
        of = found.balance[0].of
        console.print(
            f"  (counts of {of}; total variation: 0 the same shares, 1 no class in common)"
        )
    for shift in found.numbers:
        console.print(
            f"  {shift.split}: label {_number(shift.mean_before)} ± {_number(shift.std_before)} → "
            f"{_number(shift.mean_after)} ± {_number(shift.std_after)}"
        )


def _print_shifts(found: VersionDiff) -> None:
    from mlops_assets.datasets.diff.distribution_shift import NOTABLE_SHIFT

    _heading("features")
    _lines(f"+ {name}" for name in found.features.added)
    _lines(f"- {name}" for name in found.features.removed)
    if found.features.reordered:
        console.print("  in another order")
    ordered = sorted(found.shifts, key=lambda shift: -abs(shift.standardised_mean_difference or 0))
    rows = [
        {
            "feature": shift.feature,
            "mean": f"{_number(shift.mean_before)} → {_number(shift.mean_after)}",
            "std": f"{_number(shift.std_before)} → {_number(shift.std_after)}",
            "shift": _number(shift.standardised_mean_difference),
            "std ratio": _number(shift.std_ratio),
        }
        for shift in ordered[:MAX_LISTED]
    ]
    show(rows, False, ["feature", "mean", "std", "shift", "std ratio"], "")
    _more(len(ordered))
    if rows:
        console.print(
            "  (training samples; shift: standardised mean difference, notable above"
            f" {NOTABLE_SHIFT})"
        )


def _heading(name: str, **counts: int | Sized) -> None:
    listed = ", ".join(
        f"{n if isinstance(n, int) else len(n):,} {what}" for what, n in counts.items()
    )
    console.print()
    console.print(f"{name}: {listed}" if listed else name, style="bold")


def _lines(lines: Iterable[str], total: int | None = None) -> None:
    printed = list(lines)
    for line in printed[:MAX_LISTED]:
        console.print(f"  {line}")
    _more(len(printed) if total is None else total)


def _more(total: int) -> None:
    if total > MAX_LISTED:
        console.print(f"  … and {total - MAX_LISTED:,} more")


def _head(rows: pd.DataFrame) -> Iterable[Any]:
    return rows.head(MAX_LISTED).itertuples()


def _place(row: Any) -> str:
    where = f" row {row.row}" if row.column < 0 else f" [{row.row}, {row.column}]"
    return f"{row.path}{where}"


def _split(name: object) -> str:
    return name if isinstance(name, str) else "left out"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _text(value: object) -> str:
    return "–" if value is None else str(value)
